//! The admin interface over HTTP: `/metrics`, `/healthz`, `/readyz`, `/config`, `/log`, `/reload`.
//! What changes something needs a token.

pub(super) mod change;
pub(super) mod log_level;
#[cfg(feature = "admin")]
mod serve;
pub(super) mod token;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::change::{Change, Gate, Verdict};
use self::log_level::LogLevelControl;
#[cfg(feature = "admin")]
pub(super) use self::serve::serve;
use self::token::Tokens;
use super::StartError;
use super::control::Command;
use super::metrics::Exporter;
use super::plan::Inventory;
use super::reload::{ReloadError, Wanted};
use super::upstreams::Upstreams;
use super::watch::{Files, Watched};
use super::worker::Message;
use crate::config::{Admin, Config};
use crate::runtime::{Current, Sender};
use crate::session::{Histograms, Latencies};

/// How long a scrape waits for the workers' histograms. One that is late is left out of them.
const REPORT_MAX: Duration = Duration::from_secs(1);

/// The admin interface cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "listen on {address} for the admin interface: {source} (choose another address in \
     admin.listen, or switch it off with admin.enabled = false)"
)]
pub struct AdminError {
    /// The address of `admin.listen`.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: std::io::Error,
}

/// Listens, if the interface is switched on.
pub(super) fn bind(admin: &Admin) -> Result<Option<TcpListener>, AdminError> {
    if !admin.enabled {
        return Ok(None);
    }
    let failed = |source| AdminError { address: admin.listen, source };
    if cfg!(not(feature = "admin")) {
        let why = "this program was built without it (the cargo feature `admin` of ringway)";
        return Err(failed(std::io::Error::new(std::io::ErrorKind::Unsupported, why)));
    }
    let listener = TcpListener::bind(admin.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Some(listener))
}

/// Who may change something: those who have a token of the file, which is read again when it
/// changes.
pub(super) fn gate(
    admin: &Admin,
    before: &Gate,
    watched: &mut Vec<Watched>,
) -> Result<Gate, StartError> {
    let Some(path) = admin.token_file.clone().filter(|_| admin.enabled) else {
        return Ok(before.with(None));
    };
    if let Some(kept) = before.kept(&path) {
        return Ok(kept);
    }
    let files = Files::look([&*path]);
    let tokens = Tokens::read(&path)
        .map_err(|message| StartError::Tokens { path: path.clone(), message })?;
    let tokens = Arc::new(Current::new(Arc::new(tokens)));
    let target = Arc::clone(&tokens);
    let gate = before.with(Some((path.clone(), tokens)));
    watched.push(Watched::new("admin".to_owned(), "tokens", files, move || {
        target.replace(Arc::new(Tokens::read(&path)?));
        Ok(())
    }));
    Ok(gate)
}

/// What the pages show. A reload puts others in their place.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    /// What there is by the newest plan, whichever these pages show.
    pub(super) inventory: Arc<Current<Inventory>>,
    pub(super) exporter: Exporter,
    pub(super) workers: Arc<[Sender<Message>]>,
    /// The effective configuration.
    pub(super) effective: Bytes,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) gate: Gate,
    pub(super) log_level: Option<LogLevelControl>,
    /// How the control plane is asked for something.
    pub(super) commands: UnboundedSender<Command>,
}

/// The body of a request, which has not been read.
pub(super) trait RequestBody: Send {
    /// Reads it all, if it has no more than `most` bytes.
    ///
    /// # Errors
    /// Why it could not be read.
    fn read(self, most: usize) -> impl Future<Output = Result<Bytes, String>> + Send;
}

/// The effective configuration, as it is shown.
pub(super) fn effective(config: &Config) -> Bytes {
    config.without_secrets().to_toml().into()
}

impl Pages {
    fn upstreams(&self) -> Upstreams {
        Upstreams {
            workers: Arc::clone(&self.workers),
            inventory: self.exporter.inventory(),
            newest: Arc::clone(&self.inventory),
            checks: self.exporter.checks().into(),
        }
    }

    /// Answers a request.
    async fn answer(
        &self,
        peer: SocketAddr,
        (request, body): (&Parts, impl RequestBody),
    ) -> Response<Bytes> {
        let is_read = request.method == Method::GET || request.method == Method::HEAD;
        let is_post = request.method == Method::POST;
        match (is_read, request.uri.path()) {
            (true, path)
                if path.strip_prefix("/upstreams/").is_some_and(|rest| !rest.is_empty()) =>
            {
                not_allowed("only POST", "POST")
            }
            (true, "/reload") => not_allowed("only POST", "POST"),
            (true, path) => self.show(path).await,
            (false, "/log") if is_post => self.change_log_level(peer, request, body).await,
            (false, "/log") => not_allowed("only GET, HEAD and POST", "GET, HEAD, POST"),
            (false, "/reload") if is_post => self.reload(peer, request).await,
            (false, "/reload") => not_allowed("only POST", "POST"),
            (false, path) if is_post && path.starts_with("/upstreams/") => {
                self.change_servers(peer, request, body).await
            }
            (false, _) => not_allowed("only GET and HEAD", "GET, HEAD"),
        }
    }

    async fn change_servers(
        &self,
        peer: SocketAddr,
        request: &Parts,
        body: impl RequestBody,
    ) -> Response<Bytes> {
        if let Some(refusal) = self.gate.admit(Change::Server, peer, &request.headers) {
            return refusal;
        }
        let what = request.uri.path();
        let answer = self.upstreams().change(what, body).await;
        let is_made = answer.status().is_success();
        let verdict = if is_made { Verdict::Made } else { Verdict::Invalid };
        self.gate.note(Change::Server, verdict, peer, what);
        answer
    }

    /// Has the configuration read again.
    async fn reload(&self, peer: SocketAddr, request: &Parts) -> Response<Bytes> {
        if let Some(refusal) = self.gate.admit(Change::Reload, peer, &request.headers) {
            return refusal;
        }
        let (sender, done) = oneshot::channel();
        // A control plane that has ended answers nothing more.
        let _ended = self.commands.send(Command::Reload(Wanted::Source, sender));
        let outcome = done.await.unwrap_or(Err(ReloadError::Draining));
        let verdict = if outcome.is_ok() { Verdict::Made } else { Verdict::Invalid };
        self.gate.note(Change::Reload, verdict, peer, "reload");
        let status = match outcome {
            Ok(done) => {
                return page(StatusCode::OK, "application/json", format!("{}\n", done.json()));
            }
            Err(ReloadError::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Err(ReloadError::NoSource | ReloadError::Busy) => StatusCode::CONFLICT,
            Err(ReloadError::Draining) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let why = outcome.err().map(|error| error.to_string()).unwrap_or_default();
        page(status, PLAIN, format!("{why}\n"))
    }

    async fn change_log_level(
        &self,
        peer: SocketAddr,
        request: &Parts,
        body: impl RequestBody,
    ) -> Response<Bytes> {
        if let Some(refusal) = self.gate.admit(Change::LogLevel, peer, &request.headers) {
            return refusal;
        }
        let query = request.uri.query().unwrap_or_default();
        log_level::change(self.log_level.as_ref(), &self.gate, peer, (query, body)).await
    }

    async fn show(&self, path: &str) -> Response<Bytes> {
        match path {
            "/metrics" => self.metrics().await,
            "/latency" => self.latency(Exporter::latency_json).await,
            "/latency/histograms" => self.latency(Exporter::histograms_json).await,
            "/healthz" => page(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" if self.ready.load(Ordering::Relaxed) => {
                page(StatusCode::OK, PLAIN, "ready\n")
            }
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n"),
            "/config" => page(StatusCode::OK, "application/toml", self.effective.clone()),
            "/log" => log_level::show(self.log_level.as_ref()),
            "/upstreams" | "/upstreams/" => self.upstreams().show().await,
            "/" => page(StatusCode::OK, PLAIN, INDEX),
            _ => page(StatusCode::NOT_FOUND, PLAIN, INDEX),
        }
    }

    async fn metrics(&self) -> Response<Bytes> {
        let histograms = self.collect().await;
        match self.exporter.render(histograms.as_ref()) {
            Ok(text) => page(StatusCode::OK, prometheus::TEXT_FORMAT, text),
            Err(error) => {
                let text = format!("rendering the metrics failed: {error}\n");
                page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
        }
    }

    /// How long requests took.
    async fn latency(&self, write: fn(&Exporter, &Latencies) -> String) -> Response<Bytes> {
        match self.collect().await {
            Some(histograms) => {
                let text = write(&self.exporter, &histograms.latencies);
                page(StatusCode::OK, "application/json", text)
            }
            None => {
                page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "a worker did not answer in time\n")
            }
        }
    }

    /// Asks all workers at once; `None` unless all have answered in time, because a histogram
    /// that lacks a worker's share would run backwards.
    async fn collect(&self) -> Option<Histograms> {
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in self.workers.iter() {
            let (sender, answer) = oneshot::channel();
            worker.send(Message::Report(sender)).ok()?;
            answers.push(answer);
        }
        let merge = async {
            let mut merged = Histograms::default();
            for answer in answers {
                merged.merge(&answer.await.ok()?);
            }
            Some(merged)
        };
        timeout(REPORT_MAX, merge).await.ok().flatten()
    }
}

/// Text for people.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
const INDEX: &str = "Ringway's admin interface\n\n\
    /metrics  counters and histograms, Prometheus text\n\
    /latency  quantiles of how long requests took, JSON\n\
    /latency/histograms  the counts that they come of, JSON: for `ringway report`\n\
    /healthz  200 while the process lives\n\
    /readyz   200 while it accepts connections, 503 while it drains\n\
    /config   the effective configuration\n\
    /log      the level of the log; POST /log?level=WORD changes it, with a token\n\
    /reload   POST reads the configuration file again, with a token\n\
    /upstreams  the servers of upstreams, JSON; POST to /upstreams/NAME/servers/ADDRESS changes
              one, with a token\n";

fn not_allowed(what: &str, allow: &'static str) -> Response<Bytes> {
    let text = format!("{what} are served here\n");
    let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    refusal
}

/// A page that is made for this answer.
pub(super) fn page(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! Active health checks: the control plane asks each server how it is, and tells the workers what
//! has changed.

mod grpc;
mod http2;
mod ping;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::wire::Wire;
use crate::net::is_local_shortage;
use crate::net::tls::TlsError;
use crate::proto::http::{Method, ResponseHead};
use crate::proto::http1::{BodyPart, BodyReader, HeadLimits, Refusal, ResponseReader};
use crate::proto::http2::Violation;
use crate::ring::SocketAddress;
use crate::runtime::{Counter, clock};
use crate::service::cluster::ServerProtocol;
use crate::service::cluster::health::{
    BODY_PREFIX_MAX, Change, Check, CheckOptions, Expected, Unexpected,
};
use crate::service::grpc::Code;
use crate::session::{Lease, UpstreamTls, WorkerMessage, Workers};

/// Bytes of an answer that are read at most, its head among them.
const ANSWER_MAX: usize = 64 * 1024 + BODY_PREFIX_MAX;

/// The checks of one upstream.
#[derive(Debug, Clone)]
pub(super) struct HealthPlan {
    /// The number of the upstream's servers.
    pub(super) upstream: Lease,
    pub(super) name: String,
    pub(super) servers: Vec<SocketAddress>,
    pub(super) options: CheckOptions,
    pub(super) kind: CheckKind,
    /// How the servers are asked by TLS, if they are.
    pub(super) tls: Option<Arc<UpstreamTls>>,
}

/// What a check does.
#[derive(Debug, Clone)]
pub(super) enum CheckKind {
    /// It connects.
    Tcp,
    /// It connects by TLS.
    Tls,
    /// It sends a PING of the framed protocol.
    Frame,
    /// It calls `grpc.health.v1.Health/Check`.
    Grpc {
        /// Whom each server is asked as.
        hosts: Vec<String>,
        /// The service that is asked for; empty for the server as a whole.
        service: String,
    },
    /// It asks for a page.
    Http {
        /// The request to each server.
        requests: Vec<HttpRequest>,
        /// Which version of HTTP they are asked in.
        protocol: ServerProtocol,
        /// What the answer must be.
        expected: Expected,
    },
}

/// The page that a server is asked for.
#[derive(Debug, Clone)]
pub(super) struct HttpRequest {
    pub(super) path: String,
    pub(super) host: String,
}

impl HttpRequest {
    /// The request as HTTP/1.1 has it.
    fn text(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: {USER_AGENT}\r\n\
             connection: close\r\n\r\n",
            self.path, self.host,
        )
    }
}

/// Who asks.
const USER_AGENT: &str = "ringway-health-check";

/// What was counted of one server's checks.
#[derive(Debug, Default)]
pub(super) struct HealthStats {
    pub(super) succeeded: Counter,
    pub(super) failed: Counter,
    /// Checks that could not be made for a want of ours.
    pub(super) skipped: Counter,
    /// 1 while checks say that it can be used.
    pub(super) up: Counter,
    /// The last one that is over.
    last: Mutex<Option<LastCheck>>,
}

/// A check that is over.
#[derive(Debug, Clone)]
pub(super) struct LastCheck {
    /// When it began, and how long it took.
    pub(super) began: std::time::Instant,
    pub(super) took: Duration,
    /// `success`, `failure`, or `skipped` for a want of ours.
    pub(super) result: &'static str,
    /// What went wrong.
    pub(super) error: Option<String>,
}

impl HealthStats {
    /// The last check that is over, if there is one.
    pub(super) fn last(&self) -> Option<LastCheck> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, began: std::time::Instant, result: &'static str, error: Option<String>) {
        let took = clock::now().saturating_duration_since(began);
        let last = LastCheck { began, took, result, error };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Why a check has failed.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer is none: {}", .0.name())]
    Refused(Refusal),
    #[error("the status is {0}")]
    Status(u16),
    #[error("the body has not what it must have")]
    Body,
    #[error("HTTP/2: {}", .0.name())]
    Violation(Violation),
    #[error("the framed protocol: {0}")]
    Frame(#[from] crate::proto::frame::FrameError),
    #[error("the call ended with the status {}", .0.name())]
    Call(Code),
    #[error("the service is {0}")]
    NotServing(&'static str),
    #[error("PING was answered by an error")]
    Answer,
    #[error("the server closed before its answer was whole")]
    Closed,
}

impl CheckError {
    /// Whether a shortage of this machine is the cause, so that nothing is known of the server.
    /// Without an address here to reach it from, one that was never reached cannot be.
    fn is_local_shortage(&self, server: &SocketAddress, has_stood: bool) -> bool {
        let Self::Io(error) = self else { return false };
        let errno = error.raw_os_error().map(Errno::from_raw);
        errno.is_some_and(|errno| {
            let is_out_of_reach = errno == Errno::EADDRNOTAVAIL && !has_stood;
            !is_out_of_reach && is_local_shortage(errno, server)
        })
    }
}

/// The checks of one upstream, which are made until this is dropped.
#[derive(Debug)]
pub(super) struct Checks {
    /// The number of the upstream's servers.
    pub(super) upstream: usize,
    name: String,
    servers: Vec<SocketAddress>,
    pub(super) stats: Arc<[Arc<HealthStats>]>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The checks of all upstreams.
#[derive(Debug, Default)]
pub(super) struct AllChecks(Vec<Checks>);

impl AllChecks {
    /// These checks are made from now on. Those of upstreams that go on are not touched; servers
    /// that stay in an upstream that has changed are taken for what they were.
    pub(super) fn replace(&mut self, plans: &[HealthPlan], workers: &Arc<Workers>, seed: u64) {
        let mut before = std::mem::take(&mut self.0);
        for plan in plans {
            let number = plan.upstream.number();
            let known = before.iter().position(|one| one.upstream == number);
            // A number that has another owner now is another upstream's.
            let known = known.filter(|at| before[*at].servers == plan.servers);
            match known.filter(|at| before[*at].name == plan.name) {
                Some(at) => self.0.push(before.swap_remove(at)),
                None => {
                    let old = before.iter().find(|one| one.name == plan.name);
                    self.0.push(spawn(plan, old, workers, seed));
                }
            }
        }
    }

    /// What is counted, by the numbers of the upstreams' servers.
    pub(super) fn stats(&self) -> Vec<(usize, Arc<[Arc<HealthStats>]>)> {
        self.0.iter().map(|one| (one.upstream, Arc::clone(&one.stats))).collect()
    }
}

/// Checks the servers of an upstream. One task for each server.
fn spawn(plan: &HealthPlan, before: Option<&Checks>, workers: &Arc<Workers>, seed: u64) -> Checks {
    let stats_of = |address: &SocketAddress| {
        let old = before.and_then(|old| {
            let at = old.servers.iter().position(|server| server == address)?;
            old.stats.get(at).cloned()
        });
        old.unwrap_or_else(|| {
            let stats = HealthStats::default();
            stats.up.set(1);
            Arc::new(stats)
        })
    };
    let stats: Arc<[Arc<HealthStats>]> = plan.servers.iter().map(stats_of).collect();
    // Shared: there may be thousands of servers, and the plan names each of them.
    let shared = Arc::new(plan.clone());
    let tasks = (0..plan.servers.len()).map(|server| {
        let (plan, workers) = (Arc::clone(&shared), Arc::clone(workers));
        let own = Arc::clone(&stats[server]);
        let seed = seed ^ (server as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let task = async move { watch(&plan, server, &workers, &own, seed).await };
        tokio::spawn(task).abort_handle()
    });
    Checks {
        upstream: plan.upstream.number(),
        name: plan.name.clone(),
        servers: plan.servers.clone(),
        tasks: tasks.collect(),
        stats,
    }
}

async fn watch(
    plan: &HealthPlan,
    server: usize,
    workers: &Workers,
    stats: &HealthStats,
    seed: u64,
) {
    let address = plan.servers[server];
    let mut check = Check::new(plan.options, seed, clock::now());
    if stats.up.get() == 0 {
        // It was down under the plan before. Workers know that of servers of the same name only.
        check = check.begin_down();
        let note =
            |server| WorkerMessage::Health { upstream: plan.upstream.number(), server, up: false };
        (0..workers.cells().len()).for_each(|worker| {
            // A worker that has ended needs to know nothing.
            let _ended = workers.send(worker, note(server));
        });
    }
    let (mut is_skipping, mut has_stood) = (false, false);
    loop {
        if let Some(due) = check.next_due() {
            sleep_until(Instant::from_std(due)).await;
        }
        let began = clock::now();
        check.started(began);
        let result = match timeout(plan.options.timeout, ask(plan, server, &address)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(CheckError::Timeout(plan.options.timeout)),
        };
        if let Err(error) = &result
            && error.is_local_shortage(&address, has_stood)
        {
            stats.skipped.add(1);
            stats.note(began, "skipped", Some(error.to_string()));
            check.skipped(clock::now());
            // Once, until checks are made again: a shortage lasts, and every check meets it.
            if !std::mem::replace(&mut is_skipping, true) {
                tracing::warn!(
                    upstream = %plan.name, server = %address, %error,
                    "health checks skipped for a local shortage: the server's state stays as it is"
                );
            }
            continue;
        }
        if std::mem::take(&mut is_skipping) {
            tracing::info!(upstream = %plan.name, server = %address, "health checks go on");
        }
        has_stood |= result.is_ok();
        let counter = if result.is_ok() { &stats.succeeded } else { &stats.failed };
        counter.add(1);
        let word = if result.is_ok() { "success" } else { "failure" };
        stats.note(began, word, result.as_ref().err().map(ToString::to_string));
        let change = check.finished(result.is_ok(), clock::now());
        tell(&plan.name, &address, change, result);
        if let Some(change) = change {
            let upstream = plan.upstream.number();
            let up = change == Change::Up;
            stats.up.set(u64::from(up));
            for worker in 0..workers.cells().len() {
                // A worker that has ended needs to know nothing.
                let _ended = workers.send(worker, WorkerMessage::Health { upstream, server, up });
            }
        }
    }
}

/// Writes to the log what a check has found.
fn tell(
    name: &str,
    address: &SocketAddress,
    change: Option<Change>,
    result: Result<(), CheckError>,
) {
    match (change, result) {
        (Some(Change::Up), _) => {
            tracing::info!(upstream = %name, server = %address, "health check: server is up");
        }
        (Some(Change::Down), Err(error)) => {
            tracing::warn!(
                upstream = %name, server = %address, %error, "health check: server is down"
            );
        }
        (Some(Change::Down), Ok(())) => {}
        (None, Err(error)) => {
            tracing::debug!(upstream = %name, server = %address, %error, "health check failed");
        }
        (None, Ok(())) => {}
    }
}

/// Makes one check.
async fn ask(plan: &HealthPlan, server: usize, address: &SocketAddress) -> Result<(), CheckError> {
    match (address.ip(), address.path()) {
        (Some(ip), _) => converse(plan, server, TcpStream::connect(ip).await?).await,
        (None, Some(path)) => converse(plan, server, UnixStream::connect(path).await?).await,
        (None, None) => Err(CheckError::Closed),
    }
}

async fn converse<S>(plan: &HealthPlan, server: usize, stream: S) -> Result<(), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    if matches!(plan.kind, CheckKind::Tcp) {
        return Ok(());
    }
    let tls = plan.tls.as_ref().map(|tls| tls.session(server)).transpose()?;
    let mut stream = Wire::new(stream, tls).await?;
    match &plan.kind {
        CheckKind::Tcp | CheckKind::Tls => Ok(()),
        CheckKind::Frame => ping::ping(&mut stream).await,
        CheckKind::Grpc { hosts, service } => {
            let Some(host) = hosts.get(server) else { return Err(CheckError::Closed) };
            grpc::check(&mut stream, host, service).await
        }
        CheckKind::Http { requests, expected, protocol } => {
            let Some(request) = requests.get(server) else { return Err(CheckError::Closed) };
            let is_http2 = match protocol {
                ServerProtocol::Http1 => false,
                ServerProtocol::Http2 => true,
                ServerProtocol::Auto => stream.alpn() == Some(b"h2"),
            };
            let (status, body) = if is_http2 {
                http2::get(&mut stream, request, expected.needs_body()).await?
            } else {
                get(&mut stream, request, expected.needs_body()).await?
            };
            expected.judge(status, &body).map_err(|unexpected| match unexpected {
                Unexpected::Status(status) => CheckError::Status(status),
                Unexpected::Body => CheckError::Body,
            })
        }
    }
}

/// Asks for a page: the status of the answer, and the beginning of its body.
async fn get<S>(
    stream: &mut Wire<S>,
    request: &HttpRequest,
    needs_body: bool,
) -> Result<(u16, Vec<u8>), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    stream.write_all(request.text().as_bytes()).await?;
    let mut reader = ResponseReader::default();
    let mut head = ResponseHead::default();
    let mut input = Vec::new();
    let limits = HeadLimits::default();
    let meta = loop {
        let found = reader.read(&input, Method::Get, &limits, &mut head);
        match found.map_err(CheckError::Refused)? {
            Some(meta) if head.is_interim() => drop(input.drain(..meta.len)),
            Some(meta) => break meta,
            None => read_more(stream, &mut input).await?,
        }
    };
    input.drain(..meta.len);
    let mut body = Vec::new();
    if needs_body {
        let mut reader = BodyReader::new(meta.framing, u64::MAX).map_err(CheckError::Refused)?;
        while body.len() < BODY_PREFIX_MAX {
            match reader.next(&input).map_err(CheckError::Refused)? {
                BodyPart::Data(range) => {
                    let end = range.end;
                    body.extend_from_slice(&input[range]);
                    input.drain(..end);
                }
                BodyPart::End(_) => break,
                BodyPart::More => {
                    input.clear();
                    match read_more(stream, &mut input).await {
                        Ok(()) => {}
                        Err(CheckError::Closed) if reader.at_end() => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok((head.status, body))
}

async fn read_more<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    stream: &mut Wire<S>,
    input: &mut Vec<u8>,
) -> Result<(), CheckError> {
    if input.len() > ANSWER_MAX {
        return Err(CheckError::Closed);
    }
    stream.read(input).await
}

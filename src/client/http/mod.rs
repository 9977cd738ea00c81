//! HTTP/1.1 and HTTP/2, in clear and by TLS, on connections that are used again.
//!
//! | file | job |
//! |---|---|
//! | `url`, `request`, `options` | what is asked of whom, and how |
//! | `upload`, `answer` | the two bodies of an exchange |
//! | `exchange` | one exchange on a connection |
//! | `connection` | a socket, and the machine that is driven over it |
//! | `http1`, `http2` | the machines of the two versions |
//! | `pool` | connections that wait for the next request |

mod answer;
mod connection;
mod exchange;
mod http1;
mod http2;
mod options;
mod pool;
mod request;
#[cfg(test)]
mod tests;
mod upload;
mod url;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

pub use self::answer::{Answer, BodyReader};
pub use self::options::{HttpOptions, HttpProtocol};
pub use self::request::Request;
pub use self::url::HttpUrl;

pub(super) use self::connection::Part;
pub(super) use self::exchange::Exchange;
pub(crate) use self::request::Prepared;
pub(super) use self::request::{USER_AGENT, push_field};
pub(super) use self::url::Scheme;

use self::connection::{AnswerHead, Connection};
use self::pool::{Pool, PoolKey};
use self::upload::Upload;
use super::deadline::Deadline;
use super::error::Waiting;
use super::retry::Tries;
use super::{ClientError, ConnectOptions, Tls};
use crate::net::tls::ClientOptions;

/// A client of HTTP. One is enough for any number of servers: it keeps connections, and uses them
/// again. Several answers may be open at a time; by HTTP/2 they share a connection.
///
/// Redirects are not followed, and bodies are given as they come, whatever their coding.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{Http, HttpOptions, Request};
///
/// let patience = Duration::from_secs(5);
/// let mut http = Http::new(HttpOptions::default());
/// let mut answer = http.get("http://127.0.0.1:7001/", patience)?;
/// println!("{} {}", answer.status(), String::from_utf8_lossy(&answer.collect(patience)?));
///
/// // A file goes up as the server takes it.
/// let file = std::fs::File::open("notes.txt")?;
/// let request = Request::new("PUT", "https://example.com/notes").body_from(file);
/// assert!(http.send(request, patience)?.status() < 300);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Http {
    options: HttpOptions,
    pool: Rc<RefCell<Pool>>,
    /// TLS as it is spoken with servers, made when it is needed.
    tls: Option<Tls>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(HttpOptions::default())
    }
}

impl Http {
    /// A client with these options. Nothing is connected yet.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        let pool = Rc::new(RefCell::new(Pool::new(options.idle_max, options.idle_time)));
        Self { options, pool, tls: None }
    }

    /// GETs what a URL names: see [`Http::send`].
    ///
    /// # Errors
    /// As of [`Http::send`].
    pub fn get(&mut self, url: &str, patience: Duration) -> Result<Answer<'static>, ClientError> {
        self.send(Request::get(url), patience)
    }

    /// Sends a request, and waits for the head of its answer, for `patience` in all, connecting and
    /// further tries among that. Interim answers are passed over.
    ///
    /// # Errors
    /// When the request cannot be sent, or nothing is answered. Statuses are no errors.
    pub fn send<'b>(
        &mut self,
        mut request: Request<'b>,
        patience: Duration,
    ) -> Result<Answer<'b>, ClientError> {
        let deadline = Deadline::new(patience);
        let prepared = request.prepare()?;
        let mut upload = Upload::new(request.body, request.trailers);
        let mut tries = Tries::new(self.options.retry);
        let is_idempotent = prepared.head.method.is_idempotent();
        let mut has_begun_again = false;
        loop {
            let tried = self.exchange(&prepared, &mut upload, has_begun_again, deadline);
            let Failed { error, is_stale, has_begun } = *match tried {
                Ok((exchange, head)) => {
                    return Ok(Answer::new(head, exchange, upload, self.options.answer_max));
                }
                Err(failed) => failed,
            };
            let may_repeat =
                upload.rewind() && error.is_transient() && (is_idempotent || error.is_not_done());
            if !may_repeat {
                return Err(error);
            }
            // The server has done nothing for it: that is no failure which a rest would mend.
            let is_free = !has_begun_again && has_begun && (is_stale || error.is_not_done());
            if is_free {
                has_begun_again = true;
            } else {
                tries.rest(error, deadline)?;
            }
        }
    }

    /// Sends a request once, and waits for the head of its answer.
    fn exchange(
        &mut self,
        prepared: &Prepared,
        upload: &mut Upload<'_>,
        is_fresh: bool,
        deadline: Deadline,
    ) -> Result<(Exchange, AnswerHead), Box<Failed>> {
        let begun = self.begin(prepared, upload.is_empty(), is_fresh, deadline);
        let mut exchange = begun.map_err(|error| {
            let (is_stale, has_begun) = (false, false);
            Box::new(Failed { error, is_stale, has_begun })
        })?;
        match wait_for_head(&mut exchange, upload, deadline) {
            Ok(head) => Ok((exchange, head)),
            Err(error) => {
                let is_stale = error.is_loss() && exchange.may_be_stale();
                Err(Box::new(Failed { error, is_stale, has_begun: true }))
            }
        }
    }

    /// Sends the head of a request, on a connection that there is, or on a new one.
    pub(super) fn begin(
        &mut self,
        prepared: &Prepared,
        ends: bool,
        is_fresh: bool,
        deadline: Deadline,
    ) -> Result<Exchange, ClientError> {
        let key = PoolKey::of(&prepared.url);
        let kept = if is_fresh { None } else { self.pool.borrow_mut().take(&key) };
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connection = self.connect(prepared, deadline)?;
                let is_shared = connection.is_shared();
                let connection = Rc::new(RefCell::new(connection));
                if is_shared {
                    Pool::give(&self.pool, &key, &connection);
                }
                connection
            }
        };
        Ok(Exchange::begin(connection, &self.pool, key, prepared, ends))
    }

    fn connect(
        &mut self,
        prepared: &Prepared,
        deadline: Deadline,
    ) -> Result<Connection, ClientError> {
        let url = &prepared.url;
        let tls = if url.is_secure() { Some(self.tls()?) } else { None };
        let own = &self.options.connect;
        // What there is in all counts where that is less than what connecting has.
        let limit = deadline.min(Deadline::new(own.deadline));
        let connect = ConnectOptions { deadline: limit.rest(), tls, ..own.clone() };
        let is_http2 = match self.options.protocol {
            HttpProtocol::Http2 => true,
            HttpProtocol::Auto => url.scheme == Scheme::H2,
            HttpProtocol::Http1 if url.scheme == Scheme::H2 => {
                let reason = "h2:// is HTTP/2, and HTTP/1.1 is to be spoken".to_owned();
                return Err(ClientError::Request { reason });
            }
            HttpProtocol::Http1 => false,
        };
        Connection::connect(&url.target, &connect, is_http2, &self.options)
            .map_err(|error| error.told_as(limit.patience))
    }

    fn tls(&mut self) -> Result<Tls, ClientError> {
        if let Some(tls) = &self.tls {
            return Ok(tls.clone());
        }
        let protocols: &[&[u8]] = match self.options.protocol {
            HttpProtocol::Auto => &[b"h2", b"http/1.1"],
            HttpProtocol::Http1 => &[b"http/1.1"],
            HttpProtocol::Http2 => &[b"h2"],
        };
        let tls = match &self.options.connect.tls {
            Some(tls) => tls.with_protocols(protocols),
            None => Tls::new(ClientOptions::default())?.with_protocols(protocols),
        };
        Ok(self.tls.insert(tls).clone())
    }

    /// Closes the connections that are idle.
    pub fn close_idle(&mut self) {
        self.pool.borrow_mut().close();
    }

    /// How many connections are kept: idle ones, and those of HTTP/2 that are in use.
    #[must_use]
    pub fn connections(&self) -> usize {
        let mut pool = self.pool.borrow_mut();
        pool.expire();
        pool.len()
    }
}

/// A try that failed.
struct Failed {
    error: ClientError,
    /// The server had ended the connection before the request came, most likely.
    is_stale: bool,
    /// The request was sent, or a part of it.
    has_begun: bool,
}

fn wait_for_head(
    exchange: &mut Exchange,
    upload: &mut Upload<'_>,
    deadline: Deadline,
) -> Result<AnswerHead, ClientError> {
    loop {
        if let Some(head) = exchange.poll_head()? {
            return Ok(head);
        }
        upload.pump(exchange)?;
        exchange.turn(deadline, Waiting::Answer)?;
    }
}

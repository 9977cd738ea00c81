//! The race of connects to all addresses of a target (RFC 8305): each begins a little after the
//! one before, or at once when that has failed; the first connection that stands wins.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::error::Waiting;
use super::line::{CLOSE_MAX, Engine, Line};
use super::tls::{self, Tls};
use super::{ClientError, Target};
use crate::mem::Key;
use crate::net::{NetworkError, Operation, Stream, StreamEvent};
use crate::ring::{Fd, Lane, SocketAddress, StreamOptions, Syscalls};

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// How long resolving and all attempts together may take, handshakes of TLS among them.
    pub deadline: Duration,
    /// How long one attempt is waited for until the next begins beside it.
    pub stagger: Duration,
    /// Options of the connection, where it is of a stream.
    pub stream: StreamOptions,
    /// How TLS is spoken, where it is.
    pub tls: Option<Tls>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            stagger: Duration::from_millis(250),
            stream: StreamOptions { nodelay: true, ..StreamOptions::default() },
            tls: None,
        }
    }
}

/// What is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Datagram,
}

/// Connects to a target.
pub(super) fn connect(
    target: &Target,
    kind: Kind,
    options: &ConnectOptions,
) -> Result<Line, ClientError> {
    let mut engine = Engine::new()?;
    let until = engine.now().checked_add(options.deadline);
    let tls = options.tls.as_ref().map(|tls| tls.of_target(target)).transpose()?;
    let addresses = target.resolve(options.deadline)?;
    connect_any(engine, addresses, kind, &ConnectOptions { tls, ..options.clone() }, until)
}

/// Connects to a target by TLS, and tells which protocol (ALPN) the server has chosen.
#[cfg(feature = "load")]
pub(crate) fn agreed_protocol(
    target: &Target,
    options: &ConnectOptions,
) -> Result<Option<Vec<u8>>, ClientError> {
    let line = connect(target, Kind::Stream, options)?;
    Ok(line.tls().and_then(|tls| tls.alpn()).map(<[u8]>::to_vec))
}

/// Connects to the first of several addresses that answers.
pub(super) fn connect_any(
    engine: Engine,
    addresses: Vec<SocketAddress>,
    kind: Kind,
    options: &ConnectOptions,
    until: Option<Instant>,
) -> Result<Line, ClientError> {
    let mut race =
        Race { engine, addresses, kind, options, attempts: Vec::new(), last: None, refused: None };
    let won = race.run(until);
    let ended = race.end_losers(won.as_ref().ok().copied());
    let winner = won?;
    ended?;
    let Race { engine, mut attempts, .. } = race;
    let Attempt { stream, key, peer, .. } = attempts.swap_remove(winner);
    Ok(Line::new(engine, stream, key, peer))
}

struct Race<'a> {
    engine: Engine,
    addresses: Vec<SocketAddress>,
    kind: Kind,
    options: &'a ConnectOptions,
    /// Those that have begun, in the order of the addresses.
    attempts: Vec<Attempt>,
    /// The most telling failure so far.
    last: Option<NetworkError>,
    /// A failure of TLS, which says more than any of those.
    refused: Option<ClientError>,
}

struct Attempt {
    stream: Stream,
    key: Key,
    peer: SocketAddress,
    over: bool,
}

impl Race<'_> {
    /// The place of the attempt that won.
    fn run(&mut self, until: Option<Instant>) -> Result<usize, ClientError> {
        let mut next_at = Some(self.engine.now());
        loop {
            let now = self.engine.now();
            if until.is_some_and(|until| now >= until) {
                return Err(self.late());
            }
            let more = self.attempts.len() < self.addresses.len();
            if let Some(error) = self.refused.take_if(|error| is_final(error)) {
                return Err(error);
            }
            if more && next_at.is_some_and(|at| now >= at) {
                next_at =
                    if self.begin() { now.checked_add(self.options.stagger) } else { Some(now) };
                continue;
            }
            if !more && self.attempts.iter().all(|attempt| attempt.over) {
                return Err(self.lost());
            }
            let wake = [until, next_at.filter(|_| more)].into_iter().flatten().min();
            self.engine.turn(wake)?;
            let mut won = None;
            while let Some(completion) = self.engine.completion() {
                let place = completion.token.key.index as usize;
                match self.handle(place, completion) {
                    StreamEvent::Connected => won = won.or(Some(place)),
                    StreamEvent::ConnectFailed(source) => {
                        self.attempts[place].over = true;
                        self.note_refusal(place);
                        self.failed(Operation::Connect, self.attempts[place].peer, source);
                        next_at = Some(now);
                    }
                    StreamEvent::Starved => {
                        let Attempt { stream, key, .. } = &mut self.attempts[place];
                        stream.feed(&mut self.engine.reactor, *key);
                    }
                    StreamEvent::Data(_)
                    | StreamEvent::End
                    | StreamEvent::Sent(_)
                    | StreamEvent::Writable
                    | StreamEvent::Readable
                    | StreamEvent::Secured
                    | StreamEvent::Broken(_)
                    | StreamEvent::Quiet => {}
                }
            }
            if let Some(won) = won {
                return Ok(won);
            }
        }
    }

    /// Begins the attempt at the next address; false when there is no socket for it.
    fn begin(&mut self) -> bool {
        let place = self.attempts.len();
        let peer = self.addresses[place];
        let key = Key::new(u32::try_from(place).unwrap_or(u32::MAX), 0);
        let mut stream = Stream::new(Lane::Client, None);
        let driver = self.engine.reactor.driver();
        let made = match self.kind {
            Kind::Stream => driver.socket(&peer),
            Kind::Datagram => datagram_socket(&peer),
        };
        if let Some(tls) = self.options.tls.as_ref().filter(|_| self.kind == Kind::Stream)
            && let Err(error) = tls.secure(&mut stream)
        {
            self.refused = Some(error);
        }
        let over = match made {
            Ok(socket) => {
                driver.configure(socket, &self.options.stream);
                stream.connect(&mut self.engine.reactor, key, socket, peer);
                false
            }
            Err(source) => {
                self.failed(Operation::Socket, peer, source);
                true
            }
        };
        self.attempts.push(Attempt { stream, key, peer, over });
        !over
    }

    fn handle(&mut self, place: usize, completion: crate::ring::Completion) -> StreamEvent {
        let Attempt { stream, key, .. } = &mut self.attempts[place];
        stream.handle(&mut self.engine.reactor, *key, completion)
    }

    fn failed(&mut self, op: Operation, peer: SocketAddress, source: Errno) {
        let error = NetworkError { op, peer, source };
        self.last = Some(self.last.map_or(error, |last| more_telling(last, error)));
    }

    /// Why the handshake with a server has failed, if that is why the attempt has.
    fn note_refusal(&mut self, place: usize) {
        let Attempt { stream, peer, .. } = &self.attempts[place];
        if let Some(error) = stream.tls_error() {
            self.refused = Some(tls::failure(*peer, error));
        }
    }

    fn lost(&mut self) -> ClientError {
        if let Some(error) = self.refused.take() {
            return error;
        }
        match self.last {
            Some(error) => error.into(),
            None => ClientError::Request { reason: "there is no address".to_owned() },
        }
    }

    /// The time is over: the first that is still waited for is named.
    fn late(&self) -> ClientError {
        let open = self.attempts.iter().find(|attempt| !attempt.over);
        let peer = open.map(|attempt| attempt.peer).or_else(|| self.addresses.first().copied());
        let peer = peer.map_or_else(String::new, |peer| peer.to_string());
        ClientError::Deadline { op: Waiting::Connect, peer, after: self.options.deadline }
    }

    /// Ends and closes all attempts but the winner.
    fn end_losers(&mut self, winner: Option<usize>) -> Result<(), ClientError> {
        let Self { engine, attempts, .. } = self;
        let losers = || (0..).zip(0..attempts.len()).filter(|(place, _)| Some(*place) != winner);
        for (place, _) in losers() {
            let Attempt { stream, key, .. } = &mut attempts[place];
            stream.abandon(&mut engine.reactor, *key);
        }
        // What the kernel still holds after that is ended with the ring.
        let until = engine.now().checked_add(CLOSE_MAX);
        while attempts
            .iter()
            .enumerate()
            .any(|(place, attempt)| Some(place) != winner && !attempt.stream.is_quiet())
        {
            if until.is_some_and(|until| engine.now() >= until) {
                break;
            }
            engine.turn(until)?;
            while let Some(completion) = engine.completion() {
                let Attempt { stream, key, .. } =
                    &mut attempts[completion.token.key.index as usize];
                stream.handle(&mut engine.reactor, *key, completion);
            }
        }
        for (place, attempt) in attempts.iter_mut().enumerate() {
            if let (true, Some(fd)) = (Some(place) != winner, attempt.stream.fd()) {
                engine.reactor.driver().close(fd);
            }
        }
        Ok(())
    }
}

/// Whether no other address could fare better.
const fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::TlsOptions { .. })
}

/// The later failure, unless it only says that a family or a network cannot be used here at all:
/// what a server's machine answered says more.
fn more_telling(last: NetworkError, next: NetworkError) -> NetworkError {
    let says_little = |error: &NetworkError| {
        let ours = [Errno::EAFNOSUPPORT, Errno::ENETUNREACH, Errno::EADDRNOTAVAIL];
        ours.contains(&error.source)
    };
    if says_little(&next) && !says_little(&last) { last } else { next }
}

/// A non-blocking datagram socket of the address' family.
fn datagram_socket(address: &SocketAddress) -> Result<Fd, Errno> {
    let family = match address.ip() {
        Some(ip) if ip.is_ipv6() => AddressFamily::Inet6,
        Some(_) => AddressFamily::Inet,
        None => AddressFamily::Unix,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    Ok(Fd(std::os::fd::IntoRawFd::into_raw_fd(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_s_machine_said_is_told() {
        let error = |source| NetworkError {
            op: Operation::Connect,
            peer: SocketAddress::unnamed(),
            source,
        };
        for (last, next, told) in [
            (Errno::ECONNREFUSED, Errno::ENETUNREACH, Errno::ECONNREFUSED),
            (Errno::ENETUNREACH, Errno::ECONNREFUSED, Errno::ECONNREFUSED),
            (Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::EHOSTUNREACH),
            (Errno::EAFNOSUPPORT, Errno::ENETUNREACH, Errno::ENETUNREACH),
        ] {
            assert_eq!(more_telling(error(last), error(next)), error(told));
        }
    }
}

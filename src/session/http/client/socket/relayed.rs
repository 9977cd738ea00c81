//! Sockets whose messages go to a TCP server, and come from it.
//!
//! The connection to the server is another session (`session/socket_relay`); the link between the
//! two is known by its key. Both directions go on by themselves: a client that takes nothing for
//! now is read all the same, as long as its server takes what it sends.

use super::{Service, Socket};
use crate::mem::{Buf, Key};
use crate::proto::http::RequestHead;
use crate::proto::lines::LineReader;
use crate::proto::websocket::{CloseCode, Closing, Kind, Opcode, Part, write};
use crate::ring::Driver;
use crate::service::http::budget::WAITING_MAX;
use crate::service::proxy::{LineFault, ServerEnd, next_line};
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::links::LinkTarget;
use crate::session::http::state::HttpState;
use crate::session::http::websocket::{RelayFormat, WebSocketOptions};

/// A client that takes nothing is not read beyond so many bytes that wait for it: what is read may
/// be pings, each of which is answered.
const OWED_MAX: usize = 2 * WAITING_MAX;

/// A socket's part in a relay.
#[derive(Debug)]
pub(super) struct Relayed {
    link: Key,
    /// Takes what comes apart into lines, if messages are lines.
    lines: Option<LineReader>,
    /// There is more for the client, and its connection takes no more.
    has_rest: bool,
}

impl Relayed {
    /// Bytes of memory that a line takes of which more has to come.
    pub(super) fn cost(&self) -> usize {
        self.lines.as_ref().map_or(0, LineReader::memory)
    }

    /// Whether something waits for room on the client's connection.
    pub(super) const fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// Whether parts of messages go on as they come.
    const fn takes_parts(&self) -> bool {
        self.lines.is_none()
    }
}

impl Socket {
    /// Whether a part of a message goes on as it comes: it is not gathered.
    pub(super) fn passes(&self, part: &Part) -> bool {
        match &self.service {
            Service::Relay(relayed) => relayed.takes_parts() && !part.compressed,
            Service::Echo | Service::Topics(_) | Service::Handler(_) => false,
        }
    }
}

impl Http {
    /// A socket of a relay: its connection to a server is made when the handshake is answered.
    /// `None` when there can be no more of them.
    pub(super) fn begin_relay<D: Driver>(
        &self,
        context: &mut Context<D>,
        key: Key,
        head: &RequestHead,
        (upstream, format, options): (usize, RelayFormat, &WebSocketOptions),
    ) -> Option<Relayed> {
        let is_told = context.plan.upstreams[upstream].send_header.is_some();
        let own = self.io.stream.fd().filter(|_| is_told);
        let own = own.and_then(|fd| context.reactor.driver().local_address(fd).ok());
        // A listener of HTTP has that of the defaults.
        let idle_timeout =
            options.idle_timeout.unwrap_or(self.io.common.listener.options.idle_timeout);
        let target = LinkTarget {
            upstream,
            format,
            id: self.io.common.id(),
            client: self.source_of(head),
            destination: own.and_then(|own| own.ip()),
            idle_timeout,
        };
        let link = context.http.links.open(target, (key, self.wire.stream()))?;
        let most = usize::try_from(options.limits.message).unwrap_or(usize::MAX);
        let lines = match format {
            RelayFormat::Bytes => None,
            RelayFormat::Lines => Some(LineReader::new(most)),
        };
        Some(Relayed { link, lines, has_rest: false })
    }

    /// Whether more is read of what a client sends.
    pub(super) fn takes_input<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &Socket,
    ) -> bool {
        let has_room = self.has_room(context);
        let Service::Relay(relayed) = &socket.service else { return has_room };
        if socket.endpoint.closing() != Closing::Open {
            return has_room;
        }
        let HttpState { links, proxy, .. } = &mut context.http;
        let owed = self.wire.queued_of().unwrap_or_else(|| self.io.buffer.waiting());
        links.takes_from_client(relayed.link, proxy.budget().allowance())
            && (has_room || owed < OWED_MAX)
    }

    /// A part of a message goes on to the server.
    pub(super) fn pass_part<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &Socket,
        payload: &[u8],
    ) {
        let Service::Relay(relayed) = &socket.service else { return };
        let Context { http, pages, .. } = context;
        http.links.push(relayed.link, payload, pages);
    }

    /// A message has come for the server.
    pub(super) fn take_relayed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        message: &[u8],
    ) {
        let Service::Relay(relayed) = &socket.service else { return };
        let Context { http, pages, .. } = context;
        if let Err(fault) = http.links.push_message(relayed.link, message, pages) {
            let (code, reason) = fault.close();
            self.close_socket(context, socket, code, reason);
        }
    }

    /// Sends what has come from a server, as far as the client's connection takes it; the socket is
    /// closed when that was all.
    pub(super) fn send_relayed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
    ) {
        if socket.endpoint.closing() != Closing::Open {
            return;
        }
        let Service::Relay(relayed) = &mut socket.service else { return };
        let link = relayed.link;
        if !std::mem::take(&mut relayed.has_rest) && !context.http.links.has_more(link) {
            return;
        }
        let mut lines = relayed.lines.take();
        let end = self.send_from(context, socket, link, &mut lines);
        let Service::Relay(relayed) = &mut socket.service else { return };
        relayed.lines = lines;
        relayed.has_rest = end.is_none() && context.http.links.has_more(link);
        let allowance = context.http.proxy.budget().allowance();
        context.http.links.note_taken(link, allowance);
        if let Some((code, reason)) = end {
            self.close_socket(context, socket, code, reason);
        }
    }

    /// Sends what there is. Returns how the socket is to be closed, if it is.
    fn send_from<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        link: Key,
        lines: &mut Option<LineReader>,
    ) -> Option<(CloseCode, &'static str)> {
        while self.has_room(context) {
            let Some(buf) = context.http.links.next(link) else {
                let end = context.http.links.server_end(link)?;
                let cut = lines.as_mut().and_then(LineReader::at_end);
                let is_cut = end == ServerEnd::Finished && cut.is_some();
                return Some(if is_cut { LineFault::Unfinished.close() } else { end.close() });
            };
            match lines {
                None => self.send_bytes(context, socket, buf),
                Some(reader) => {
                    if let Err(fault) = self.send_lines(context, socket, reader, (link, buf)) {
                        return Some(fault.close());
                    }
                }
            }
        }
        None
    }

    /// Bytes of a server are a message as they are.
    fn send_bytes<D: Driver>(&mut self, context: &mut Context<D>, socket: &mut Socket, buf: Buf) {
        if socket.deflate.is_some() {
            return self.send_message(context, socket, Kind::Binary, &buf);
        }
        socket.times.active = context.now();
        self.count_sent(context, socket, 1, (buf.len(), buf.len()));
        let mut frames = self.frames(context);
        write::head(Opcode::Binary, (true, false), buf.len(), frames.bytes());
        frames.slice(buf);
        frames.finish();
    }

    /// Each line of a server is a message.
    fn send_lines<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        reader: &mut LineReader,
        (link, buf): (Key, Buf),
    ) -> Result<(), LineFault> {
        let mut rest: &[u8] = &buf;
        // At the very end the reader is asked once more, so that it lets go of the last line.
        while rest.is_empty() || self.has_room(context) {
            let Some(line) = next_line(reader, &mut rest) else { return Ok(()) };
            self.send_message(context, socket, Kind::Text, line?);
        }
        let from = buf.len() - rest.len();
        context.http.links.put_back(link, buf.slice(from, rest.len()));
        Ok(())
    }

    /// The socket of a relay is over: what it has sent still goes to the server.
    pub(super) fn leave_relay<D>(context: &mut Context<D>, relayed: &Relayed) {
        let HttpState { links, proxy, .. } = &mut context.http;
        links.leave(relayed.link, proxy.budget_mut());
    }
}

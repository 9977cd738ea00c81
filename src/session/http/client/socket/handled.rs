//! Sockets that code of the program answers: it gets the messages that come, and what it has said
//! goes out.

use super::open::Refused;
use super::{Service, Socket};
use crate::handler::{
    Accepted, Frame, HttpRequest, Message, Opening, Panicked, Prepared, SocketExchange, SocketLook,
    SocketSaid,
};
use crate::mem::{Buf, Key, Text};
use crate::proto::http::RequestHead;
use crate::proto::http2::StreamId;
use crate::proto::websocket::{CloseCode, Closing, Control, HEAD_MAX, Kind, write};
use crate::ring::Driver;
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::wire::StoppedBy;
use crate::session::http::deflate::{Compression, Shared};

/// Messages of the program that one socket takes in one turn.
const MOVES_PER_TURN: usize = 1024;

/// Bytes of a frame from which on it is sent from where it lies. A shorter one is copied behind
/// what was written: a send takes only so many slices.
const SLICE_MIN: usize = 1024;

/// A socket that code of the program answers.
#[derive(Debug)]
pub(super) struct Handled {
    exchange: SocketExchange,
    /// Which handler.
    place: usize,
}

impl Handled {
    pub(super) const fn new(exchange: SocketExchange, place: usize) -> Self {
        Self { exchange, place }
    }

    /// Bytes that wait for it.
    pub(super) const fn waiting(&self) -> usize {
        self.exchange.cost()
    }

    /// The socket is being closed: nothing that the program says is sent any more.
    pub(super) fn shut(&mut self, reason: &str) {
        self.exchange.shut(reason);
    }

    /// The same, by the close frame of its client.
    pub(super) fn shut_by_peer(&mut self, payload: &Control) {
        let reason = payload.bytes().get(2..).unwrap_or_default();
        self.shut(&String::from_utf8_lossy(reason));
    }

    /// The socket is over: the program is told, once.
    pub(super) fn end<D>(&mut self, context: &mut Context<D>, code: CloseCode) {
        if let Err(panicked) = self.exchange.end(code.0) {
            context.http.handlers.socket_failed(self.place, &panicked);
        }
    }
}

/// Asks the program whether a socket opens. Returns the key by which others know it.
pub(super) fn ask_program<D>(
    context: &mut Context<D>,
    of: (Key, StreamId),
    (head, told, route): (&RequestHead, &RequestRecord, &str),
    place: usize,
) -> Result<(Key, Accepted), Refused> {
    let Some(waiter) = context.http.waiting.enter(of) else {
        return Err(Refused { status: 503, reason: "resources" });
    };
    let request = HttpRequest {
        head,
        route,
        client: told.source,
        user: told.user.as_deref(),
        length: Some(0),
        timeout: None,
    };
    let limit = context.http.proxy.budget().allowance();
    let refused = match context.http.handlers.open_socket(place, &request, waiter, limit) {
        Ok(Opening::Accepted(accepted)) => return Ok((waiter, accepted)),
        Ok(Opening::Refused(status)) => Refused { status, reason: "websocket_refused" },
        Err(Panicked(_)) => Refused { status: 500, reason: "handler_failed" },
    };
    context.http.waiting.leave(waiter);
    Err(refused)
}

impl Http {
    /// A message for the program has come.
    pub(super) fn hand_message<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        (kind, payload): (Kind, &[u8]),
    ) {
        let Service::Handler(handled) = &mut socket.service else { return };
        let message = match kind {
            // It was found to be UTF-8 as it came.
            Kind::Text => std::str::from_utf8(payload).map(Message::Text),
            Kind::Binary => Ok(Message::Binary(payload)),
        };
        let Ok(message) = message else { return };
        match handled.exchange.message(message) {
            Ok(()) => self.send_said(context, of, socket),
            Err(panicked) => self.fail_socket(context, socket, &panicked),
        }
    }

    /// Sends what the program has said, as far as the connection takes it.
    pub(super) fn send_said<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, _): (Key, StreamId),
        socket: &mut Socket,
    ) {
        for _ in 0..MOVES_PER_TURN {
            if !matches!(socket.service, Service::Handler(_)) {
                return;
            }
            let takes = self.has_room(context);
            let Service::Handler(handled) = &mut socket.service else { return };
            let (look, dropped) =
                handled.exchange.look(context.http.proxy.budget().allowance(), takes);
            if dropped > 0
                && let Some(stats) = self.socket_stats(context, socket)
            {
                stats.dropped.add(dropped.into());
            }
            match look {
                SocketLook::Said(SocketSaid::Frame(frame)) => {
                    self.send_frame(context, socket, frame);
                }
                SocketLook::Said(SocketSaid::Close(code, reason)) => {
                    self.close_socket(context, socket, code, &reason);
                }
                SocketLook::Room => {
                    let Service::Handler(handled) = &mut socket.service else { return };
                    if let Err(panicked) = handled.exchange.give_room() {
                        self.fail_socket(context, socket, &panicked);
                    }
                }
                SocketLook::Blocked | SocketLook::Nothing => return,
            }
        }
        // Others have their turn.
        self.wire.note_stopped(StoppedBy::Turn);
        self.io.common.postpone(context, key, true);
    }

    /// Sends a message of the program.
    fn send_frame<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        frame: Frame,
    ) {
        if socket.endpoint.closing() != Closing::Open {
            return;
        }
        match frame {
            Frame::Own { kind, frame, head } if socket.deflate.is_some() => {
                self.send_message(context, socket, kind, &frame[head..]);
            }
            Frame::Own { frame, head, .. } => {
                let payload = frame.len() - head;
                self.send_made(context, socket, Made::Own(frame), payload);
            }
            Frame::Prepared(prepared) => self.send_prepared(context, socket, &prepared),
        }
    }

    fn send_prepared<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        prepared: &Prepared,
    ) {
        let frame = match socket.deflate.as_deref() {
            None => prepared.frame().clone(),
            Some(deflate) if deflate.has_context() => {
                return self.send_message(context, socket, prepared.kind(), prepared.payload());
            }
            Some(deflate) if prepared.len() < deflate.shared().min => prepared.frame().clone(),
            Some(deflate) => {
                let how = deflate.shared();
                let compression = &mut context.http.compression;
                prepared.deflated((how.window_bits, how.level), |prepared| {
                    deflated(prepared, how, compression)
                })
            }
        };
        self.send_made(context, socket, Made::Prepared(frame), prepared.len());
    }

    /// Sends a frame as it is. Its message has so many bytes before it is compressed.
    fn send_made<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        frame: Made,
        payload: usize,
    ) {
        socket.times.active = context.now();
        self.count_sent(context, socket, 1, (payload, frame.bytes().len()));
        let mut frames = self.frames(context);
        if frame.bytes().len() < SLICE_MIN {
            frames.bytes().extend_from_slice(frame.bytes());
        } else {
            frames.slice(match frame {
                Made::Own(frame) => Buf::from(frame),
                Made::Prepared(frame) => Buf::text(&frame),
            });
        }
        frames.finish();
    }

    /// The program has panicked: the socket is closed.
    fn fail_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        panicked: &Panicked,
    ) {
        let Service::Handler(handled) = &socket.service else { return };
        context.http.handlers.socket_failed(handled.place, panicked);
        self.close_socket(context, socket, CloseCode::INTERNAL, "the handler failed");
    }
}

/// A frame as it is sent.
enum Made {
    Own(Vec<u8>),
    Prepared(Text),
}

impl Made {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(frame) => frame,
            Self::Prepared(frame) => frame,
        }
    }
}

/// The frame of a message that is compressed, where that is shorter.
fn deflated(prepared: &Prepared, how: Shared, compression: &mut Compression) -> Text {
    let mut deflated = compression.take_deflated();
    compression.deflate_shared(prepared.payload(), how, &mut deflated);
    let frame = if deflated.len() < prepared.len() {
        let mut frame = Vec::with_capacity(deflated.len() + HEAD_MAX);
        write::frame(prepared.kind().opcode(), (true, true), &deflated, None, &mut frame);
        Text::from(frame.as_slice())
    } else {
        prepared.frame().clone()
    };
    compression.give_deflated(deflated);
    frame
}

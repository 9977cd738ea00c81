//! Our own answers: those of the responder, and files.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::ANSWERS_MAX;
use crate::fs::{FileEvent, FileReader};
use crate::mem::{Buf, Key, Pages};
use crate::net::Stream;
use crate::proto::frame::{
    Code, Command, FrameError, PayloadError, Version, write_around, write_frame,
};
use crate::ring::{Completion, Driver, Fd, Lane};
use crate::runtime::Reactor;
use crate::service::frame::transfers::{Reset, Transfers};
use crate::service::frame::{Responder, Served, Sources, not_found};
use crate::service::topics::Publication;
use crate::session::Due;
use crate::session::context::Context;
use crate::session::options::{DescriptorLimits, FrameOptions};
use crate::session::write_buffer::WriteBuffer;

/// Files and values of one connection that are sent at once. Without flow control, no more requests
/// are read; with it, others are refused as `overloaded`.
pub(crate) const TRANSFERS_MAX: usize = 64;
/// What clients are told.
const TOO_MANY: &str = "too many files are sent at once";
const NOT_ALLOWED: &str = "the client has allowed no more of it in time";
const RESET: &str = "the client has reset the stream";

/// What answers: the responder, and the answers that are being sent in parts.
#[derive(Debug)]
pub(super) struct Local {
    options: Arc<FrameOptions>,
    responder: Responder,
    transfers: Transfers<Source>,
    /// A read found no buffer, and waits for one.
    starved: bool,
}

/// Where an answer comes from.
#[derive(Debug)]
enum Source {
    File(FileReader),
    /// A value of this name, from this byte on.
    Value(String, usize),
}

/// Where answers go: the connection's buffer, its stream, the worker's pages.
pub(super) struct Output<'a> {
    pub(super) buffer: &'a mut WriteBuffer,
    pub(super) stream: &'a mut Stream,
    pub(super) pages: &'a mut Pages,
}

impl Output<'_> {
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        self.buffer.bytes(self.pages)
    }
}

impl Local {
    pub(super) fn new(options: Arc<FrameOptions>) -> Self {
        let responder = Responder::new(&options.service);
        Self { options, responder, transfers: Transfers::default(), starved: false }
    }

    pub(super) fn responder(&mut self) -> &mut Responder {
        &mut self.responder
    }

    /// Whether answers are under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.transfers.is_empty()
    }

    /// Whether no further request may be read now.
    pub(super) fn is_full(&self) -> bool {
        is_full(&self.responder, &self.transfers)
    }

    /// Whether answers go on without anything that the client has yet to send.
    pub(super) fn waits(&self) -> bool {
        self.transfers.is_reading() || self.transfers.has_next()
    }

    /// Whether open answers need what the client has yet to send.
    pub(super) fn needs_credit(&self) -> bool {
        self.is_busy() && self.responder.flow().1.is_some()
    }

    /// Ends the answers for which the client has allowed no more for so long.
    pub(super) fn expire_stalled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        buffer: &mut WriteBuffer,
        limit: Duration,
    ) {
        for stream in self.transfers.stalled(context.now(), limit) {
            if let Reset::Cancelled(source) = self.transfers.reset(stream) {
                source.close(&mut context.reactor);
            }
            let out = buffer.bytes(&mut context.pages);
            self.responder.refuse(stream, Code::Deadline, NOT_ALLOWED, out);
        }
    }

    /// GOAWAY was sent, and reading goes on.
    pub(super) fn close_door(&mut self) {
        self.responder.close_door();
    }

    /// The client sends no more.
    pub(super) fn ended(&mut self) {
        self.transfers.lift_credit();
    }

    pub(super) fn is_quiet(&self) -> bool {
        !self.transfers.is_reading()
    }

    /// Answers what is in `buf`, as far as the turn's budget goes; what is left comes back.
    ///
    /// # Errors
    /// What the client did that ends the connection.
    pub(super) fn answer<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        buffer: &mut WriteBuffer,
        stream: &mut Stream,
        buf: &Buf,
    ) -> Result<Option<Buf>, FrameError> {
        let Context { handler, pages, options, reactor, topics, .. } = context;
        let stats = |out: &mut Vec<u8>| options.workers.write_json(out);
        let door = options.descriptors;
        let Self { options: own, responder, transfers, .. } = self;
        let mut publish = |publication: Publication| {
            let set = own.topics.as_ref();
            set.map_or(Ok(()), |set| topics.publish_to(set, publication, &options.workers))
        };
        let handler = handler.as_mut();
        let mut sources = Sources { handler, stats: &stats, publish: &mut publish };
        let mut output = Output { buffer, stream, pages };
        let mut rest: &[u8] = buf;
        // Answers that are, byte for byte, a stretch of the input: sent from where they lie.
        let mut same: Option<(usize, usize)> = None;
        let left = loop {
            if output.buffer.waiting() >= ANSWERS_MAX || is_full(responder, transfers) {
                break Some(buf.len() - rest.len());
            }
            let out = output.bytes();
            let served = responder.next(&own.service, &mut rest, &mut sources, out);
            let at = buf.len() - rest.len();
            if let (Ok(Served::Same(len)), Some((_, end))) = (&served, &mut same)
                && *end + len == at
            {
                *end = at;
                continue;
            }
            if let Some((start, end)) = same.take() {
                output.buffer.slice(output.stream, buf.slice(start, end - start));
            }
            match served {
                Ok(Served::Nothing) => break None,
                Ok(Served::Written) => {}
                Ok(Served::Same(len)) => {
                    output.buffer.finish(output.pages, output.stream);
                    same = Some((at - len, at));
                }
                Ok(Served::Credit { stream, bytes }) => add_credit(transfers, stream, bytes)?,
                Ok(Served::Reset { stream }) => {
                    reset(responder, transfers, stream, output.bytes(), reactor);
                }
                Ok(Served::File { stream, .. } | Served::Value { stream, .. })
                    if transfers.len() >= transfers_max(responder) =>
                {
                    responder.refuse(stream, Code::Overloaded, TOO_MANY, output.bytes());
                }
                Ok(Served::Value { stream, name }) => {
                    transfers.begin(stream, Source::Value(name, 0), responder.flow().1);
                }
                Ok(Served::File { stream, name }) => match open(own, reactor, &name, door) {
                    Ok(file) => transfers.begin(stream, Source::File(file), responder.flow().1),
                    Err(errno) => refuse(responder, stream, &name, errno, &mut output),
                },
                Err(error) => return Err(error),
            }
        };
        if let Some((start, end)) = same.take() {
            output.buffer.slice(output.stream, buf.slice(start, end - start));
        }
        let left = left.filter(|&from| from < buf.len());
        Ok(left.map(|from| buf.slice(from, buf.len() - from)))
    }

    /// Reads on in the answers that are under way, each in its turn.
    pub(super) fn read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        buffer: &mut WriteBuffer,
        stream: &mut Stream,
    ) {
        let Self { options, responder, transfers, starved } = self;
        let mut output = Output { buffer, stream, pages: &mut context.pages };
        while !*starved && output.buffer.waiting() < ANSWERS_MAX {
            let Some(transfer) = transfers.take_turn() else { return };
            match &mut transfer.source {
                Source::File(file) => {
                    file.read(&mut context.reactor, key);
                    transfers.reading();
                    return;
                }
                Source::Value(name, at) => {
                    let value = options.service.values.get(name).map_or(&[][..], Vec::as_slice);
                    let rest = value.get(*at..).unwrap_or_default();
                    let part = rest.get(..responder.max_payload()).unwrap_or(rest);
                    if part.is_empty() {
                        responder.end_parts(transfer.stream, transfer.end(), output.bytes());
                        transfers.finish();
                        continue;
                    }
                    let taken = transfer.take_credit(part.len());
                    if let Some(part) = part.get(..taken).filter(|part| !part.is_empty()) {
                        transfer.count(part);
                        let header = responder.header(transfer.stream, Command::DATA);
                        write_frame(&header, part, output.bytes());
                        if let Source::Value(_, at) = &mut transfer.source {
                            *at += taken;
                        }
                    }
                }
            }
        }
    }

    /// There are free buffers again.
    pub(super) fn feed(&mut self) {
        self.starved = false;
    }

    /// A read has completed. With `wanted` false, nobody waits for it any more.
    pub(super) fn handle_read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
        output: (&mut WriteBuffer, &mut Stream),
        wanted: bool,
    ) {
        let Self { responder, transfers, starved, .. } = self;
        let Some(transfer) = transfers.read() else { return };
        let Source::File(file) = &mut transfer.source else { return };
        let before = file.offset();
        let event = file.handle(completion);
        let is_cancelled = transfer.is_cancelled();
        if !wanted {
            return;
        }
        let (buffer, stream) = output;
        let mut output = Output { buffer, stream, pages: &mut context.pages };
        match event {
            _ if is_cancelled => {}
            FileEvent::Data(buf) => {
                let taken = transfer.take_credit(buf.len());
                if let (true, Source::File(file)) = (taken < buf.len(), &mut transfer.source) {
                    // What exceeds the credit is read again later, rather than held.
                    file.seek(before + taken as u64);
                }
                if taken > 0 {
                    let part = buf.slice(0, taken);
                    transfer.count(&part);
                    write_data(responder, transfer.stream, &part, &mut output);
                }
                return;
            }
            FileEvent::Starved => {
                *starved = true;
                context.starved.push_back((key, Lane::Upstream));
                return;
            }
            FileEvent::End => {
                responder.end_parts(transfer.stream, transfer.end(), output.bytes());
            }
            FileEvent::Failed(errno) => {
                let text = format!("the file cannot be read: {}", errno.desc());
                responder.refuse(transfer.stream, Code::Internal, &text, output.bytes());
            }
        }
        if let Some(transfer) = transfers.finish() {
            transfer.source.close(&mut context.reactor);
        }
    }

    /// Closes the files that are under way.
    pub(super) fn close<D: Driver>(&mut self, context: &mut Context<D>) {
        self.transfers.drain().for_each(|transfer| transfer.source.close(&mut context.reactor));
    }
}

/// Whether no further request may be read now. With flow control, what gives credit to answers
/// comes between requests, and so reading never stops.
fn is_full(responder: &Responder, transfers: &Transfers<Source>) -> bool {
    match responder.flow() {
        (Version::V1, _) => !transfers.is_empty(),
        (Version::V2, None) => transfers.len() >= transfers_max(responder),
        (Version::V2, Some(_)) => false,
    }
}

fn transfers_max(responder: &Responder) -> usize {
    responder.window().min(TRANSFERS_MAX)
}

/// The client no longer waits for an answer.
fn reset<D: Driver>(
    responder: &mut Responder,
    transfers: &mut Transfers<Source>,
    stream: u32,
    out: &mut Vec<u8>,
    reactor: &mut Reactor<D, Due>,
) {
    let found = transfers.reset(stream);
    if !matches!(found, Reset::Over) {
        responder.refuse(stream, Code::Cancelled, RESET, out);
    }
    if let Reset::Cancelled(source) = found {
        source.close(reactor);
    }
}

fn add_credit(
    transfers: &mut Transfers<Source>,
    stream: u32,
    bytes: u32,
) -> Result<(), FrameError> {
    let too_much = |sum| FrameError::Credit { stream, source: PayloadError::Credit(sum) };
    transfers.add_credit(stream, bytes).map_err(too_much)
}

impl Source {
    fn close<D: Driver>(self, reactor: &mut Reactor<D, Due>) {
        match self {
            Self::File(file) => file.close(reactor),
            Self::Value(..) => {}
        }
    }
}

fn open<D: Driver>(
    options: &FrameOptions,
    reactor: &mut Reactor<D, Due>,
    name: &str,
    door: DescriptorLimits,
) -> Result<FileReader, Errno> {
    let root: Fd = options.root.as_ref().ok_or(Errno::ENOENT)?.fd();
    let file = FileReader::open(reactor, root, name, Lane::Upstream)?;
    if file.fd().0 >= door.pause {
        // The last descriptors are reserved: clients can keep many files open by waiting.
        file.close(reactor);
        return Err(Errno::EMFILE);
    }
    Ok(file)
}

/// A part of a file leaves from the buffer that it was read into, between a header and a checksum.
fn write_data(responder: &Responder, stream: u32, buf: &Buf, output: &mut Output<'_>) {
    let header = responder.header(stream, Command::DATA);
    let step = responder.max_payload();
    for start in (0..buf.len()).step_by(step) {
        let part = buf.slice(start, step.min(buf.len() - start));
        let checksum = write_around(&header, &part, output.bytes());
        output.buffer.finish(output.pages, output.stream);
        output.buffer.slice(output.stream, part);
        output.bytes().extend_from_slice(&checksum);
    }
}

/// A file that cannot be opened is not there, as far as a client is told, unless the fault is
/// ours.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
fn refuse(
    responder: &mut Responder,
    stream: u32,
    name: &str,
    errno: Errno,
    output: &mut Output<'_>,
) {
    match errno {
        Errno::ENOENT
        | Errno::ENOTDIR
        | Errno::EISDIR
        | Errno::ELOOP
        | Errno::EXDEV
        | Errno::EACCES
        | Errno::ENXIO
        | Errno::ENAMETOOLONG => {
            responder.refuse(stream, Code::NotFound, &not_found(name), output.bytes());
        }
        Errno::EMFILE | Errno::ENFILE => {
            responder.refuse(stream, Code::Overloaded, TOO_MANY, output.bytes());
        }
        _ => {
            let text = format!("the file cannot be opened: {}", errno.desc());
            responder.refuse(stream, Code::Internal, &text, output.bytes());
        }
    }
}

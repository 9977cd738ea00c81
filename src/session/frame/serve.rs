//! Our own answers: those of the responder, and files.

use std::sync::Arc;

use nix::errno::Errno;

use super::ANSWERS_MAX;
use crate::fs::{FileEvent, FileReader};
use crate::mem::{Buf, Key, Pages};
use crate::net::Stream;
use crate::proto::frame::{Code, Command, End, FrameError, write_around};
use crate::ring::{Completion, Driver, Fd, Lane};
use crate::runtime::Reactor;
use crate::service::frame::{Responder, Served, Sources, not_found};
use crate::session::Due;
use crate::session::context::Context;
use crate::session::options::FrameOptions;
use crate::session::outlet::Outlet;

/// What answers: the responder, and the file that is being sent.
#[derive(Debug)]
pub(super) struct Local {
    options: Arc<FrameOptions>,
    responder: Responder,
    transfer: Option<Transfer>,
    /// The read of the file found no buffer, and waits for one.
    starved: bool,
}

/// A file on its way to the client.
#[derive(Debug)]
struct Transfer {
    stream: u32,
    file: FileReader,
    total: u64,
    checksum: crc32fast::Hasher,
}

/// Where answers go: the connection's outlet, its stream, the worker's pages.
pub(super) struct Output<'a> {
    pub(super) outlet: &'a mut Outlet,
    pub(super) stream: &'a mut Stream,
    pub(super) pages: &'a mut Pages,
}

impl Output<'_> {
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        self.outlet.bytes(self.pages)
    }
}

impl Local {
    pub(super) fn new(options: Arc<FrameOptions>) -> Self {
        let responder = Responder::new(&options.service);
        Self { options, responder, transfer: None, starved: false }
    }

    pub(super) fn responder(&mut self) -> &mut Responder {
        &mut self.responder
    }

    /// Whether a file is under way, before which nothing else is answered.
    pub(super) fn is_busy(&self) -> bool {
        self.transfer.is_some()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.transfer.as_ref().is_none_or(|transfer| transfer.file.is_quiet())
    }

    /// Answers what is in `buf`, as far as the turn's budget goes; what is left comes back.
    ///
    /// # Errors
    /// What the client did that ends the connection.
    pub(super) fn answer<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        outlet: &mut Outlet,
        stream: &mut Stream,
        buf: &Buf,
    ) -> Result<Option<Buf>, FrameError> {
        let Context { handler, pages, options, reactor, .. } = context;
        let stats = |out: &mut Vec<u8>| options.fleet.write_json(out);
        let mut sources = Sources { handler: handler.as_mut(), stats: &stats };
        let service = &self.options.service;
        let mut output = Output { outlet, stream, pages };
        let mut rest: &[u8] = buf;
        // Answers that are, byte for byte, a stretch of the input: sent from where they lie.
        let mut same: Option<(usize, usize)> = None;
        let left = loop {
            if output.outlet.waiting() >= ANSWERS_MAX {
                break Some(buf.len() - rest.len());
            }
            let served = self.responder.next(service, &mut rest, &mut sources, output.bytes());
            let at = buf.len() - rest.len();
            if let (Ok(Served::Same(len)), Some((_, end))) = (&served, &mut same)
                && *end + len == at
            {
                *end = at;
                continue;
            }
            if let Some((start, end)) = same.take() {
                output.outlet.slice(output.stream, buf.slice(start, end - start));
            }
            match served {
                Ok(Served::Nothing) => break None,
                Ok(Served::Written) => {}
                Ok(Served::Same(len)) => {
                    output.outlet.finish(output.pages, output.stream);
                    same = Some((at - len, at));
                }
                Ok(Served::File { stream, name }) => match open(&self.options, reactor, &name) {
                    Ok(file) => {
                        let checksum = crc32fast::Hasher::new();
                        self.transfer = Some(Transfer { stream, file, total: 0, checksum });
                        break Some(at);
                    }
                    Err(errno) => refuse(&mut self.responder, stream, &name, errno, &mut output),
                },
                Err(error) => return Err(error),
            }
        };
        if let Some((start, end)) = same.take() {
            output.outlet.slice(output.stream, buf.slice(start, end - start));
        }
        let left = left.filter(|&from| from < buf.len());
        Ok(left.map(|from| buf.slice(from, buf.len() - from)))
    }

    /// Reads on in the file that is under way.
    pub(super) fn read<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let (Some(transfer), false) = (&mut self.transfer, self.starved) {
            transfer.file.read(&mut context.reactor, key);
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
        output: (&mut Outlet, &mut Stream),
        wanted: bool,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let event = transfer.file.handle(completion);
        if !wanted {
            return;
        }
        let (outlet, stream) = output;
        let mut output = Output { outlet, stream, pages: &mut context.pages };
        match event {
            FileEvent::Data(buf) => {
                transfer.total += buf.len() as u64;
                transfer.checksum.update(&buf);
                write_data(&self.responder, transfer.stream, &buf, &mut output);
            }
            FileEvent::Starved => {
                self.starved = true;
                context.starved.push_back((key, Lane::Upstream));
            }
            FileEvent::End => {
                let Transfer { stream, total, checksum, .. } = transfer;
                let end = End { total: *total, checksum: checksum.clone().finalize() };
                self.responder.end_file(*stream, end, output.bytes());
                self.close(context);
            }
            FileEvent::Failed(errno) => {
                let text = format!("the file can not be read: {}", errno.desc());
                let stream = transfer.stream;
                self.responder.refuse(stream, Code::Internal, &text, output.bytes());
                self.close(context);
            }
        }
    }

    /// Closes the file that is under way, if there is one.
    pub(super) fn close<D: Driver>(&mut self, context: &mut Context<D>) {
        if let Some(transfer) = self.transfer.take() {
            transfer.file.close(&mut context.reactor);
        }
    }
}

fn open<D: Driver>(
    options: &FrameOptions,
    reactor: &mut Reactor<D, Due>,
    name: &str,
) -> Result<FileReader, Errno> {
    let root: Fd = options.root.as_ref().ok_or(Errno::ENOENT)?.fd();
    FileReader::open(reactor, root, name, Lane::Upstream)
}

/// A part of a file leaves from the buffer that it was read into, between a header and a checksum.
fn write_data(responder: &Responder, stream: u32, buf: &Buf, output: &mut Output<'_>) {
    let header = responder.header(stream, Command::DATA);
    let step = responder.max_payload();
    for start in (0..buf.len()).step_by(step) {
        let part = buf.slice(start, step.min(buf.len() - start));
        let checksum = write_around(&header, &part, output.bytes());
        output.outlet.finish(output.pages, output.stream);
        output.outlet.slice(output.stream, part);
        output.bytes().extend_from_slice(&checksum);
    }
}

/// A file that can not be opened is not there, as far as a client is told, unless the fault is
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
        _ => {
            let text = format!("the file can not be opened: {}", errno.desc());
            responder.refuse(stream, Code::Internal, &text, output.bytes());
        }
    }
}

//! Files on their way to a client, by `sendfile`. Bytes that are not in memory are first read on
//! the ring, so that the loop never waits for a disk.

use nix::errno::Errno;

use super::{Piece, Transfer, as_len};
use crate::fs::FileEvent;
use crate::mem::{Buf, Key};
use crate::proto::http2::ErrorCode;
use crate::ring::{Completion, Driver, Fd, Lane};
use crate::service::CloseReason;
use crate::service::http::files::range::ByteRange;
use crate::session::context::Context;
use crate::session::http::cache::Opened;
use crate::session::http::client::Http;
use crate::session::http::client::request::{Request, Responder};
use crate::session::http::client::wire::Wire;
use crate::session::http::residency::WINDOW;

/// Bytes that are read to be sealed at once: they and what they are sealed to are pages that are
/// used again.
const SEALED: u64 = 192 * 1024;

impl Http {
    /// Sends what can be sent of the file; true when the answer is over.
    pub(in crate::session::http) fn send_file<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> bool {
        if self.wire.is_http2() {
            return self.send_file_on_stream(context, key, request);
        }
        let most = context.options.relay.turn_budget.min(context.bulk.left()) as u64;
        let mut left = most;
        let is_over = self.send_pieces(context, key, request, &mut left);
        context.bulk.spend(as_len(most - left));
        // A socket that is not ready tells when it is.
        let is_ready = self.io.stream.is_drained() && !self.io.stream.is_blocked();
        if left == 0 && !is_over && is_ready && !self.io.is_closing() {
            self.io.common.postpone(context, key, most > 0);
        }
        is_over
    }

    fn send_pieces<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        budget: &mut u64,
    ) -> bool {
        loop {
            // What is written goes first, and nothing overtakes what is read.
            self.io.buffer.finish(&mut context.pages, &mut self.io.stream);
            self.send_head_ahead(context, request);
            self.io.stream.flush(&mut context.reactor, key);
            let Responder::File(transfer) = &mut request.responder else { return false };
            if transfer.broken {
                self.cut_file(context, key, request);
                return false;
            }
            if !transfer.reader.is_quiet() || transfer.starved {
                return false;
            }
            if transfer.load.is_some() {
                transfer.reader.read(&mut context.reactor, key);
                return false;
            }
            let Some(piece) = transfer.rest.pop() else {
                return self.end_file(context, request);
            };
            match piece {
                Piece::Text(text) => {
                    transfer.told.sent += text.len() as u64;
                    self.io.buffer.bytes(&mut context.pages).extend_from_slice(&text);
                }
                Piece::Range(range) => {
                    match self.send_range(context, key, transfer, range, budget) {
                        Sending::Goes => {}
                        Sending::Waits => return false,
                    }
                }
            }
        }
    }

    /// What is written goes to the kernel at once if a stretch of a file follows.
    fn send_head_ahead<D: Driver>(&mut self, context: &mut Context<D>, request: &Request) {
        let Responder::File(transfer) = &request.responder else { return };
        let follows =
            matches!(transfer.rest.last(), Some(Piece::Range(range)) if !range.is_empty());
        let is_held = transfer.broken || transfer.starved || transfer.load.is_some();
        if !follows || is_held || !transfer.reader.is_quiet() {
            return;
        }
        let sent = self.io.stream.send_ahead(&mut context.reactor);
        if sent > 0 {
            self.io.buffer.sent(sent);
            self.io.common.count_sent(context, sent);
            self.waits.progress = context.now();
        }
    }

    /// Sends a stretch of a file; what is left of it is put back.
    fn send_range<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        transfer: &mut Transfer,
        range: ByteRange,
        budget: &mut u64,
    ) -> Sending {
        let ready = self.io.stream.is_drained() && !self.io.stream.is_blocked();
        if range.is_empty() {
            return Sending::Goes;
        }
        if !ready || *budget == 0 {
            transfer.rest.push(Piece::Range(range));
            return Sending::Waits;
        }
        let Some(socket) = self.io.stream.fd() else { return Sending::Waits };
        if range.end - range.start <= WINDOW.min(*budget) && !is_last_good(context, transfer) {
            // It may be the last stretch: what was sent is not all of the tag's version.
            transfer.broken = true;
            return Sending::Goes;
        }
        if !self.takes_pages(context, key) {
            return self.seal_range(context, key, transfer, range, budget);
        }
        self.send_pages(context, key, transfer, (range, socket), budget)
    }

    /// Sends a stretch from the page cache; what is not there is read first.
    fn send_pages<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        transfer: &mut Transfer,
        (range, socket): (ByteRange, Fd),
        budget: &mut u64,
    ) -> Sending {
        let file = transfer.file.fd;
        let window = (range.end - range.start).min(WINDOW).min(*budget);
        let now = context.now();
        let part = (range.start, as_len(window));
        if !transfer.file.is_resident(context.reactor.driver(), now, part) {
            transfer.reader.seek(range.start);
            transfer.reader.read(&mut context.reactor, key);
            transfer.rest.push(Piece::Range(range));
            return Sending::Waits;
        }
        match context.reactor.driver().sendfile(socket, file, range.start, as_len(window)) {
            Ok(0) => {
                transfer.broken = true;
                Sending::Goes
            }
            Ok(sent) => {
                transfer.advance(range, sent as u64);
                *budget -= (sent as u64).min(*budget);
                self.waits.progress = context.now();
                self.io.stream.note_written(sent);
                self.io.common.count_sent(context, sent);
                if (sent as u64) < window {
                    // The socket is full, or the file is shorter than it was: the next call tells.
                    self.io.stream.watch_writable(&mut context.reactor, key);
                    return Sending::Waits;
                }
                Sending::Goes
            }
            Err(Errno::EAGAIN) => {
                transfer.rest.push(Piece::Range(range));
                self.io.stream.watch_writable(&mut context.reactor, key);
                Sending::Waits
            }
            Err(Errno::EINTR) => {
                transfer.rest.push(Piece::Range(range));
                Sending::Goes
            }
            Err(errno) => {
                tracing::debug!(id = self.io.common.id(), %errno, "sendfile failed");
                self.close(context, key, CloseReason::ClientReset);
                Sending::Waits
            }
        }
    }

    /// Whether `sendfile` may be used: without TLS, or where the kernel encrypts.
    fn takes_pages<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let was_offloaded = self.io.stream.is_offloaded();
        let takes = self.io.stream.takes_pages(&mut context.reactor, key);
        if !was_offloaded && self.io.stream.is_offloaded() {
            self.io.common.listener.stats.tls.offloaded.add(1);
        }
        takes
    }

    /// Reads a stretch of a file that is in memory, to be sealed and sent.
    fn seal_range<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        transfer: &mut Transfer,
        range: ByteRange,
        budget: &mut u64,
    ) -> Sending {
        let window = as_len((range.end - range.start).min(SEALED).min(*budget));
        let mut page = context.pages.take();
        let (file, start) = (transfer.file.fd, range.start);
        let read = context.reactor.driver().read_now(file, start, window, page.bytes());
        match read {
            Ok(0) => transfer.broken = true,
            Ok(count) => {
                transfer.advance(range, count as u64);
                *budget -= (count as u64).min(*budget);
                self.io.buffer.slice(&mut self.io.stream, context.pages.seal(page));
                return Sending::Goes;
            }
            // It is not in memory, or the file system cannot say so.
            Err(_) => {
                transfer.rest.push(Piece::Range(range));
                transfer.reader.seek(start);
                transfer.reader.read(&mut context.reactor, key);
                context.pages.put_back(page);
                return Sending::Waits;
            }
        }
        context.pages.put_back(page);
        Sending::Goes
    }

    /// A read of the file has completed.
    pub(in crate::session::http) fn handle_read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        self.with_reading_request(context, |this, context| {
            this.take_read_completion(context, key, completion);
        });
        self.io.mark_dirty(context, key);
    }

    fn take_read_completion<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let Some(mut request) = self.request.take() else { return };
        if let Responder::File(transfer) = &mut request.responder {
            let event = transfer.reader.handle(completion);
            if !self.io.is_closing() {
                self.take_file_event(context, key, &mut request, event);
            }
        }
        self.keep(context, request);
    }

    fn take_file_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        event: FileEvent,
    ) {
        let Responder::File(transfer) = &mut request.responder else { return };
        match event {
            FileEvent::Data(buf) if transfer.load.is_some() => {
                self.take_content(context, key, request, &buf);
            }
            FileEvent::Data(buf) => self.take_read(context, transfer, buf),
            FileEvent::Starved => {
                transfer.starved = true;
                context.starved.push_back((key, Lane::Upstream));
            }
            FileEvent::End => transfer.broken = true,
            FileEvent::Failed(errno) => {
                transfer.broken = true;
                let now = context.now();
                if let Some(others) = context.notices.files.due(now) {
                    let id = self.io.common.id();
                    tracing::warn!(id, others, %errno, "a file cannot be read");
                }
            }
        }
    }

    /// Bytes that were not in memory: they are sent from the buffer that they were read into.
    fn take_read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        transfer: &mut Transfer,
        mut buf: Buf,
    ) {
        let Some(Piece::Range(range)) = transfer.rest.pop() else { return };
        let wanted = as_len(range.end - range.start).min(buf.len());
        buf.truncate(wanted);
        transfer.advance(range, wanted as u64);
        self.send_slice(context, buf);
    }

    /// A part of the file goes out from where it lies.
    pub(super) fn send_slice<D: Driver>(&mut self, context: &mut Context<D>, part: Buf) {
        if let Wire::Http2(many) = &mut self.wire {
            return many.server.send_part(many.at, part);
        }
        self.io.buffer.finish(&mut context.pages, &mut self.io.stream);
        self.io.buffer.slice(&mut self.io.stream, part);
    }

    /// A part of a file that is kept in memory.
    fn take_content<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        buf: &Buf,
    ) {
        let Responder::File(transfer) = &mut request.responder else { return };
        let Some(load) = &mut transfer.load else { return };
        load.content.extend_from_slice(buf);
        let len = as_len(transfer.file.info.len);
        if load.content.len() < len {
            return;
        }
        load.content.truncate(len);
        let content = Buf::copy_of(&load.content);
        let Context { http, reactor, .. } = &mut *context;
        let file = &transfer.file;
        let is_unwritten = match http.caches.find(load.cache) {
            Some(cache) => cache.keep(reactor, &load.name, file, &content),
            None => is_unwritten(context, file),
        };
        if !is_unwritten {
            // These bytes are not those of the tag that the head has.
            transfer.broken = true;
            return;
        }
        transfer.load = None;
        if request.encoding.is_some() {
            if let Some(asked) = transfer.take_request() {
                self.send_encoded(context, key, request, asked, content);
            }
            return;
        }
        for piece in std::mem::take(&mut transfer.rest).into_iter().rev() {
            let part = match piece {
                Piece::Text(text) => Buf::copy_of(&text),
                Piece::Range(range) => {
                    content.slice(as_len(range.start), as_len(range.end - range.start))
                }
            };
            transfer.told.sent += part.len() as u64;
            self.send_slice(context, part);
        }
    }

    pub(super) fn end_file<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) -> bool {
        let responder = std::mem::replace(&mut request.responder, Responder::Done);
        if let Responder::File(mut transfer) = responder
            && let Some((head, told)) = transfer.take_request()
        {
            self.finish_request(context, head, &told);
        }
        self.after_answer(context);
        true
    }

    /// The file became shorter while it was sent: the client must not take what it has for all of
    /// it.
    pub(super) fn cut_file<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) {
        if let Responder::File(transfer) = &mut request.responder
            && let Some((head, mut told)) = transfer.take_request()
        {
            told.reason = Some(CloseReason::FileCut.name());
            let stats = self.route_stats(told.route, context.options.worker);
            stats.into_iter().for_each(|stats| stats.files_cut.add(1));
            self.finish_request(context, head, &told);
        }
        if self.wire.is_http2() {
            return self.reset_stream(context, ErrorCode::INTERNAL_ERROR);
        }
        self.close(context, key, CloseReason::FileCut);
    }
}

/// Whether the file is as it was opened, before what may be the last stretch of it. Where that is
/// all of the answer, the look that opened it in this turn is as good as another.
fn is_last_good<D: Driver>(context: &mut Context<D>, transfer: &Transfer) -> bool {
    let is_all = transfer.told.sent == 0;
    let (file, now) = (&transfer.file, context.now());
    (is_all && file.was_looked_at(now)) || is_unwritten(context, file)
}

/// Whether a file was not written since it was opened.
pub(super) fn is_unwritten<D: Driver>(context: &mut Context<D>, file: &Opened) -> bool {
    context.reactor.driver().look_at(file.fd).is_ok_and(|now| file.is_unwritten(&now))
}

/// Whether sending goes on at once.
pub(super) enum Sending {
    Goes,
    Waits,
}

//! Files on their way to a client: small ones from memory in one send with the head, large ones by
//! `sendfile`. Bytes that are not in memory are first read on the ring, so that the loop never
//! waits for a disk.

use std::rc::Rc;

use nix::errno::Errno;

use super::cache::{Found, Opened};
use super::client::{Http, Phase};
use super::find::{NotFound, choose_coding, find, open};
use super::options::FilesOptions;
use super::state::Output;
use crate::fs::{FileEvent, FileReader};
use crate::mem::{Buf, Key};
use crate::proto::http::{Method, RequestHead, ResponseHead};
use crate::proto::http1::{Framing, write};
use crate::ring::{Completion, Driver, Fd, Lane};
use crate::service::CloseReason;
use crate::service::http::compression::{Fate, Whole};
use crate::service::http::files::path::folder_location;
use crate::service::http::files::range::ByteRange;
use crate::service::http::files::{Body, Plan, page_plan, plan};
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;

/// Bytes that are asked about, and sent, at once.
const WINDOW: u64 = 2 * 1024 * 1024;

/// Bytes that are read to be sealed at once: they and what they are sealed to are pages that are
/// used again.
const SEALED: u64 = 192 * 1024;

/// A file on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    file: Rc<Opened>,
    reader: FileReader,
    /// The request, until it is over.
    head: Option<Box<RequestHead>>,
    told: RequestRecord,
    /// What is to be sent, the next last.
    rest: Vec<Piece>,
    /// What is being read to be kept in memory, and under which name.
    load: Option<Load>,
    /// A read found no buffer, and waits for one.
    starved: bool,
    /// A read has come to the end of the file, or failed, before all was sent.
    broken: bool,
}

/// A part of a body.
#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Range(ByteRange),
}

/// A file that is read into memory.
#[derive(Debug)]
struct Load {
    cache: usize,
    name: String,
    content: Vec<u8>,
}

impl Transfer {
    pub(super) const fn is_quiet(&self) -> bool {
        self.reader.is_quiet()
    }

    pub(super) const fn feed(&mut self) {
        self.starved = false;
    }

    /// The request, once: it is over.
    pub(super) fn take_request(&mut self) -> Option<(Box<RequestHead>, RequestRecord)> {
        let told = self.told.clone();
        Some((self.head.take()?, told))
    }
}

impl Http {
    /// Answers a request for a file, or begins to.
    pub(super) fn begin_file<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        head: Box<RequestHead>,
        told: RequestRecord,
        files: &FilesOptions,
    ) {
        let mut name = context.http.name.take();
        let found = find(context, files, head.path(), &mut name);
        self.answer_found(context, key, (head, told), files, (&name, found));
        context.http.name.give(name);
    }

    fn answer_found<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (head, told): (Box<RequestHead>, RequestRecord),
        files: &FilesOptions,
        (name, found): (&str, Result<Found, NotFound>),
    ) {
        let is_folder_form = head.path().ends_with('/');
        let is_read = matches!(head.method, Method::Get | Method::Head);
        match found {
            Ok(found) if found.file.is_folder && !is_read => {
                let allow = Some((&b"allow"[..], &b"GET, HEAD"[..]));
                self.answer_status(context, head, told, 405, allow);
            }
            Ok(found) if found.file.is_folder && is_folder_form && files.listing => {
                self.begin_listing(context, key, head, told, name, files);
            }
            Ok(found) if found.file.is_folder && is_folder_form => {
                self.answer_page(context, key, (head, told), files, 403);
            }
            Ok(found) if found.file.is_folder => {
                let target = folder_location(head.path(), head.query());
                let field = Some((&b"location"[..], target.as_bytes()));
                self.answer_status(context, head, told, 301, field);
            }
            Ok(found) => {
                let shown = Shown { name, found, status: None };
                self.answer_file(context, key, (head, told), files, shown);
            }
            Err(NotFound(status)) => self.answer_page(context, key, (head, told), files, status),
        }
    }

    /// A status, with the page that the route has for it.
    fn answer_page<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (head, told): (Box<RequestHead>, RequestRecord),
        files: &FilesOptions,
        status: u16,
    ) {
        let page = files.error_pages.iter().find(|(code, _)| *code == status);
        if let Some((_, name)) = page
            && let Ok(found) = open(context, files, name)
            && !found.file.is_folder
        {
            let shown = Shown { name, found, status: Some(status) };
            return self.answer_file(context, key, (head, told), files, shown);
        }
        self.answer_status(context, head, told, status, None);
    }

    /// Answers with a file that is open.
    fn answer_file<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        files: &FilesOptions,
        shown: Shown<'_>,
    ) {
        let Shown { name, found, status } = shown;
        let mut response = context.http.spare_answers.take();
        // In another coding it is of the same type.
        let plain = Rc::clone(&found.file);
        let (found, name, stored) =
            choose_coding(context, &head, files, name, found, &mut response);
        let (info, kind) = (&found.file.info, &*plain.kind);
        let plan = match status {
            None => {
                let at = (context.next_request(), context.unix_time().as_secs());
                plan(&head, info, kind, &files.rules, at, &mut response)
            }
            Some(status) => page_plan(&head, info, kind, status, &mut response),
        };
        told.status = response.status;
        let shows_content = status.is_some() || matches!(response.status, 200 | 206);
        if let Some(stored) = stored.filter(|_| shows_content) {
            response.fields.push(b"content-encoding", stored.name().as_bytes());
        }
        if status.is_none() && matches!(response.status, 405 | 412 | 416) {
            return self.answer(context, head, told, response, &[]);
        }
        self.prepare_keep_alive();
        let is_small = stored.is_none() && info.len <= files.small_max;
        let shown = is_small.then_some((kind, info.len));
        let is_recoded = self.compress_file(context, (&head, &told), shown, &plan, &mut response);
        let is_encoded = is_recoded && plan.body != Body::None;
        let length = if is_recoded { None } else { plan.length };
        let framing = is_encoded.then(|| write::framing_for(head.version, None));
        self.framing = framing.unwrap_or(Framing::None);
        self.keep_alive &= self.framing != Framing::UntilClose;
        context.refresh_date();
        let Context { http, pages, .. } = context;
        let output = Output { pages, date: http.date.text() };
        self.write_head(output, &head, &mut told, &mut response, self.framing, length);
        context.http.spare_answers.give(response);
        match (plan.body, &found.content) {
            (Body::One(_), Some(content)) if is_encoded => {
                return self.send_encoded(context, key, (head, told), content.clone());
            }
            (Body::None, _) => {}
            (Body::One(range), Some(content)) => {
                let part = content.slice(as_len(range.start), as_len(range.end - range.start));
                told.sent += part.len() as u64;
                self.write_part(context, part);
            }
            (body, _) => {
                let load = load_of(files, &found, &body, name.into_owned());
                let rest = pieces(body);
                let reader = FileReader::new(found.file.fd, Lane::Upstream, 0);
                let (starved, broken, head) = (false, false, Some(head));
                let file = found.file;
                let transfer = Transfer { file, reader, head, told, rest, load, starved, broken };
                self.phase = Phase::File(Box::new(transfer));
                self.common.mark_dirty(context, key);
                return;
            }
        }
        self.finish_request(context, head, &told);
        self.after_answer(context);
    }

    /// Whether a file, given by its type and length, is compressed, or the answer describes one
    /// that is; sets the fields. Large files (`None`) are not compressed here: they go from the
    /// page cache, or have a precompressed copy.
    fn compress_file<D: Driver>(
        &mut self,
        context: &Context<D>,
        (head, told): (&RequestHead, &RequestRecord),
        shown: Option<(&str, u64)>,
        plan: &Plan,
        response: &mut ResponseHead,
    ) -> bool {
        let route = told.route.and_then(|route| self.options.routes.get(route));
        let rules = route.and_then(|route| route.compression.as_ref());
        let (Some(rules), Some((kind, len))) = (rules, shown) else { return false };
        let whole = Whole { kind: Some(kind.as_bytes()), len: Some(len) };
        let mut fate = rules.decide(head, response, whole);
        if let Fate::Encodes(coding) = fate
            && plan.body != Body::None
            && !self.begin_encoding(context, coding, Some(len))
        {
            fate = fate.refused();
        }
        fate.apply(response);
        matches!(fate, Fate::Encodes(_))
    }

    /// Sends what can be sent of the file; true when the answer is over.
    pub(super) fn send_file<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let mut budget = context.options.relay.turn_budget as u64;
        loop {
            // What is written goes first, and nothing overtakes what is read.
            self.outlet.finish(&mut context.pages, &mut self.stream);
            self.send_head_ahead(context);
            self.stream.flush(&mut context.reactor, key);
            let Phase::File(transfer) = &mut self.phase else { return false };
            if transfer.broken {
                self.cut_file(context, key);
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
                return self.end_file(context);
            };
            match piece {
                Piece::Text(text) => {
                    transfer.told.sent += text.len() as u64;
                    self.outlet.bytes(&mut context.pages).extend_from_slice(&text);
                }
                Piece::Range(range) => match self.send_range(context, key, range, &mut budget) {
                    Sending::Goes => {}
                    Sending::Waits => return false,
                },
            }
        }
    }

    /// What is written goes to the kernel at once if a stretch of a file follows.
    fn send_head_ahead<D: Driver>(&mut self, context: &mut Context<D>) {
        let Phase::File(transfer) = &self.phase else { return };
        let follows =
            matches!(transfer.rest.last(), Some(Piece::Range(range)) if !range.is_empty());
        let is_held = transfer.broken || transfer.starved || transfer.load.is_some();
        if !follows || is_held || !transfer.reader.is_quiet() {
            return;
        }
        let sent = self.stream.send_ahead(&mut context.reactor);
        if sent > 0 {
            self.outlet.sent(sent);
            self.common.count_sent(context, sent);
            self.progress = context.now();
        }
    }

    /// Sends a stretch of a file; what is left of it is put back.
    fn send_range<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        range: ByteRange,
        budget: &mut u64,
    ) -> Sending {
        let Phase::File(transfer) = &mut self.phase else { return Sending::Waits };
        let ready = self.stream.is_drained() && !self.stream.is_blocked();
        if range.is_empty() {
            return Sending::Goes;
        }
        if !ready || *budget == 0 {
            transfer.rest.push(Piece::Range(range));
            if *budget == 0 {
                self.common.mark_dirty(context, key);
            }
            return Sending::Waits;
        }
        let Some(socket) = self.stream.fd() else { return Sending::Waits };
        if range.end - range.start <= WINDOW.min(*budget) && !is_unwritten(context, &transfer.file)
        {
            // It may be the last stretch: what was sent is not all of the tag's version.
            transfer.broken = true;
            return Sending::Goes;
        }
        if !self.takes_pages(context, key) {
            return self.seal_range(context, key, range, budget);
        }
        self.send_pages(context, key, range, budget, socket)
    }

    /// Sends a stretch from the page cache; what is not there is read first.
    fn send_pages<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        range: ByteRange,
        budget: &mut u64,
        socket: Fd,
    ) -> Sending {
        let Phase::File(transfer) = &mut self.phase else { return Sending::Waits };
        let file = transfer.file.fd;
        let window = (range.end - range.start).min(WINDOW).min(*budget);
        if !context.reactor.driver().is_resident(file, range.start, as_len(window)) {
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
                transfer.told.sent += sent as u64;
                transfer.rest.push(Piece::Range(range.start + sent as u64..range.end));
                *budget -= (sent as u64).min(*budget);
                self.progress = context.now();
                self.stream.note_written(sent);
                self.common.count_sent(context, sent);
                if (sent as u64) < window {
                    // The socket is full, or the file is shorter than it was: the next call tells.
                    self.stream.watch_writable(&mut context.reactor, key);
                    return Sending::Waits;
                }
                Sending::Goes
            }
            Err(Errno::EAGAIN) => {
                transfer.rest.push(Piece::Range(range));
                self.stream.watch_writable(&mut context.reactor, key);
                Sending::Waits
            }
            Err(Errno::EINTR) => {
                transfer.rest.push(Piece::Range(range));
                Sending::Goes
            }
            Err(errno) => {
                tracing::debug!(id = self.common.id(), %errno, "sendfile failed");
                self.close(context, key, CloseReason::ClientReset);
                Sending::Waits
            }
        }
    }

    /// Whether `sendfile` may be used: without TLS, or where the kernel encrypts.
    fn takes_pages<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let was_offloaded = self.stream.is_offloaded();
        let takes = self.stream.takes_pages(&mut context.reactor, key);
        if !was_offloaded && self.stream.is_offloaded() {
            context.listener_stats(self.common.listener).tls.offloaded.add(1);
        }
        takes
    }

    /// Reads a stretch of a file that is in memory, to be sealed and sent.
    fn seal_range<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        range: ByteRange,
        budget: &mut u64,
    ) -> Sending {
        let Phase::File(transfer) = &mut self.phase else { return Sending::Waits };
        let window = as_len((range.end - range.start).min(SEALED).min(*budget));
        let mut page = context.pages.take();
        let (file, start) = (transfer.file.fd, range.start);
        let read = context.reactor.driver().read_now(file, start, window, page.bytes());
        match read {
            Ok(0) => transfer.broken = true,
            Ok(count) => {
                transfer.told.sent += count as u64;
                transfer.rest.push(Piece::Range(start + count as u64..range.end));
                *budget -= (count as u64).min(*budget);
                self.outlet.slice(&mut self.stream, context.pages.seal(page));
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
    pub(super) fn handle_read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let Phase::File(transfer) = &mut self.phase else { return };
        let event = transfer.reader.handle(completion);
        if self.common.closing().is_some() {
            return;
        }
        match event {
            FileEvent::Data(buf) if transfer.load.is_some() => {
                self.take_content(context, key, &buf);
            }
            FileEvent::Data(buf) => self.take_read(context, buf),
            FileEvent::Starved => {
                transfer.starved = true;
                context.starved.push_back((key, Lane::Upstream));
            }
            FileEvent::End => transfer.broken = true,
            FileEvent::Failed(errno) => {
                transfer.broken = true;
                let now = context.now();
                if let Some(others) = context.notices.files.due(now) {
                    let id = self.common.id();
                    tracing::warn!(id, others, %errno, "a file cannot be read");
                }
            }
        }
        self.common.mark_dirty(context, key);
    }

    /// Bytes that were not in memory: they are sent from the buffer that they were read into.
    fn take_read<D: Driver>(&mut self, context: &mut Context<D>, mut buf: Buf) {
        let Phase::File(transfer) = &mut self.phase else { return };
        let Some(Piece::Range(range)) = transfer.rest.pop() else { return };
        let wanted = as_len(range.end - range.start).min(buf.len());
        buf.truncate(wanted);
        transfer.told.sent += wanted as u64;
        let rest = range.start + wanted as u64..range.end;
        transfer.rest.push(Piece::Range(rest));
        self.outlet.finish(&mut context.pages, &mut self.stream);
        self.outlet.slice(&mut self.stream, buf);
    }

    /// A part of a file that is kept in memory.
    fn take_content<D: Driver>(&mut self, context: &mut Context<D>, key: Key, buf: &Buf) {
        let Phase::File(transfer) = &mut self.phase else { return };
        let Some(load) = &mut transfer.load else { return };
        load.content.extend_from_slice(buf);
        let len = as_len(transfer.file.info.len);
        if load.content.len() < len {
            return;
        }
        load.content.truncate(len);
        let content = Buf::copy_of(&load.content);
        let Context { http, reactor, .. } = context;
        if !http.caches[load.cache].keep(reactor, &load.name, &transfer.file, &content) {
            // These bytes are not those of the tag that the head has.
            transfer.broken = true;
            return;
        }
        transfer.load = None;
        if self.encoding.is_some() {
            if let Phase::File(transfer) = std::mem::replace(&mut self.phase, Phase::Head) {
                let Transfer { head, told, .. } = *transfer;
                self.send_encoded(context, key, (head.unwrap_or_default(), told), content);
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
            self.outlet.finish(&mut context.pages, &mut self.stream);
            self.outlet.slice(&mut self.stream, part);
        }
    }

    fn end_file<D: Driver>(&mut self, context: &mut Context<D>) -> bool {
        if let Phase::File(transfer) = std::mem::replace(&mut self.phase, Phase::Head) {
            let Transfer { head, told, .. } = *transfer;
            if let Some(head) = head {
                self.finish_request(context, head, &told);
            }
        }
        self.after_answer(context);
        true
    }

    /// The file became shorter while it was sent: the client must not take what it has for all of
    /// it.
    fn cut_file<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Phase::File(transfer) = std::mem::replace(&mut self.phase, Phase::Head) {
            let Transfer { head, mut told, .. } = *transfer;
            told.reason = Some(CloseReason::FileCut.name());
            let stats = context.listener_stats(self.common.listener).http.route(told.route);
            stats.into_iter().for_each(|stats| stats.files_cut.add(1));
            if let Some(head) = head {
                self.finish_request(context, head, &told);
            }
        }
        self.close(context, key, CloseReason::FileCut);
    }
}

/// Whether a file was not written since it was opened.
fn is_unwritten<D: Driver>(context: &mut Context<D>, file: &Opened) -> bool {
    context.reactor.driver().look_at(file.fd).is_ok_and(|now| file.is_unwritten(&now))
}

/// A file that is shown, under which name, and with which status if it is an error's page.
struct Shown<'a> {
    name: &'a str,
    found: Found,
    status: Option<u16>,
}

/// Whether sending goes on at once.
enum Sending {
    Goes,
    Waits,
}

fn load_of(files: &FilesOptions, found: &Found, body: &Body, name: String) -> Option<Load> {
    let is_small = found.file.info.len <= files.small_max;
    (is_small && *body != Body::None).then(|| Load {
        cache: files.cache,
        name,
        content: Vec::new(),
    })
}

/// What is to be sent, the next last.
fn pieces(body: Body) -> Vec<Piece> {
    match body {
        Body::None => Vec::new(),
        Body::One(range) => vec![Piece::Range(range)],
        Body::Many { parts, end } => {
            let each = parts
                .into_iter()
                .flat_map(|(head, range)| [Piece::Text(head.into_bytes()), Piece::Range(range)]);
            let mut all: Vec<Piece> = each.collect();
            all.push(Piece::Text(end.into_bytes()));
            all.reverse();
            all
        }
    }
}

fn as_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

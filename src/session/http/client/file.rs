//! Files as answers: small ones from memory in one send with the head; larger ones are sent by
//! `send`, or, with HTTP/2, by `stream`.

mod send;
mod stream;

use std::rc::Rc;

use super::Http;
use super::encode::begin_encoding;
use super::find::{NotFound, choose_coding, find, open};
use super::request::{Request, Responder};
use crate::fs::FileReader;
use crate::mem::Key;
use crate::proto::http::{Known, Method, RequestHead, ResponseHead};
use crate::ring::{Driver, Lane};
use crate::service::http::compression::{Fate, Whole};
use crate::service::http::files::path::folder_location;
use crate::service::http::files::range::ByteRange;
use crate::service::http::files::{Body, Plan, page_plan, plan};
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::cache::{Found, Opened};
use crate::session::http::options::FilesOptions;
use crate::session::http::state::Output;

/// A file on its way.
#[derive(Debug)]
pub(in crate::session::http) struct Transfer {
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
    /// So many bytes of the beginning of a stretch are on their way.
    fn advance(&mut self, range: ByteRange, count: u64) {
        self.told.sent += count;
        self.rest.push(Piece::Range(range.start + count..range.end));
    }

    fn new(
        file: Rc<Opened>,
        (head, told): (Box<RequestHead>, RequestRecord),
        body: Body,
        load: Option<Load>,
    ) -> Self {
        Self {
            reader: FileReader::new(file.fd, Lane::Upstream, 0),
            file,
            head: Some(head),
            told,
            rest: pieces(body),
            load,
            starved: false,
            broken: false,
        }
    }

    pub(in crate::session::http) const fn is_quiet(&self) -> bool {
        self.reader.is_quiet()
    }

    /// Whether its request is over.
    pub(in crate::session::http) const fn is_given_up(&self) -> bool {
        self.head.is_none()
    }

    pub(in crate::session::http) const fn feed(&mut self) {
        self.starved = false;
    }

    /// The request, once: it is over.
    pub(in crate::session::http) fn take_request(
        &mut self,
    ) -> Option<(Box<RequestHead>, RequestRecord)> {
        let told = self.told.clone();
        Some((self.head.take()?, told))
    }
}

impl Http {
    /// Answers a request for a file, or begins to.
    pub(in crate::session::http) fn begin_file<D: Driver>(
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
            response.fields.push_known(Known::ContentEncoding, stored.name().as_bytes());
        }
        if status.is_none() && matches!(response.status, 405 | 412 | 416) {
            return self.answer(context, head, told, response, &[]);
        }
        self.wire.forgo_body();
        let is_small = stored.is_none() && info.len <= files.small_max;
        let shown = is_small.then_some((kind, info.len));
        let mut request = Request::new(Responder::Done);
        let asked = (&*head, &told);
        let is_recoded =
            self.compress_file(context, &mut request, asked, (shown, &plan), &mut response);
        let is_encoded = is_recoded && plan.body != Body::None;
        let length = if is_recoded { None } else { plan.length };
        let body_of = (length, plan.body != Body::None);
        context.refresh_date();
        let Context { http, pages, .. } = context;
        let output = Output { pages, date: http.date.text() };
        self.write_head(output, &head, &mut told, &mut response, body_of);
        context.http.spare_answers.give(response);
        match (plan.body, &found.content) {
            (Body::One(_), Some(content)) if is_encoded => {
                let asked = (head, told);
                self.send_encoded(context, key, &mut request, asked, content.clone());
                return self.begin_answer(request);
            }
            (Body::None, _) => {}
            (Body::One(range), Some(content)) => {
                let part = content.slice(as_len(range.start), as_len(range.end - range.start));
                told.sent += part.len() as u64;
                self.write_part(context, part);
            }
            (body, _) => {
                let load = load_of(files, &found, &body, name.into_owned());
                let transfer = Transfer::new(found.file, (head, told), body, load);
                request.responder = Responder::File(Box::new(transfer));
                self.begin_answer(request);
                self.io.mark_dirty(context, key);
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
        request: &mut Request,
        (head, told): (&RequestHead, &RequestRecord),
        (shown, plan): (Option<(&str, u64)>, &Plan),
        response: &mut ResponseHead,
    ) -> bool {
        let route = told.route.and_then(|route| self.options.routes.get(route));
        let rules = route.and_then(|route| route.compression.as_ref());
        let (Some(rules), Some((kind, len))) = (rules, shown) else { return false };
        let whole = Whole { kind: Some(kind.as_bytes()), len: Some(len) };
        let mut fate = rules.decide(head, response, whole);
        if let Fate::Encodes(coding) = fate
            && plan.body != Body::None
            && !begin_encoding(context, request, coding, Some(len))
        {
            fate = fate.refused();
        }
        fate.apply(response);
        matches!(fate, Fate::Encodes(_))
    }
}

/// A file that is shown, under which name, and with which status if it is an error's page.
struct Shown<'a> {
    name: &'a str,
    found: Found,
    status: Option<u16>,
}

fn load_of(files: &FilesOptions, found: &Found, body: &Body, name: String) -> Option<Load> {
    let is_small = found.file.info.len <= files.small_max;
    (is_small && *body != Body::None).then(|| Load {
        cache: files.cache.number(),
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

pub(in crate::session::http) fn as_len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

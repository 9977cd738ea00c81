//! Our ends.

use std::time::Instant;

use ringway::mem::{Buf, FreeList};
use ringway::proto::http::{Fields, RequestHead, ResponseHead};
use ringway::proto::http1::{Framing, RequestMeta};
use ringway::proto::http2::{
    Client, ClientEvent, Growth, Limits, RequestLine, Server, ServerEvent, StreamId, Workspace,
};
use ringway::runtime::clock;

use super::told::{Step, Wire, escape, fields_text, normal_target};

/// What a connection may have in these tests.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    // The others make no difference of it.
    limits.request.head.underscores = true;
    limits
}

/// The bytes of the answer to a request.
pub(crate) fn answer_to(stream: u32) -> Vec<u8> {
    vec![b'x'; 3 + usize::try_from(stream % 40).expect("it is small")]
}

/// Our server, which answers each request when it has come whole.
pub(crate) struct OurServer {
    server: Server,
    limits: Limits,
    now: Instant,
    space: Workspace,
    spare: FreeList<RequestHead>,
    wire: Wire,
    out: Vec<u8>,
    /// Requests that are not all there, and whether they are answered without a body.
    open: Vec<(StreamId, bool)>,
    pub(crate) has_failed: bool,
}

impl OurServer {
    pub(crate) fn new() -> Self {
        let limits = limits();
        Self {
            server: Server::new(&limits),
            limits,
            now: clock::now(),
            space: Workspace::default(),
            spare: FreeList::new(8, 65_536),
            wire: Wire::default(),
            out: Vec::new(),
            open: Vec::new(),
            has_failed: false,
        }
    }

    /// A frame comes.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        self.server.receive(Buf::copy_of(bytes));
        loop {
            let Self { server, limits, now, space, spare, .. } = self;
            match server.poll(*now, limits, space, spare) {
                Ok(None) => break,
                Ok(Some(event)) => self.take(event, &mut step),
                Err(violation) => {
                    step.why = Some(violation.name());
                    self.has_failed = true;
                    self.server.fail(violation);
                }
            }
        }
        let growth = Growth { most: self.limits.window, is_allowed: false };
        let Self { server, now, space, out, .. } = self;
        server.transmit(1 << 20, (*now, growth), space, out);
        let out = std::mem::take(&mut self.out);
        self.wire.read(&out, &mut step);
        step.sorted()
    }

    fn take(&mut self, event: ServerEvent, step: &mut Step) {
        match event {
            ServerEvent::Request(id, head, meta) => {
                step.tell(id, request_text(&head, &meta));
                self.server.begin_body(id, &meta, u64::MAX).expect("any length is taken");
                self.open.push((id, head.method_name() == "HEAD"));
                self.spare.give(head);
                self.read(id, step);
            }
            ServerEvent::Body(id) => self.read(id, step),
            ServerEvent::Refused(id, refusal, _) => {
                step.why = Some(refusal.name());
                let head = ResponseHead { status: refusal.status(), ..ResponseHead::default() };
                self.server.send_head(id, &head, None, false, &mut self.out);
                self.server.end_answer(id, &mut self.space);
            }
            ServerEvent::Reset(id, code) => {
                self.open.retain(|(open, _)| *open != id);
                step.tell(id, format!("reset {}", code.0));
            }
            ServerEvent::Violated(id, violation) => {
                step.why = Some(violation.name());
                if self.open.iter().any(|(open, _)| *open == id) {
                    step.tell(id, "fails");
                }
                self.open.retain(|(open, _)| *open != id);
            }
            ServerEvent::TooMany(_) => step.why = Some("too many"),
            ServerEvent::Opened(_) => {}
        }
    }

    fn read(&mut self, id: StreamId, step: &mut Step) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == id) else { return };
        while let Some(part) = self.server.next_of_body(id).expect("any length is taken") {
            step.body(id, &part);
        }
        if !self.server.is_body_read(id) {
            return;
        }
        let (_, is_bodiless) = self.open.remove(at);
        let trailers = self.server.take_trailers_of(id);
        step.tell(id, format!("ends{}", trailers.map(|all| text_of(&all)).unwrap_or_default()));
        let head = ResponseHead { status: 200, ..ResponseHead::default() };
        self.server.send_head(id, &head, None, !is_bodiless, &mut self.out);
        if !is_bodiless {
            self.server.send_part(id, Buf::from(answer_to(id)));
            self.server.send_end(id, None);
        }
        self.server.end_answer(id, &mut self.space);
    }
}

fn text_of(fields: &Fields) -> String {
    fields_text(fields.iter().map(|field| (field.name, field.value)))
}

fn request_text(head: &RequestHead, meta: &RequestMeta) -> String {
    let target = match head.query() {
        Some(query) => format!("{}?{query}", head.path()),
        None => head.path().to_owned(),
    };
    let length = match meta.framing {
        Framing::Length(length) => format!(" of {length}"),
        Framing::None | Framing::Chunked | Framing::UntilClose => String::new(),
    };
    let te = head.takes_trailers.then_some((&b"te"[..], &b"trailers"[..]));
    let fields = head.fields.iter().map(|field| (field.name, field.value));
    let (method, authority) = (head.method_name(), head.authority());
    let (target, fields) = (normal_target(&target), fields_text(fields.chain(te)));
    format!("request {method} {authority} {target}{length}{fields}")
}

/// Requests that a client has sent.
pub(crate) const ASKED: u32 = 6;
/// The one of them that asks by HEAD.
pub(crate) const HEAD_STREAM: u32 = 3;

/// Our client.
pub(crate) struct OurClient {
    client: Client,
    limits: Limits,
    now: Instant,
    space: Workspace,
    spare: FreeList<ResponseHead>,
    wire: Wire,
    out: Vec<u8>,
    pub(crate) has_failed: bool,
}

impl OurClient {
    pub(crate) fn new() -> Self {
        let limits = limits();
        let mut client = Client::new(&limits);
        let (mut space, mut out) = (Workspace::default(), Vec::new());
        for number in 0..ASKED {
            let mut head = RequestHead::default();
            head.set_method(if number * 2 + 1 == HEAD_STREAM { b"HEAD" } else { b"POST" });
            let (path, authority, scheme) = ("/", "a", "http");
            let line = RequestLine {
                head: &head,
                path,
                authority,
                scheme,
                length: None,
                websocket: false,
            };
            client.open(&line, true, &mut space, &mut out);
        }
        let (spare, wire) = (FreeList::new(4, 65_536), Wire::default());
        let now = clock::now();
        let mut made = Self { client, limits, now, space, spare, wire, out, has_failed: false };
        made.step(&[]);
        made
    }

    /// A frame comes.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        self.client.receive(Buf::copy_of(bytes));
        loop {
            let Self { client, limits, now, space, spare, .. } = self;
            match client.poll(*now, limits, space, spare) {
                Ok(None) => break,
                Ok(Some(event)) => self.take(event, &mut step),
                Err(violation) => {
                    step.why = Some(violation.name());
                    self.has_failed = true;
                    self.client.fail(violation);
                }
            }
        }
        let growth = Growth { most: self.limits.window, is_allowed: false };
        let Self { client, now, space, out, .. } = self;
        client.transmit(1 << 20, (*now, growth), space, out);
        let out = std::mem::take(&mut self.out);
        self.wire.read(&out, &mut step);
        step.sorted()
    }

    fn take(&mut self, event: ClientEvent, step: &mut Step) {
        let id = match event {
            ClientEvent::Interim(id, head) => {
                step.tell(id, format!("interim {}{}", head.status, text_of(&head.fields)));
                id
            }
            ClientEvent::Head(id, head, _) => {
                step.tell(id, format!("head {}{}", head.status, text_of(&head.fields)));
                id
            }
            ClientEvent::Body(id) => id,
            ClientEvent::Reset(id, code) => return step.tell(id, format!("reset {}", code.0)),
            ClientEvent::Violated(id, violation) => {
                step.why = Some(violation.name());
                return step.tell(id, "fails");
            }
            ClientEvent::GoAway(last, code, text) => {
                let text = escape(&text);
                return step.tell(0, format!("goaway {last} {} {text}", code.0));
            }
            ClientEvent::Opened(_) => return,
        };
        while let Some(part) = self.client.next_of_body(id) {
            step.body(id, &part);
        }
        if self.client.is_body_read(id) {
            let trailers = self.client.take_trailers_of(id);
            step.tell(id, format!("ends{}", trailers.map(|all| text_of(&all)).unwrap_or_default()));
            self.client.end(id, &mut self.space);
        }
    }
}

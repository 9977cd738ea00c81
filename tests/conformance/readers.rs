//! The tables against the readers of `proto::http1`, with the bytes in one piece, in pieces of some
//! sizes, and byte by byte.

use ringway::proto::http::{Method, RequestHead, ResponseHead};
use ringway::proto::http1::{
    BodyPart, BodyReader, Framing, HeadLimits, Refusal, RequestReader, ResponseReader,
};

use crate::cases::{Expect, RequestCase, ResponseCase, ResponseExpect};

/// Bytes of a body.
const BODY_MAX: u64 = 16 * 1024 * 1024;
/// Sizes of the pieces that an input comes in, beside one that has it all.
const PIECES: [usize; 3] = [1, 7, 1460];

/// What a server has made of its input.
#[derive(Debug, Default, PartialEq, Eq)]
struct Served {
    requests: Vec<(String, String, Vec<u8>)>,
    refused: Option<u16>,
    /// Whether the connection ends behind the last request.
    ends: bool,
    /// Whether more bytes are needed.
    waits: bool,
}

/// Reads a body from `input`, of which the first byte is the body's; how much of it is read, and
/// whether all of the body was there.
fn read_body(
    reader: &mut BodyReader,
    input: &[u8],
    body: &mut Vec<u8>,
) -> Result<(usize, bool), Refusal> {
    let mut at = 0;
    loop {
        match reader.next(&input[at..])? {
            BodyPart::Data(range) => {
                body.extend_from_slice(&input[at..][range.clone()]);
                at += range.end;
            }
            BodyPart::More => return Ok((input.len(), false)),
            BodyPart::End(len) => {
                reader.take_trailers()?;
                return Ok((at + len, true));
            }
        }
    }
}

/// The server's side of one connection.
#[derive(Debug, Default)]
struct Server {
    served: Served,
    heads: RequestReader,
    head: RequestHead,
    /// The body that is being read.
    body: Option<(BodyReader, Vec<u8>)>,
    keep_alive: bool,
    input: Vec<u8>,
}

impl Server {
    fn take(&mut self, piece: &[u8]) {
        if self.served.refused.is_some() || self.served.ends {
            return;
        }
        self.input.extend_from_slice(piece);
        self.served.waits = false;
        while !self.served.waits && !self.served.ends {
            if let Err(refusal) = self.step() {
                self.served.refused = Some(refusal.status());
                return;
            }
        }
    }

    fn step(&mut self) -> Result<(), Refusal> {
        let Some((reader, body)) = &mut self.body else {
            let limits = HeadLimits::default();
            match self.heads.read(&self.input, &limits, &mut self.head)? {
                Some(meta) => {
                    self.input.drain(..meta.len);
                    self.keep_alive = meta.keep_alive;
                    self.body = Some((BodyReader::new(meta.framing, BODY_MAX)?, Vec::new()));
                }
                None => self.served.waits = true,
            }
            return Ok(());
        };
        let (read, is_done) = read_body(reader, &self.input, body)?;
        self.input.drain(..read);
        self.served.waits = !is_done;
        if let (true, Some((_, body))) = (is_done, self.body.take_if(|_| is_done)) {
            self.finish(body);
        }
        Ok(())
    }

    fn finish(&mut self, body: Vec<u8>) {
        let is_connect = self.head.method == Method::Connect;
        let mut target =
            if is_connect { self.head.authority() } else { self.head.path() }.to_owned();
        if let Some(query) = self.head.query() {
            target = format!("{target}?{query}");
        }
        self.served.requests.push((self.head.method_name().to_owned(), target, body));
        self.served.ends = !self.keep_alive;
    }

    /// Whether nothing of a further request has come.
    fn is_between(&self) -> bool {
        self.served.ends || self.input.is_empty() && self.body.is_none()
    }
}

/// What is wrong with a case, if something is.
fn check_request(case: &RequestCase, size: usize) -> Option<String> {
    let mut server = Server::default();
    server.served.waits = true;
    for piece in case.input.chunks(size) {
        server.take(piece);
    }
    let (is_between, served) = (server.is_between(), server.served);
    let fits = match case.expect {
        Expect::Accept(expected) => {
            let same = |((method, target, body), found): (&(&str, &str, &[u8]), _)| {
                &(method.to_string(), target.to_string(), body.to_vec()) == found
            };
            served.refused.is_none()
                && is_between
                && expected.len() == served.requests.len()
                && expected.iter().zip(&served.requests).all(same)
        }
        Expect::Refuse { accepted, status } => {
            served.requests.len() == accepted && served.refused == Some(status)
        }
        Expect::Incomplete { accepted } => {
            let open = served.refused.is_none() && served.waits && !served.ends;
            served.requests.len() == accepted && open && (!is_between || case.input.is_empty())
        }
    };
    let what = || {
        let requests = format!("{:?}", served.requests);
        let what = (served.refused, served.ends, served.waits);
        format!("{} in pieces of {size}: {what:?} {requests:.200}", case.name)
    };
    (!fits).then(what)
}

/// What a client has made of its input.
#[derive(Debug, Default)]
struct Client {
    heads: ResponseReader,
    head: ResponseHead,
    interim: Vec<u16>,
    /// The body that is being read, and whether the connection goes on behind it.
    body: Option<(BodyReader, bool)>,
    bytes: Vec<u8>,
    input: Vec<u8>,
    is_done: bool,
    fails: bool,
}

impl Client {
    fn take(&mut self, piece: &[u8], method: Method) {
        self.input.extend_from_slice(piece);
        while !self.is_done && !self.fails {
            match self.step(method) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.fails = true,
            }
        }
    }

    /// Whether something was read.
    fn step(&mut self, method: Method) -> Result<bool, Refusal> {
        if let Some((reader, _)) = &mut self.body {
            let (read, is_done) = read_body(reader, &self.input, &mut self.bytes)?;
            self.input.drain(..read);
            self.is_done = is_done;
            return Ok(is_done);
        }
        let limits = HeadLimits::default();
        let Some(meta) = self.heads.read(&self.input, method, &limits, &mut self.head)? else {
            return Ok(false);
        };
        self.input.drain(..meta.len);
        if self.head.is_interim() {
            assert_eq!(meta.framing, Framing::None, "an interim response has no body");
            self.interim.push(self.head.status);
        } else {
            self.body = Some((BodyReader::new(meta.framing, BODY_MAX)?, meta.keep_alive));
        }
        Ok(true)
    }
}

fn check_response(case: &ResponseCase, size: usize) -> Option<String> {
    let mut client = Client::default();
    for piece in case.input.chunks(size) {
        client.take(piece, Method::of(case.request_method.as_bytes()));
    }
    let at_end = client.body.as_ref().is_some_and(|(reader, _)| reader.at_end());
    let is_whole = !client.fails && (client.is_done || case.closes && at_end);
    let goes_on = client.body.as_ref().is_some_and(|(_, keep_alive)| *keep_alive);
    let reuse = goes_on && !case.closes && client.input.is_empty();
    let is_over = client.fails || case.closes;
    let fits = match case.expect {
        ResponseExpect::Accept { interim, status, body, reusable } => {
            let head = (&client.interim[..], client.head.status, reuse);
            is_whole && head == (interim, status, reusable) && client.bytes == body
        }
        ResponseExpect::Refuse => is_over && client.body.is_none(),
        ResponseExpect::Truncated { status, body } => {
            let has_head = client.body.is_some() && client.head.status == status;
            is_over && !is_whole && has_head && client.bytes == body
        }
    };
    let what = || {
        let head = (&client.interim, client.head.status, reuse, client.fails, is_whole);
        let body = client.bytes.escape_ascii();
        format!("{} in pieces of {size}: {head:?} {body}", case.name)
    };
    (!fits).then(what)
}

fn report(wrong: &[String], count: usize) {
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn requests_are_read_as_the_tables_say() {
    let mut wrong = Vec::new();
    for case in crate::requests() {
        let sizes = [case.input.len().max(1)].into_iter().chain(PIECES);
        wrong.extend(sizes.filter_map(|size| check_request(case, size)));
    }
    report(&wrong, crate::requests().count());
}

#[test]
fn responses_are_read_as_the_tables_say() {
    let mut wrong = Vec::new();
    for case in crate::responses() {
        let sizes = [case.input.len().max(1)].into_iter().chain(PIECES);
        wrong.extend(sizes.filter_map(|size| check_response(case, size)));
    }
    report(&wrong, crate::responses().count());
}

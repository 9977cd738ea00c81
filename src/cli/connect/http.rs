//! HTTP and HTTPS: one GET, its body on standard output; one exchange, for other verbs.

use std::io::{self, Write};
use std::time::Duration;

use super::{ConnectArgs, Failure, Reply, Request, screen};
use crate::client::{ClientError, ConnectOptions, Patience, Received, RetryPolicy, Tcp, retry};
use crate::proto::http::status::reason;
use crate::proto::http::{Method, ResponseHead};
use crate::proto::http1::{
    BodyPart, BodyReader, HeadLimits, Refusal, ResponseMeta, ResponseReader,
};

/// Gets what the URL names.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let request = Request { method: Method::Get, url: &args.url, token: None };
    let mut answer = Answer::of(&request, &args.options()?, args.timeout, &args.policy())?;
    if args.verbose {
        tell(&answer)?;
    }
    answer.write_body()?;
    match answer.head.status {
        status @ 400.. => {
            Err(Failure::Failed(format!("{}: status {status} {}", args.url, reason(status))))
        }
        _ => Ok(()),
    }
}

/// One exchange, tried once; the body of the answer may have `len_max` bytes.
pub(super) fn exchange(
    request: &Request<'_>,
    options: &ConnectOptions,
    timeout: Duration,
    len_max: usize,
) -> Result<Reply, Failure> {
    let once = RetryPolicy { tries_max: 1, ..RetryPolicy::default() };
    let mut answer = Answer::of(request, options, timeout, &once)?;
    let (status, mut body) = (answer.head.status, Vec::new());
    answer.read_body(&mut |bytes| {
        if body.len() + bytes.len() > len_max {
            let text = format!("{}: the answer has more than {len_max} bytes", request.url);
            return Err(Failure::Failed(text));
        }
        body.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(Reply { status, body })
}

/// The bytes of a request.
fn written(request: &Request<'_>) -> String {
    let Request { method, url, token } = request;
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringway/{}\r\nAccept: */*\r\n\
         Connection: close\r\n",
        method.name(),
        url.path,
        url.host,
        env!("CARGO_PKG_VERSION")
    );
    if let Some(token) = token {
        text.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    // A method that may have a body says that there is none (RFC 9110, section 8.6).
    if *method != Method::Get {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("\r\n");
    text
}

/// The head of the answer, and the connection by TLS, on standard error.
fn tell(answer: &Answer) -> Result<(), Failure> {
    let mut text = String::new();
    if let Some(info) = answer.client.tls() {
        let group = info.group.unwrap_or("no group");
        text.push_str(&format!("* {} {} {group}\n", info.version, info.suite));
    }
    let head = answer.input.get(..answer.meta.len).unwrap_or_default();
    for line in String::from_utf8_lossy(head).lines() {
        text.push_str("< ");
        // What a server sends does not move the cursor.
        text.extend(line.chars().map(screen::shown));
        text.push('\n');
    }
    io::stderr().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

/// An answer whose head has come.
struct Answer {
    client: Tcp,
    timeout: Duration,
    head: ResponseHead,
    meta: ResponseMeta,
    /// What came, with the head.
    input: Vec<u8>,
}

impl Answer {
    /// Connects, sends the request, and waits for the head of the answer.
    fn of(
        request: &Request<'_>,
        options: &ConnectOptions,
        timeout: Duration,
        policy: &RetryPolicy,
    ) -> Result<Self, Failure> {
        let bytes = written(request);
        let client = retry(policy, || {
            let mut client = Tcp::connect(&request.url.target, options)?;
            client.send(bytes.as_bytes(), timeout)?;
            Ok(client)
        })?;
        Self::begin(client, request.method, timeout)
    }

    fn begin(mut client: Tcp, method: Method, timeout: Duration) -> Result<Self, Failure> {
        let mut input = Vec::new();
        let mut head = ResponseHead::default();
        let mut reader = ResponseReader::default();
        let limits = HeadLimits::default();
        // The timeout bounds the whole answer: one that drips counts as silent.
        let patience = Patience::new(timeout);
        loop {
            let found = reader.read(&input, method, &limits, &mut head);
            match found.map_err(|refusal| bad(&client, refusal))? {
                // Something is said before the answer.
                Some(meta) if head.status < 200 && head.status != 101 => {
                    input.drain(..meta.len);
                    continue;
                }
                Some(meta) => return Ok(Self { client, timeout, head, meta, input }),
                None => {}
            }
            let received = client.receive(&mut input, patience.rest());
            if received.map_err(|error| patience.explain(error))? == Received::End {
                return Err(ClientError::Closed { peer: client.peer().to_string() }.into());
            }
        }
    }

    fn write_body(&mut self) -> Result<(), Failure> {
        let mut out = screen::output();
        self.read_body(&mut |bytes| out.write_all(bytes).map_err(|error| Failure::output(&error)))?;
        out.end_line().map_err(|error| Failure::output(&error))
    }

    /// Gives the body to `take`, in parts, as they come.
    fn read_body(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut body = BodyReader::new(self.meta.framing, u64::MAX)
            .map_err(|refusal| bad(&self.client, refusal))?;
        let mut input = self.input.split_off(self.meta.len);
        let mut read = 0;
        let mut patience = Patience::new(self.timeout);
        loop {
            let rest = input.get(read..).unwrap_or_default();
            let part = body.next(rest);
            match part.map_err(|refusal| bad(&self.client, refusal))? {
                BodyPart::Data(range) => {
                    let bytes = rest.get(range.clone()).unwrap_or_default();
                    take(bytes)?;
                    patience.count(bytes.len());
                    read += range.end;
                }
                BodyPart::End(_) => break,
                BodyPart::More => {
                    input.clear();
                    read = 0;
                    match self.client.receive(&mut input, patience.rest()) {
                        Ok(Received::Bytes(_)) => {}
                        Ok(Received::End) if body.at_end() => break,
                        Ok(Received::End) => {
                            let peer = self.client.peer().to_string();
                            return Err(ClientError::Cut { peer }.into());
                        }
                        Err(error) => return Err(patience.explain(error).into()),
                    }
                }
            }
        }
        Ok(())
    }
}

fn bad(client: &Tcp, refusal: Refusal) -> Failure {
    Failure::Failed(format!("{}: its answer is no HTTP/1.1: {}", client.peer(), refusal.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written() {
        let url = "http://a.example:81/b?c".parse().unwrap();
        let first = |method| format!("{method} /b?c HTTP/1.1\r\nHost: a.example:81\r\n");
        let get = written(&Request { method: Method::Get, url: &url, token: None });
        assert!(get.starts_with(&first("GET")) && get.ends_with("close\r\n\r\n"), "{get}");
        let post = written(&Request { method: Method::Post, url: &url, token: Some("secret") });
        assert!(post.starts_with(&first("POST")), "{post}");
        let end = "\r\nAuthorization: Bearer secret\r\nContent-Length: 0\r\n\r\n";
        assert!(post.ends_with(end), "{post}");
    }
}

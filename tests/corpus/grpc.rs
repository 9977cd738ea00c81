//! Messages of gRPC, and calls of browsers, on any bytes: the machines never panic, keep no more
//! than they may, and say the same however the bytes come.

use ringway::handler::grpc::MessageCoding;
use ringway::mem::Buf;
use ringway::proto::grpc::{MessageError, MessageReader, MessageScanner};
use ringway::proto::http::{Fields, Known, RequestHead};
use ringway::service::grpc::{BadMessages, CallMessages};

/// Bytes of a message, compressed or not.
const MAX: u32 = 4096;

/// What came of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The messages, or all that was passed on.
    pub(crate) parts: Vec<Vec<u8>>,
    /// What was wrong.
    pub(crate) failed: Option<&'static str>,
}

/// Checks that nothing depends on where a body is cut.
fn same_everywhere<T>(body: &[u8], read: impl Fn(&[&[u8]]) -> T, same: impl Fn(&T, &T)) -> T {
    let whole = read(&[body]);
    let step = body.len() / 24 + 1;
    for cut in (1..body.len()).step_by(step) {
        let (first, second) = body.split_at(cut);
        same(&read(&[first, second]), &whole);
    }
    for len in [1, 7] {
        let parts: Vec<&[u8]> = body.chunks(len).collect();
        same(&read(&parts), &whole);
    }
    whole
}

/// The messages of a body. The first byte of an input says how they are compressed.
pub(crate) fn messages(input: &[u8]) -> Found {
    let Some((coding, body)) = input.split_first() else { return Found::default() };
    let codings = [MessageCoding::Identity, MessageCoding::Gzip, MessageCoding::Zstd];
    let coding = codings[usize::from(*coding) % codings.len()];
    let found =
        same_everywhere(body, |parts| read(coding, parts), |one, other| assert_eq!(one, other));
    // Who passes messages on finds the same ones too long, and nothing else.
    let scanned = same_everywhere(body, scan, |one, other| assert_eq!(one, other));
    match found.failed {
        Some("too_large") => assert!(scanned.is_err()),
        Some("truncated") | None => assert_eq!(scanned, Ok(())),
        Some(_) => {}
    }
    found
}

fn read(coding: MessageCoding, parts: &[&[u8]]) -> Found {
    let max = usize::try_from(MAX).expect("it is small");
    let (mut reader, mut found) = (MessageReader::new(max), Found::default());
    for mut part in parts.iter().copied() {
        loop {
            let message = match reader.next(&mut part) {
                Ok(None) => break,
                Ok(Some(message)) => message,
                Err(error) => {
                    found.failed = Some(name_of(error));
                    return found;
                }
            };
            assert!(message.bytes.len() <= max);
            if !message.is_compressed {
                found.parts.push(message.bytes.into_owned());
                continue;
            }
            let Ok(plain) = coding.decompress(&message.bytes, max) else {
                found.failed = Some("coding");
                return found;
            };
            assert!(plain.len() <= max);
            found.parts.push(plain);
        }
        assert!(part.is_empty() && reader.held() <= 2 * max, "{} bytes are kept", reader.held());
    }
    found.failed = reader.end().err().map(name_of);
    found
}

fn scan(parts: &[&[u8]]) -> Result<(), MessageError> {
    let mut scanner = MessageScanner::new(MAX);
    parts.iter().try_for_each(|part| scanner.scan(part))
}

const fn name_of(error: MessageError) -> &'static str {
    match error {
        MessageError::Flag(_) => "flag",
        MessageError::TooLarge { .. } => "too_large",
        MessageError::Truncated => "truncated",
    }
}

/// A call of a browser, and an answer with the same body. The first byte of an input says whether
/// they are text.
pub(crate) fn web(input: &[u8]) -> Found {
    let Some((kind, body)) = input.split_first() else { return Found::default() };
    let is_text = kind % 2 == 1;
    let same_end = |one: &Found, other: &Found| {
        // With two faults, it depends on the cut which of them is found first.
        assert_eq!(one.failed.is_some(), other.failed.is_some(), "{one:?} {other:?}");
        if one.failed.is_none() {
            assert_eq!(one.parts.concat(), other.parts.concat());
        }
    };
    let asked = same_everywhere(body, |parts| ask(is_text, parts), same_end);
    let answered = same_everywhere(body, |parts| answer(is_text, parts), same_end);
    if answered.failed.is_none() {
        assert_eq!(answered.parts.concat(), body, "a browser gets what was answered");
    }
    if !is_text && asked.failed.is_none() {
        assert_eq!(asked.parts.concat(), body, "nothing is changed");
    }
    asked
}

/// A call, the head of which has become that of gRPC.
fn call(is_text: bool, max: Option<u32>) -> Box<CallMessages> {
    let mut head = RequestHead::default();
    head.set_method(b"POST");
    let kind: &[u8] =
        if is_text { b"application/grpc-web-text" } else { b"application/grpc-web+proto" };
    head.fields.push_known(Known::ContentType, kind);
    let call = CallMessages::of(&mut head, true, max).expect("it is a browser's");
    assert!(ringway::service::grpc::is_call(&head) && call.is_web());
    call
}

fn ask(is_text: bool, parts: &[&[u8]]) -> Found {
    let (mut call, mut found) = (call(is_text, Some(MAX)), Found::default());
    for part in parts {
        match call.asked(Buf::copy_of(part)) {
            Ok(None) => {}
            Ok(Some(plain)) => {
                // What is short of four characters waits.
                assert!(plain.len() <= part.len() + 3);
                found.parts.push(plain.to_vec());
            }
            Err(bad) => {
                found.failed = Some(name_of_bad(bad));
                return found;
            }
        }
    }
    found.failed = call.end_asked().err().map(name_of_bad);
    found
}

const fn name_of_bad(bad: BadMessages) -> &'static str {
    match bad {
        BadMessages::TooLarge => "too_large",
        BadMessages::NotBase64 => "not_base64",
    }
}

/// What a browser reads of an answer, without the trailers behind it.
fn answer(is_text: bool, parts: &[&[u8]]) -> Found {
    let (mut call, mut found) = (call(is_text, Some(MAX)), Found::default());
    let mut fields = Fields::default();
    fields.push_known(Known::ContentType, b"application/grpc");
    call.answer_head(&mut fields);
    assert!(call.answers_browser());
    let mut trailers = Fields::default();
    trailers.push(b"grpc-status", b"0");
    let end = call.trailers(&trailers).expect("they are in the body");
    let mut sent = Vec::new();
    for part in parts {
        match call.answered(Buf::copy_of(part)) {
            Ok(part) => sent.extend_from_slice(&part),
            Err(bad) => {
                found.failed = Some(name_of_bad(bad));
                return found;
            }
        }
    }
    sent.extend_from_slice(&end);
    // Read as a request is: the trailers are no message, and are not looked for here.
    let read = self::call(is_text, None).asked(Buf::from(sent)).expect("it is ours");
    let mut read = read.map_or_else(Vec::new, |read| read.to_vec());
    let lines = b"\x80\0\0\0\x10grpc-status: 0\r\n";
    assert!(read.ends_with(lines), "{}", read.escape_ascii());
    read.truncate(read.len() - lines.len());
    found.parts.push(read);
    found
}

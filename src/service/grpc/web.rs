//! gRPC-Web: calls of browsers, which see no trailers. Messages are as in gRPC, but the trailers
//! are one more frame behind them; in the text form, the body is base64 on top of that. It is
//! described in gRPC's `PROTOCOL-WEB.md`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::proto::http::{Fields, Known, Method, RequestHead};

/// The types of bodies; `+proto` or another one may follow.
const BINARY: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"application/grpc-web-text";
/// The flag of the frame that has the trailers.
const TRAILERS: u8 = 0x80;
/// Base64 has four characters for three bytes.
const QUANTUM: usize = 4;

/// A call of a browser, while it is translated.
#[derive(Debug, Clone)]
pub struct WebCall {
    /// Its bodies are base64.
    is_text: bool,
    /// What came of the characters that make the next bytes.
    partial: Vec<u8>,
}

/// A body is no base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of a call of gRPC-Web is no base64")]
pub struct NotBase64;

impl WebCall {
    /// The call that a request is, if it is one of gRPC-Web. It becomes one of gRPC.
    #[must_use]
    pub fn translate(head: &mut RequestHead) -> Option<Self> {
        if head.method != Method::Post {
            return None;
        }
        let kind = head.fields.get(Known::ContentType)?;
        let is_text = super::is_kind(kind, TEXT);
        if !is_text && !super::is_kind(kind, BINARY) {
            return None;
        }
        let format = format_of(kind).unwrap_or_default();
        let kind = [super::CONTENT_TYPE, format].concat();
        let fields = &mut head.fields;
        fields.remove_known(Known::ContentType);
        fields.push_known(Known::ContentType, &kind);
        fields.remove(b"x-grpc-web");
        fields.remove_known(Known::Te);
        fields.push_known(Known::Te, b"trailers");
        Some(Self { is_text, partial: Vec::new() })
    }

    /// The head of an answer is the browser's. An answer that is only a head stays one.
    pub fn translate_answer(&self, fields: &mut Fields) {
        let own = fields.get(Known::ContentType).filter(|kind| super::is_of_grpc(kind));
        let Some(own) = own else { return };
        let format = format_of(own).unwrap_or(b"+proto");
        let kind = [if self.is_text { TEXT } else { BINARY }, format].concat();
        fields.remove_known(Known::ContentType);
        fields.push_known(Known::ContentType, &kind);
    }

    /// Whether bodies have to be translated, and do not only go on.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.is_text
    }

    /// A part of the request's body, as gRPC has it.
    ///
    /// # Errors
    /// When it is no base64.
    pub fn decode(&mut self, part: &[u8]) -> Result<Vec<u8>, NotBase64> {
        let mut text = std::mem::take(&mut self.partial);
        text.extend(part.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        let whole = text.len() - text.len() % QUANTUM;
        self.partial = text.split_off(whole);
        let mut out = Vec::with_capacity(whole / QUANTUM * 3);
        let mut rest = &text[..];
        while !rest.is_empty() {
            // It may be padded anywhere, as senders flush what they have.
            let pad = rest.iter().position(|byte| *byte == b'=').unwrap_or(rest.len());
            let end =
                (pad.div_ceil(QUANTUM) * QUANTUM).max(QUANTUM.min(rest.len())).min(rest.len());
            let (run, behind) = rest.split_at(end);
            STANDARD.decode_vec(run, &mut out).map_err(|_| NotBase64)?;
            rest = behind;
        }
        Ok(out)
    }

    /// The request's body is over.
    ///
    /// # Errors
    /// When a part of it is missing.
    pub const fn end(&self) -> Result<(), NotBase64> {
        if self.partial.is_empty() { Ok(()) } else { Err(NotBase64) }
    }

    /// A part of the answer's body, as the browser gets it.
    #[must_use]
    pub fn encode(&self, part: &[u8]) -> Vec<u8> {
        if self.is_text { STANDARD.encode(part).into_bytes() } else { part.to_vec() }
    }

    /// The trailers of an answer, as what comes last in its body.
    #[must_use]
    pub fn encode_trailers(&self, trailers: &Fields) -> Vec<u8> {
        let mut text = Vec::new();
        trailers.write_lines(&mut text);
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let [a, b, c, d] = len.to_be_bytes();
        self.encode(&[&[TRAILERS, a, b, c, d], &text[..]].concat())
    }
}

/// The format of messages behind a content type, such as `+proto`.
fn format_of(kind: &[u8]) -> Option<&[u8]> {
    kind.iter().position(|byte| *byte == b'+').map(|at| &kind[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: &[u8]) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(b"POST");
        head.fields.push_known(Known::ContentType, kind);
        head.fields.push(b"x-grpc-web", b"1");
        head
    }

    fn call(kind: &[u8]) -> WebCall {
        WebCall::translate(&mut request(kind)).unwrap()
    }

    #[test]
    fn calls_of_browsers_become_calls() {
        type Expected = Option<(&'static [u8], bool)>;
        let cases: [(&[u8], Expected); 8] = [
            (b"application/grpc-web", Some((b"application/grpc", false))),
            (b"application/grpc-web+proto", Some((b"application/grpc+proto", false))),
            (b"application/grpc-web-text", Some((b"application/grpc", true))),
            (b"Application/grpc-web-text+proto", Some((b"application/grpc+proto", true))),
            (b"application/grpc-web; charset=utf-8", Some((b"application/grpc", false))),
            (b"application/grpc", None),
            (b"application/grpc-webx", None),
            (b"text/plain", None),
        ];
        for (kind, expected) in cases {
            let mut head = request(kind);
            let call = WebCall::translate(&mut head);
            assert_eq!(call.as_ref().map(|call| call.is_text), expected.map(|(_, text)| text));
            if let Some((kind, _)) = expected {
                assert_eq!(head.fields.get(Known::ContentType), Some(kind));
                assert_eq!(head.fields.get(Known::Te), Some(&b"trailers"[..]));
                assert_eq!(head.fields.get_named(b"x-grpc-web"), None);
                assert!(super::super::is_call(&head));
            }
        }
        let mut head = request(b"application/grpc-web");
        head.set_method(b"GET");
        assert!(WebCall::translate(&mut head).is_none());
    }

    #[test]
    fn answers_have_the_type_of_the_browser() {
        let cases: [(&[u8], &[u8], &[u8]); 4] = [
            (b"application/grpc-web", b"application/grpc", b"application/grpc-web+proto"),
            (b"application/grpc-web-text", b"application/grpc+x", b"application/grpc-web-text+x"),
            (b"application/grpc-web", b"application/grpc+proto", b"application/grpc-web+proto"),
            (b"application/grpc-web", b"text/html", b"text/html"),
        ];
        for (asked, answered, expected) in cases {
            let mut fields = Fields::default();
            fields.push_known(Known::ContentType, answered);
            call(asked).translate_answer(&mut fields);
            assert_eq!(fields.get(Known::ContentType), Some(expected));
        }
    }

    #[test]
    fn text_is_decoded_wherever_it_is_split_and_padded() {
        let body: Vec<u8> = (0..100).collect();
        let cases = [
            STANDARD.encode(&body),
            [STANDARD.encode(&body[..10]), STANDARD.encode(&body[10..])].concat(),
            [
                STANDARD.encode(&body[..1]),
                STANDARD.encode(&body[1..3]),
                STANDARD.encode(&body[3..]),
            ]
            .concat(),
            body.chunks(1).map(|part| STANDARD.encode(part)).collect::<String>(),
        ];
        for text in cases {
            for split in 0..=text.len() {
                let mut call = call(b"application/grpc-web-text");
                let mut found = call.decode(&text.as_bytes()[..split]).unwrap();
                found.extend(call.decode(&text.as_bytes()[split..]).unwrap());
                assert_eq!(call.end(), Ok(()));
                assert_eq!(found, body, "{split} {text}");
            }
        }
        let mut broken = call(b"application/grpc-web-text");
        assert_eq!(broken.decode(b"ab=c"), Err(NotBase64));
        assert_eq!(call(b"application/grpc-web-text").decode(b"a\0bc"), Err(NotBase64));
        assert_eq!(call(b"application/grpc-web-text").decode(b"===="), Err(NotBase64));
        let mut short = call(b"application/grpc-web-text");
        assert_eq!(short.decode(b"QUJDRA"), Ok(b"ABC".to_vec()));
        assert_eq!(short.end(), Err(NotBase64));
    }

    #[test]
    fn trailers_are_a_frame_behind_the_messages() {
        let mut trailers = Fields::default();
        trailers.push(b"grpc-status", b"5");
        trailers.push(b"grpc-message", b"no");
        let text = b"grpc-status: 5\r\ngrpc-message: no\r\n";
        let len = u8::try_from(text.len()).unwrap();
        let expected = [&[0x80, 0, 0, 0, len][..], text].concat();
        assert_eq!(call(b"application/grpc-web").encode_trailers(&trailers), expected);
        let encoded = call(b"application/grpc-web-text").encode_trailers(&trailers);
        assert_eq!(STANDARD.decode(encoded).unwrap(), expected);
        assert_eq!(call(b"application/grpc-web").encode(b"abc"), b"abc");
        assert_eq!(call(b"application/grpc-web-text").encode(b"abc"), b"YWJj");
    }
}

//! What a proxy does with the messages of a call that it passes on: calls of browsers are
//! translated, and messages that are too long are found.

use super::Code;
use super::web::WebCall;
use crate::mem::Buf;
use crate::proto::grpc::MessageScanner;
use crate::proto::http::{Fields, Known, RequestHead};

/// See above.
#[derive(Debug, Clone)]
pub struct CallMessages {
    web: Option<WebCall>,
    sizes: Option<Sizes>,
    /// The answer is none to a call.
    passes_answer: bool,
}

/// The messages of a call, both ways.
#[derive(Debug, Clone)]
struct Sizes {
    asked: MessageScanner,
    answered: MessageScanner,
}

/// A call cannot go on because of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMessages {
    /// One is longer than allowed.
    TooLarge,
    /// The body of a browser's call is no base64.
    NotBase64,
}

impl BadMessages {
    /// The status of the call.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::TooLarge => Code::ResourceExhausted,
            Self::NotBase64 => Code::InvalidArgument,
        }
    }

    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "grpc_message_too_large",
            Self::NotBase64 => "grpc_web_not_base64",
        }
    }
}

impl CallMessages {
    /// What is done with the messages of a request, which is a call afterwards if it was a
    /// browser's. `None`: nothing.
    #[must_use]
    pub fn of(head: &mut RequestHead, is_web: bool, max: Option<u32>) -> Option<Box<Self>> {
        let web = if is_web { WebCall::translate(head) } else { None };
        let sizes = max.filter(|_| web.is_some() || super::is_call(head)).map(|max| Sizes {
            asked: MessageScanner::new(max),
            answered: MessageScanner::new(max),
        });
        let is_some = web.is_some() || sizes.is_some();
        is_some.then(|| Box::new(Self { web, sizes, passes_answer: false }))
    }

    /// Whether it is a browser's.
    #[must_use]
    pub const fn is_web(&self) -> bool {
        self.web.is_some()
    }

    /// Whether the length of the request's body is another one than the browser has told.
    #[must_use]
    pub fn changes_length(&self) -> bool {
        self.web.as_ref().is_some_and(WebCall::is_text)
    }

    /// A part of the request's body, as it is passed on; `None` when more has to come first.
    ///
    /// # Errors
    /// Why the call cannot go on.
    pub fn asked(&mut self, part: Buf) -> Result<Option<Buf>, BadMessages> {
        let part = match self.web.as_mut().filter(|web| web.is_text()) {
            Some(web) => {
                let plain = web.decode(&part).map_err(|_| BadMessages::NotBase64)?;
                if plain.is_empty() {
                    return Ok(None);
                }
                Buf::from(plain)
            }
            None => part,
        };
        if let Some(sizes) = &mut self.sizes {
            sizes.asked.scan(&part).map_err(|_| BadMessages::TooLarge)?;
        }
        Ok(Some(part))
    }

    /// The request's body is over.
    ///
    /// # Errors
    /// Why the call cannot go on.
    pub fn end_asked(&self) -> Result<(), BadMessages> {
        self.web.as_ref().map_or(Ok(()), WebCall::end).map_err(|_| BadMessages::NotBase64)
    }

    /// Whether an answer with these fields is translated for a browser.
    #[must_use]
    pub fn translates(&self, fields: &Fields) -> bool {
        self.is_web() && fields.get(Known::ContentType).is_some_and(super::is_of_grpc)
    }

    /// The head of an answer, as the client gets it. One that is none to a call is passed on as it
    /// is, with its body.
    pub fn answer_head(&mut self, fields: &mut Fields) {
        let translates = self.translates(fields);
        if let Some(web) = self.web.as_ref().filter(|_| translates) {
            web.translate_answer(fields);
        }
        self.passes_answer = !translates;
    }

    /// Whether the answer is translated for a browser.
    #[must_use]
    pub const fn answers_browser(&self) -> bool {
        self.is_web() && !self.passes_answer
    }

    /// A part of the answer's body, as the client gets it.
    ///
    /// # Errors
    /// Why the call cannot go on.
    pub fn answered(&mut self, part: Buf) -> Result<Buf, BadMessages> {
        if let Some(sizes) = &mut self.sizes {
            sizes.answered.scan(&part).map_err(|_| BadMessages::TooLarge)?;
        }
        let answers_browser = self.answers_browser();
        Ok(match self.web.as_ref().filter(|web| answers_browser && web.is_text()) {
            Some(web) => Buf::from(web.encode(&part)),
            None => part,
        })
    }

    /// What comes behind an answer, where it is a part of the body.
    #[must_use]
    pub fn trailers(&self, trailers: &Fields) -> Option<Buf> {
        let web = self.web.as_ref().filter(|_| self.answers_browser());
        web.map(|web| Buf::from(web.encode_trailers(trailers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::grpc::MessageHead;
    use crate::proto::http::Method;

    fn messages(kind: &[u8], max: Option<u32>) -> Option<Box<CallMessages>> {
        let mut head = RequestHead::default();
        head.method = Method::Post;
        head.fields.push_known(Known::ContentType, kind);
        CallMessages::of(&mut head, true, max)
    }

    fn message(len: u32) -> Buf {
        let head = MessageHead { is_compressed: false, len }.write();
        Buf::from([&head[..], &vec![0; len as usize]].concat())
    }

    #[test]
    fn only_what_has_to_be_looked_at_is() {
        assert!(messages(b"application/grpc", None).is_none());
        assert!(messages(b"text/plain", Some(1)).is_none());
        assert!(messages(b"application/grpc", Some(1)).is_some_and(|one| !one.is_web()));
        assert!(messages(b"application/grpc-web", None).is_some_and(|one| one.is_web()));
    }

    #[test]
    fn messages_that_are_too_long_are_found_either_way() {
        let mut call = messages(b"application/grpc", Some(3)).unwrap();
        assert_eq!(call.asked(message(3)).unwrap().map(|part| part.len()), Some(8));
        assert_eq!(call.asked(message(4)).unwrap_err(), BadMessages::TooLarge);
        assert_eq!(call.answered(message(3)).unwrap().len(), 8);
        assert_eq!(call.answered(message(4)).unwrap_err(), BadMessages::TooLarge);
        assert!(call.trailers(&Fields::default()).is_none());
    }

    #[test]
    fn text_is_translated_both_ways() {
        let mut call = messages(b"application/grpc-web-text", Some(9)).unwrap();
        assert!(call.changes_length());
        assert!(call.asked(Buf::copy_of(b"AA")).unwrap().is_none());
        assert_eq!(call.end_asked(), Err(BadMessages::NotBase64));
        let part = call.asked(Buf::copy_of(b"AAAAAA")).unwrap();
        assert_eq!(part.as_deref(), Some(&[0; 6][..]));
        assert_eq!(call.end_asked(), Ok(()));
        assert_eq!(&*call.answered(Buf::copy_of(b"\0\0\0\0\x01a")).unwrap(), b"AAAAAAFh");
        assert_eq!(
            call.asked(Buf::copy_of(b"?")).and_then(|_| call.end_asked()).unwrap_err(),
            BadMessages::NotBase64
        );
    }
}

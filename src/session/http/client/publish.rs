//! Requests that publish to topics: their bodies are the payloads.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::Http;
use super::request::{Request, Responder};
use super::socket::GATHERED_ANYWAY;
use crate::proto::http::{Known, Method, RequestHead};
use crate::proto::http1::{Refusal, RequestMeta};
use crate::ring::Driver;
use crate::service::http::record::RequestRecord;
use crate::service::topics::{Fault, Publication, TopicError};
use crate::session::context::Context;
use crate::session::topic_set::TopicSet;

/// A request that publishes, while its body comes.
#[derive(Debug)]
pub(in crate::session::http) struct Publishing {
    head: Box<RequestHead>,
    record: RequestRecord,
    set: Arc<TopicSet>,
    topic: Vec<u8>,
    retain: bool,
    payload: Vec<u8>,
}

/// Why a payload is not published.
enum Unpublished {
    /// It breaks a rule of HTTP.
    Refused(Refusal),
    /// It breaks a rule of topics.
    Fault(Fault),
    /// The worker's memory for what waits is used.
    Shortage,
}

impl Publishing {
    /// Bytes of memory that it takes.
    pub(super) const fn cost(&self) -> usize {
        self.payload.capacity()
    }

    /// What is told of it, at its end.
    pub(super) fn take_request(&mut self) -> (Box<RequestHead>, RequestRecord) {
        (std::mem::take(&mut self.head), self.record.clone())
    }
}

impl Http {
    /// Whether a request publishes.
    pub(super) fn publishes(head: &RequestHead) -> bool {
        matches!(head.method, Method::Post | Method::Put)
    }

    /// A request that publishes has come: its payload follows.
    pub(super) fn begin_publish<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        (set, meta): (&Arc<TopicSet>, &RequestMeta),
    ) {
        let (topic, retain) = match asked(&head) {
            Ok(asked) => asked,
            Err(error) => {
                told.reason = Some("invalid_topic");
                let text = error.to_string();
                return self.answer_published(context, head, told, 400, "invalid_topic", &text);
            }
        };
        let most = set.options.message_max;
        if meta.framing.length().is_some_and(|length| length > most as u64) {
            let fault = Fault::TooLarge(most);
            return self.answer_fault(context, head, told, &fault);
        }
        let mut out = self.io.writer(&mut context.pages);
        self.wire.send_continue(&mut out);
        let set = Arc::clone(set);
        let payload = Vec::new();
        let publishing = Publishing { head, record: told, set, topic, retain, payload };
        self.begin_answer(Request::new(Responder::Publish(Box::new(publishing))));
    }

    /// Takes what has come of a payload; true when the request is over.
    pub(super) fn proceed_publish<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) -> bool {
        let Responder::Publish(publishing) = &mut request.responder else { return false };
        let most = publishing.set.options.message_max;
        let is_exhausted = context.http.proxy.budget().is_exhausted();
        let refused = loop {
            match self.wire.next_of_body() {
                Ok(Some(part)) => {
                    let len = publishing.payload.len() + part.len();
                    if len > most {
                        break Some(Unpublished::Fault(Fault::TooLarge(most)));
                    }
                    if len > GATHERED_ANYWAY && is_exhausted {
                        break Some(Unpublished::Shortage);
                    }
                    publishing.payload.extend_from_slice(&part);
                }
                Ok(None) if self.wire.is_body_read() => break None,
                Ok(None) => return false,
                Err(refusal) => break Some(Unpublished::Refused(refusal)),
            }
        };
        let responder = std::mem::replace(&mut request.responder, Responder::Done);
        let Responder::Publish(publishing) = responder else { return true };
        let Publishing { head, mut record, set, topic, retain, payload } = *publishing;
        record.received += payload.len() as u64;
        let published = match refused {
            Some(Unpublished::Refused(refusal)) => {
                self.refuse_payload(context, (head, record), refusal);
                return true;
            }
            Some(Unpublished::Shortage) => {
                self.wire.refuse_body();
                record.reason = Some("resources");
                self.answer_status(context, head, record, 503, None);
                return true;
            }
            Some(Unpublished::Fault(fault)) => {
                self.wire.refuse_body();
                Err(fault)
            }
            None => Publication::new(&topic, &*payload, retain)
                .map_err(Fault::InvalidTopic)
                .and_then(|publication| {
                    let Context { topics, options, .. } = &mut *context;
                    topics.publish_to(&set, publication, &options.workers)
                }),
        };
        match published {
            Ok(()) => {
                let mut response = context.http.spare_answers.take();
                response.status = 204;
                self.answer(context, head, record, response, b"");
            }
            Err(fault) => self.answer_fault(context, head, record, &fault),
        }
        true
    }

    fn refuse_payload<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, mut record): (Box<RequestHead>, RequestRecord),
        refusal: Refusal,
    ) {
        self.io.common.listener.stats.http.refuse(refusal);
        record.reason = Some(refusal.name());
        self.wire.refuse_body();
        self.answer_status(context, head, record, refusal.status(), None);
    }

    fn answer_fault<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        mut record: RequestRecord,
        fault: &Fault,
    ) {
        let status = match fault {
            Fault::TooLarge(_) => 413,
            Fault::RetainedFull | Fault::TooManyFilters(_) => 507,
            Fault::NotPermitted(_) => 403,
            Fault::BadMessage(_)
            | Fault::UnknownOp
            | Fault::InvalidTopic(_)
            | Fault::InvalidFilter(_)
            | Fault::TooManySubscriptions(_)
            | Fault::NotSubscribed
            | Fault::TooDeep => 400,
        };
        record.reason = Some(fault.code());
        self.answer_published(context, head, record, status, fault.code(), &fault.to_string());
    }

    /// Says what is wrong, as clients of topics are told.
    fn answer_published<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        record: RequestRecord,
        status: u16,
        code: &str,
        message: &str,
    ) {
        let text = serde_json::json!({"op": "error", "error": code, "message": message});
        let mut response = context.http.spare_answers.take();
        response.status = status;
        response.fields.push_known(Known::ContentType, b"application/json");
        self.answer(context, head, record, response, text.to_string().as_bytes());
    }
}

/// The topic of a request, and whether its payload is retained: `?topic=NAME&retain=true`.
fn asked(head: &RequestHead) -> Result<(Vec<u8>, bool), TopicError> {
    let pairs = head.query().unwrap_or_default().split('&');
    let (mut topic, mut retain) = (None, false);
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "topic" => topic = Some(decoded(value)),
            "retain" => retain = matches!(value, "" | "1" | "true"),
            _ => {}
        }
    }
    topic.filter(|topic| !topic.is_empty()).map(|topic| (topic, retain)).ok_or(TopicError::Empty)
}

/// A value of a query (WHATWG URL, section 5.1).
fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_queries() {
        let ask = |query: Option<&str>| {
            let mut head = RequestHead::default();
            head.set_query(query);
            asked(&head).map(|(topic, retain)| (String::from_utf8(topic).unwrap(), retain)).ok()
        };
        let is = |topic: &str, retain| Some((topic.to_owned(), retain));
        assert_eq!(ask(Some("topic=a/b")), is("a/b", false));
        assert_eq!(ask(Some("retain&topic=a%2Fb+c%zz%+5")), is("a/b c%zz% 5", true));
        assert_eq!(ask(Some("topic=x&retain=false")), is("x", false));
        assert_eq!(ask(Some("x=1")), None);
        assert_eq!(ask(None), None);
    }
}

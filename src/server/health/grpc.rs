//! A check by a call of `grpc.health.v1.Health/Check` (gRPC's `health-checking.md`).

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::CheckError;
use super::http2::{Question, Reply, ask};
use super::wire::Wire;
use crate::proto::grpc as messages;
use crate::proto::http::{Known, Method, RequestHead};
use crate::service::grpc::{self, Code};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks a server whether it serves a service; the empty name is that of the whole server.
pub(super) async fn check<S>(
    stream: &mut Wire<S>,
    host: &str,
    service: &str,
) -> Result<(), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut head = RequestHead::default();
    (head.method, head.takes_trailers) = (Method::Post, true);
    head.fields.push_known(Known::ContentType, grpc::CONTENT_TYPE);
    let body = framed(&HealthCheckRequest { service: service.to_owned() });
    let question = Question { head, path: PATH, host, body: &body };
    judge(&ask(stream, question, |reply| reply.is_whole).await?)
}

fn framed(message: &HealthCheckRequest) -> Vec<u8> {
    messages::framed(&message.encode_to_vec())
}

/// Whether that is the answer of a server that serves.
fn judge(reply: &Reply) -> Result<(), CheckError> {
    let Some(head) = &reply.head else { return Err(CheckError::Closed) };
    let trailers = reply.trailers.as_deref().and_then(grpc::status_of);
    match trailers.or_else(|| grpc::status_of(&head.fields)) {
        Some(Code::Ok) => {}
        Some(code) => return Err(CheckError::Call(code)),
        None => return Err(CheckError::Call(Code::of_status(head.status))),
    }
    let message = reply.body.get(messages::HEAD_LEN..).unwrap_or_default();
    let status = HealthCheckResponse::decode(message).map_or(-1, |response| response.status);
    match status {
        1 => Ok(()),
        0 => Err(CheckError::NotServing("not known to serve")),
        2 => Err(CheckError::NotServing("not serving")),
        3 => Err(CheckError::NotServing("unknown to the server")),
        _ => Err(CheckError::NotServing("in a state that does not exist")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::{Fields, ResponseHead};

    fn reply(body: &[u8], code: Code) -> Reply {
        let head = ResponseHead { status: 200, ..ResponseHead::default() };
        let mut trailers = Box::<Fields>::default();
        grpc::write_status(code, "", &mut trailers);
        Reply {
            head: Some(Box::new(head)),
            body: body.to_vec(),
            trailers: Some(trailers),
            is_whole: true,
        }
    }

    #[test]
    fn only_a_server_that_serves_is_good() {
        assert!(judge(&reply(&[0, 0, 0, 0, 2, 8, 1], Code::Ok)).is_ok());
        let cases: [(&[u8], Code, &str); 6] = [
            (&[0, 0, 0, 0, 0], Code::Ok, "not known to serve"),
            (&[0, 0, 0, 0, 2, 8, 2], Code::Ok, "not serving"),
            (&[0, 0, 0, 0, 2, 8, 3], Code::Ok, "unknown to the server"),
            (&[0, 0, 0, 0, 2, 8, 9], Code::Ok, "in a state that does not exist"),
            (&[0, 0, 0, 0, 2, 8], Code::Ok, "in a state that does not exist"),
            (&[0, 0, 0, 0, 2, 8, 1], Code::NotFound, "not_found"),
        ];
        for (body, code, expected) in cases {
            let error = judge(&reply(body, code)).expect_err("not good").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_answer_without_a_status_of_grpc_is_none() {
        let head = ResponseHead { status: 404, ..ResponseHead::default() };
        let reply = Reply { head: Some(Box::new(head)), is_whole: true, ..Reply::default() };
        let error = judge(&reply).expect_err("not good").to_string();
        assert!(error.contains("unimplemented"), "{error}");
    }

    #[test]
    fn a_request_has_its_length_before_it() {
        let message = HealthCheckRequest { service: "a".to_owned() };
        assert_eq!(framed(&message), [0, 0, 0, 0, 3, 10, 1, b'a']);
        assert_eq!(framed(&HealthCheckRequest::default()), [0, 0, 0, 0, 0]);
    }
}

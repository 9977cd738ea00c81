//! Our reader.

use ringway::proto::websocket::{Item, Kind, Limits, Reader, Role};
use ringway::ring::sim::Random;

use super::{End, Event, FRAME_MAX, Heard, MESSAGE_MAX};

const LIMITS: Limits =
    Limits { frame: FRAME_MAX as u64, message: MESSAGE_MAX as u64, deflate: false };

/// Reads bytes that come in parts of any length.
pub(crate) fn hear(role: Role, bytes: &[u8], random: &mut Random) -> Heard {
    let mut reader = Reader::new(role);
    let mut heard = Heard { events: Vec::new(), end: End::More };
    let (mut message, mut rest) = (Vec::new(), bytes);
    let most = if random.below(2) == 0 { 8 } else { 4000 };
    while !rest.is_empty() {
        let (part, behind) = rest.split_at((1 + random.below(most)).min(rest.len()));
        rest = behind;
        let mut input = part.to_vec();
        let mut at = 0;
        while at < input.len() {
            let (count, item) = match reader.read(&mut input[at..], &LIMITS) {
                Ok(read) => read,
                Err(violation) => {
                    heard.end = End::Failed(Some(violation), violation.to_string());
                    return heard;
                }
            };
            match item {
                None => assert_eq!(at + count, input.len(), "all is read before more is asked for"),
                Some(Item::Part(part)) => {
                    message.extend_from_slice(&input[at..][part.payload]);
                    if part.last {
                        let message = std::mem::take(&mut message);
                        heard.events.push(match part.kind {
                            Kind::Text => Event::Text(message),
                            Kind::Binary => Event::Binary(message),
                        });
                    }
                }
                Some(Item::Ping(one)) => heard.events.push(Event::Ping(one.bytes().to_vec())),
                Some(Item::Pong(one)) => heard.events.push(Event::Pong(one.bytes().to_vec())),
                Some(Item::Close(code, one)) => {
                    let has_code = !one.bytes().is_empty();
                    let reason = one.bytes().get(2..).unwrap_or_default().to_vec();
                    heard.events.push(Event::Close(has_code.then_some(code.0), reason));
                    heard.end = End::Closed;
                    return heard;
                }
            }
            at += count;
        }
    }
    heard
}

//! The binary format: the first byte says what a message is, numbers are big endian.

use std::borrow::Cow;

use super::fault::Fault;
use super::format::{ClientMessage, Command, Id, Reply};
use super::publication::Publication;

const SUBSCRIBE: u8 = 0x01;
const UNSUBSCRIBE: u8 = 0x02;
const PUBLISH: u8 = 0x03;
const PING: u8 = 0x04;
const OK: u8 = 0x81;
const ERROR: u8 = 0x82;
const MESSAGE: u8 = 0x83;
const DROPPED: u8 = 0x84;
const PONG: u8 = 0x85;

/// The flag of publications that are to be retained, and of messages that were.
const RETAIN: u8 = 1;

/// Reads a client's message.
pub(super) fn read(message: &[u8]) -> ClientMessage<'_> {
    let mut rest = message;
    let op = take(&mut rest).map(|[op]| op);
    let id = match (op, take(&mut rest).map(u32::from_be_bytes)) {
        (None, _) => return bad(Id::None, "the message is empty"),
        (Some(_), None) => return bad(Id::None, "the message ends within its id (4 bytes)"),
        (Some(_), Some(0)) => Id::None,
        (Some(_), Some(id)) => Id::Number(id.into()),
    };
    let command = match op {
        Some(SUBSCRIBE) => Ok(Command::Subscribe(rest.into())),
        Some(UNSUBSCRIBE) => Ok(Command::Unsubscribe(rest.into())),
        Some(PUBLISH) => publish(rest),
        Some(PING) if rest.is_empty() => Ok(Command::Ping),
        Some(PING) => Err(bad_message("a ping ends behind its id")),
        Some(_) | None => Err(Fault::UnknownOp),
    };
    ClientMessage { id, command }
}

/// Reads what follows the id of a publication.
pub(super) fn publish(mut rest: &[u8]) -> Result<Command<'_>, Fault> {
    let (Some([flags]), Some(len)) = (take(&mut rest), take(&mut rest)) else {
        return Err(bad_message("the message ends before its topic"));
    };
    if flags & !RETAIN != 0 {
        return Err(bad_message("unknown flags; 1 (retain) is the only one"));
    }
    let (topic, payload) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(len)))
        .ok_or_else(|| bad_message("the message ends within its topic"))?;
    let retain = flags & RETAIN != 0;
    let (topic, payload) = (Cow::Borrowed(topic), Cow::Borrowed(payload));
    Ok(Command::Publish { topic, payload, is_json: false, retain })
}

/// The next bytes, if there are so many.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

fn bad<'a>(id: Id<'a>, why: &str) -> ClientMessage<'a> {
    ClientMessage { id, command: Err(bad_message(why)) }
}

fn bad_message(why: &str) -> Fault {
    Fault::BadMessage(why.to_owned())
}

/// Appends an answer to a client.
pub(super) fn write(id: &Id<'_>, reply: Reply<'_>, out: &mut Vec<u8>) {
    let number = match id {
        Id::Number(number) => u32::try_from(*number).unwrap_or(0),
        // Clients of this format have no such ids.
        Id::None | Id::Text(_) => 0,
    };
    let op = match reply {
        Reply::Ok => OK,
        Reply::Error(_) => ERROR,
        Reply::Pong => PONG,
    };
    out.push(op);
    out.extend_from_slice(&number.to_be_bytes());
    if let Reply::Error(fault) = reply {
        out.push(fault.number());
        out.extend_from_slice(fault.to_string().as_bytes());
    }
}

/// Appends the notice that so many messages were dropped.
pub(super) fn write_dropped(count: u32, out: &mut Vec<u8>) {
    out.push(DROPPED);
    out.extend_from_slice(&count.to_be_bytes());
}

/// Appends a message to subscribers.
pub(super) fn encode(publication: &Publication, retained: bool, out: &mut Vec<u8>) {
    let (topic, payload) = (publication.topic_text(), publication.payload());
    let len = u16::try_from(topic.len()).expect("topics are short");
    out.reserve_exact(4 + topic.len() + payload.len());
    out.extend_from_slice(&[MESSAGE, if retained { RETAIN } else { 0 }]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(topic);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(message: &[u8]) -> (Id<'_>, Command<'_>) {
        let ClientMessage { id, command } = read(message);
        (id, command.unwrap())
    }

    #[test]
    fn clients_messages_are_read() {
        assert_eq!(
            ok(b"\x01\0\0\x01\x02a/+"),
            (Id::Number(258), Command::Subscribe(b"a/+"[..].into()))
        );
        assert_eq!(ok(b"\x02\0\0\0\0a"), (Id::None, Command::Unsubscribe(b"a"[..].into())));
        assert_eq!(ok(b"\x04\xff\xff\xff\xff"), (Id::Number(u32::MAX.into()), Command::Ping));
        let (topic, payload) = (b"a/b"[..].into(), b"\0\xff"[..].into());
        assert_eq!(
            ok(b"\x03\0\0\0\x07\x01\0\x03a/b\0\xff"),
            (Id::Number(7), Command::Publish { topic, payload, is_json: false, retain: true })
        );
        let (topic, payload) = (b"a"[..].into(), b""[..].into());
        assert_eq!(
            ok(b"\x03\0\0\0\0\0\0\x01a"),
            (Id::None, Command::Publish { topic, payload, is_json: false, retain: false })
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_id() {
        for (message, id, fault) in [
            (&b""[..], Id::None, "the message is empty"),
            (b"\x01\0\0\0", Id::None, "the message ends within its id (4 bytes)"),
            (b"\x04\0\0\0\x01x", Id::Number(1), "a ping ends behind its id"),
            (b"\x03\0\0\0\x01", Id::Number(1), "the message ends before its topic"),
            (b"\x03\0\0\0\x01\0\0", Id::Number(1), "the message ends before its topic"),
            (b"\x03\0\0\0\x01\0\0\x02a", Id::Number(1), "the message ends within its topic"),
            (
                b"\x03\0\0\0\x01\x02\0\x01a",
                Id::Number(1),
                "unknown flags; 1 (retain) is the only one",
            ),
        ] {
            let expected = ClientMessage { id, command: Err(bad_message(fault)) };
            assert_eq!(read(message), expected);
        }
        for op in (0..=u8::MAX).filter(|op| !(1..=4).contains(op)) {
            assert_eq!(read(&[op, 0, 0, 0, 9]).command, Err(Fault::UnknownOp));
        }
    }

    #[test]
    fn the_servers_messages_are_written() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        let id = Id::Number(258);
        assert_eq!(written(&|out| write(&id, Reply::Ok, out)), b"\x81\0\0\x01\x02");
        assert_eq!(written(&|out| write(&Id::None, Reply::Pong, out)), b"\x85\0\0\0\0");
        let error = Reply::Error(&Fault::NotSubscribed);
        let expected = b"\x82\0\0\x01\x02\x08there is no subscription with this filter";
        assert_eq!(written(&|out| write(&id, error, out)), expected);
        assert_eq!(written(&|out| write_dropped(3, out)), b"\x84\0\0\0\x03");
        let publication = Publication::new(b"a/b", &b"\0{"[..], true).unwrap();
        let expected = b"\x83\0\0\x03a/b\0{";
        assert_eq!(written(&|out| encode(&publication, false, out)), expected);
        let expected = b"\x83\x01\0\x03a/b\0{";
        assert_eq!(written(&|out| encode(&publication, true, out)), expected);
    }
}

//! The crate `tungstenite` over a stream in memory.

use std::io::{Error, ErrorKind, Read, Result, Write};

use ringway::proto::websocket::Role;
use ringway::ring::sim::Random;
use tungstenite::protocol::{Role as TheirRole, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::{End, Event, FRAME_MAX, Heard, MESSAGE_MAX};

/// What comes, in parts of any length; what is sent is dropped.
struct Memory<'a> {
    rest: &'a [u8],
    random: &'a mut Random,
    most: usize,
}

impl Read for Memory<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.rest.is_empty() {
            return Err(Error::from(ErrorKind::WouldBlock));
        }
        let count = (1 + self.random.below(self.most)).min(self.rest.len()).min(into.len());
        let (part, rest) = self.rest.split_at(count);
        into[..count].copy_from_slice(part);
        self.rest = rest;
        Ok(count)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads bytes that come in parts of any length.
pub(crate) fn hear(role: Role, bytes: &[u8], random: &mut Random) -> Heard {
    let role = match role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(FRAME_MAX))
        .max_message_size(Some(MESSAGE_MAX))
        .read_buffer_size(4096);
    let most = if random.below(2) == 0 { 8 } else { 4000 };
    let memory = Memory { rest: bytes, random, most };
    let mut socket = WebSocket::from_raw_socket(memory, role, Some(config));
    let mut heard = Heard { events: Vec::new(), end: End::More };
    loop {
        let message = match socket.read() {
            Ok(message) => message,
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                return heard;
            }
            Err(error) => {
                heard.end = End::Failed(None, error.to_string());
                return heard;
            }
        };
        let event = match message {
            Message::Text(text) => Event::Text(text.as_bytes().to_vec()),
            Message::Binary(bytes) => Event::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Event::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Event::Pong(bytes.to_vec()),
            // It tells of a forbidden code in these words, in the place of an error.
            Message::Close(Some(frame)) if frame.reason.as_str() == "Protocol violation" => {
                heard.end = End::Failed(None, "a forbidden close code".to_owned());
                return heard;
            }
            Message::Close(frame) => {
                heard.end = End::Closed;
                let reason = frame.as_ref().map(|frame| frame.reason.as_bytes().to_vec());
                let code = frame.map(|frame| u16::from(frame.code));
                heard.events.push(Event::Close(code, reason.unwrap_or_default()));
                return heard;
            }
            Message::Frame(frame) => panic!("read as a message: {frame}"),
        };
        heard.events.push(event);
    }
}

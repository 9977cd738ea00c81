//! A client of the framed protocol on a blocking socket.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ringway::proto::frame::{
    Client, ClientEvent, ClientOptions, Code, Command, End, FLAG_LAST, FrameError, GoAway, Header,
    Reader, Ready, Version, parse_error, write_frame,
};

use crate::support::{PATIENCE, connect};

/// How a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// It says no HELLO.
    None,
    /// It offers this version.
    Offer(Version),
}

pub(crate) const GREETINGS: [Greeting; 3] =
    [Greeting::None, Greeting::Offer(Version::V1), Greeting::Offer(Version::V2)];

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A frame that answers the request of this number.
    Answer(u32, Command, Vec<u8>),
    /// GOAWAY: the last request that is answered, and the code.
    GoAway(u64, u16),
    /// The connection is over, with this code.
    Failed(u16),
}

/// The protocol's end of it.
enum Machine {
    /// Version 1 without HELLO: answers are counted.
    Bare { reader: Reader, asked: u32, answered: u32 },
    /// The client of the library, and how much it has asked.
    Greeted(Client<u32>, u32),
}

impl Machine {
    fn next(&mut self, input: &mut &[u8]) -> Option<Heard> {
        match self {
            Self::Bare { reader, answered, .. } => {
                let frame = reader.next(input).unwrap()?;
                let (command, payload) = (frame.header.command, frame.payload);
                if command == Command::GOAWAY {
                    return Some(heard_go_away(&GoAway::parse(payload).unwrap()));
                }
                if let (Command::ERROR, Ok((code, _))) = (command, parse_error(payload))
                    && Code::ends_connection(code)
                    && code != Code::ShuttingDown.number()
                {
                    return Some(Heard::Failed(code));
                }
                let number = *answered + 1;
                *answered += u32::from(command != Command::DATA);
                Some(Heard::Answer(number, command, payload.to_vec()))
            }
            Self::Greeted(client, _) => match client.next(input) {
                Ok(None) => None,
                Ok(Some(ClientEvent::Answer(answer))) => {
                    let number = answer.who.expect("nobody gave up");
                    Some(Heard::Answer(number, answer.command, answer.payload.to_vec()))
                }
                Ok(Some(ClientEvent::GoAway(going))) => Some(heard_go_away(&going)),
                Ok(Some(ClientEvent::Ready(ready))) => panic!("greeted twice: {ready:?}"),
                Err(FrameError::PeerError { code }) => Some(Heard::Failed(code)),
                Err(error) => panic!("the server broke the protocol: {error}"),
            },
        }
    }
}

fn heard_go_away(going: &GoAway<'_>) -> Heard {
    Heard::GoAway(going.last, going.code)
}

/// A client.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    machine: Machine,
    input: Vec<u8>,
    read: usize,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, greeting: Greeting) -> Self {
        Self::on(connect(address), greeting, ClientOptions::default())
    }

    /// A client on a unix socket. What is asked of the socket here is the same for both families.
    pub(crate) fn unix(path: &Path, greeting: Greeting) -> Self {
        let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::on(stream, greeting, ClientOptions::default())
    }

    pub(crate) fn on(stream: TcpStream, greeting: Greeting, options: ClientOptions) -> Self {
        let machine = match greeting {
            Greeting::None => Machine::Bare {
                reader: Reader::new(Version::V1, options.max_payload),
                asked: 0,
                answered: 0,
            },
            Greeting::Offer(highest) => {
                Machine::Greeted(Client::new(ClientOptions { highest, ..options }), 0)
            }
        };
        let mut peer = Self { stream, machine, input: Vec::new(), read: 0 };
        if let Greeting::Offer(version) = greeting {
            assert_eq!(peer.greet().version, version);
        }
        peer
    }

    fn greet(&mut self) -> Ready {
        let Machine::Greeted(client, _) = &mut self.machine else { panic!("no HELLO") };
        let mut hello = Vec::new();
        client.hello(&mut hello);
        self.stream.write_all(&hello).unwrap();
        loop {
            let Machine::Greeted(client, _) = &mut self.machine else { panic!("no HELLO") };
            let mut rest = &self.input[self.read..];
            let event = client.next(&mut rest).unwrap();
            self.read = self.input.len() - rest.len();
            match event {
                Some(ClientEvent::Ready(ready)) => return ready,
                Some(other) => panic!("no answer to HELLO: {other:?}"),
                None => assert!(self.receive(), "the server has closed"),
            }
        }
    }

    /// Writes a request to `out`; its number, from 1 on.
    pub(crate) fn write(
        &mut self,
        command: Command,
        idempotent: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> u32 {
        match &mut self.machine {
            Machine::Bare { asked, .. } => {
                write_frame(&Header::new(Version::V1, command), payload, out);
                *asked += 1;
                *asked
            }
            Machine::Greeted(client, asked) => {
                *asked += 1;
                let begun = client.begin(command, idempotent, payload, *asked, out);
                assert_eq!(begun, Some(*asked), "the window has room");
                *asked
            }
        }
    }

    /// Sends a request.
    pub(crate) fn ask(&mut self, command: Command, payload: &[u8]) -> u32 {
        let mut out = Vec::new();
        let number = self.write(command, false, payload, &mut out);
        self.stream.write_all(&out).unwrap();
        number
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn finish(&mut self) {
        if let Machine::Greeted(client, _) = &mut self.machine {
            client.end();
        }
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next that the server says; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        loop {
            let mut rest = &self.input[self.read..];
            let heard = self.machine.next(&mut rest);
            self.read = self.input.len() - rest.len();
            if heard.is_some() || !self.receive() {
                return heard;
            }
        }
    }

    /// The answer to a request, which is the next that comes; its code when it is an error.
    pub(crate) fn answer(&mut self, command: Command, payload: &[u8]) -> Result<Vec<u8>, u16> {
        let number = self.ask(command, payload);
        let mut parts = Vec::new();
        loop {
            match self.hear() {
                Some(Heard::Answer(of, kind, payload)) => {
                    assert_eq!(of, number);
                    match kind {
                        Command::DATA => parts.extend_from_slice(&payload),
                        Command::END => {
                            let total = parts.len() as u64;
                            let end = End { total, checksum: crc32fast::hash(&parts) };
                            assert_eq!(End::parse(&payload), Ok(end));
                            return Ok(parts);
                        }
                        Command::ERROR => return Err(parse_error(&payload).unwrap().0),
                        _ => return Ok(payload),
                    }
                }
                other => panic!("{command} was answered with {other:?}"),
            }
        }
    }

    /// With flow control: allows the answer to a request to carry more.
    pub(crate) fn credit(&mut self, number: u32, bytes: u32) {
        let Machine::Greeted(client, _) = &mut self.machine else { panic!("no HELLO") };
        let mut out = Vec::new();
        client.credit(number, bytes, &mut out);
        self.send(&out);
    }

    /// With flow control: waits for the answer to a request no longer.
    pub(crate) fn reset(&mut self, number: u32) {
        let Machine::Greeted(client, _) = &mut self.machine else { panic!("no HELLO") };
        let mut out = Vec::new();
        client.reset(number, &mut out);
        self.send(&out);
    }

    /// The code of the error that a request is answered with, perhaps after some DATA.
    pub(crate) fn hear_error(&mut self, number: u32) -> u16 {
        loop {
            match self.hear() {
                Some(Heard::Answer(of, Command::DATA, _)) if of == number => {}
                Some(Heard::Answer(of, Command::ERROR, payload)) if of == number => {
                    return parse_error(&payload).unwrap().0;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code that the connection ends with; `None` when it ends without.
    pub(crate) fn hear_end(&mut self) -> Option<u16> {
        loop {
            match self.hear() {
                Some(Heard::Failed(code)) => return Some(code),
                Some(Heard::Answer(..) | Heard::GoAway(..)) => {}
                None => return None,
            }
        }
    }

    /// Sends a frame of version 2 that the client's machine knows nothing of.
    pub(crate) fn write_raw(&mut self, command: Command, stream: u32, payload: &[u8]) {
        let header = Header { stream, flags: FLAG_LAST, ..Header::new(Version::V2, command) };
        let mut out = Vec::new();
        write_frame(&header, payload, &mut out);
        self.send(&out);
    }

    /// The next frame of version 2, whatever it answers: its stream, command and payload.
    pub(crate) fn read_raw(&mut self) -> (u32, Command, Vec<u8>) {
        let mut reader = Reader::new(Version::V2, u16::MAX);
        loop {
            let mut rest = &self.input[self.read..];
            let frame = reader.next(&mut rest).unwrap();
            let frame =
                frame.map(|one| (one.header.stream, one.header.command, one.payload.to_vec()));
            self.read = self.input.len() - rest.len();
            if let Some(frame) = frame {
                return frame;
            }
            assert!(self.receive(), "the server has closed");
        }
    }

    /// Whether the connection still answers.
    pub(crate) fn assert_goes_on(&mut self) {
        assert_eq!(self.answer(Command::ECHO, b"still here").as_deref(), Ok(&b"still here"[..]));
    }

    /// All bytes that have not been read yet, up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = self.input.split_off(self.read);
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// More bytes; false at the end.
    fn receive(&mut self) -> bool {
        self.input.resize(64 * 1024, 0);
        let count = self.stream.read(&mut self.input).unwrap();
        self.input.truncate(count);
        self.read = 0;
        count > 0
    }
}

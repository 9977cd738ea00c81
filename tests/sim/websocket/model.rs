//! What one socket's client does and expects.

use std::collections::{BTreeMap, VecDeque};

use ringway::proto::websocket::deflate::{Codec, Context, Direction};
use ringway::ring::sim::Random;

use super::Plan;
use super::wire::{self, Came};

/// What a socket is for.
#[derive(Debug)]
pub(super) enum Task {
    Echo {
        /// Messages that have not come back: their opcodes and bytes.
        expected: VecDeque<(u8, Vec<u8>)>,
    },
    Topics {
        /// What it publishes as.
        number: usize,
        /// How many messages it publishes.
        count: usize,
        /// The last message that came of each publisher.
        last: BTreeMap<u64, u64>,
        /// Messages that it was told it did not get.
        dropped: u64,
        /// The answer to its last message has come.
        is_answered: bool,
    },
}

/// How the client means the socket to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It closes with a code; 1005 is none.
    Close(u16),
    /// It breaks a rule, and is closed with a code.
    Break(u16, &'static [u8]),
    /// It ends without a word.
    Vanish,
}

impl End {
    /// The code of the close frame that comes.
    pub(super) const fn code(self) -> Option<u16> {
        match self {
            Self::Close(code) | Self::Break(code, _) => Some(code),
            Self::Vanish => None,
        }
    }
}

const ENDS: [End; 4] = [End::Close(1000), End::Close(1005), End::Close(4321), End::Vanish];
const BREAKS: [End; 6] = [
    End::Break(1002, b"\x83\x80\0\0\0\0"),
    End::Break(1002, b"\x81\x02hi"),
    End::Break(1002, b"\xa1\x80\0\0\0\0"),
    End::Break(1007, b"\x81\x81\0\0\0\0\xff"),
    End::Break(1009, b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0"),
    End::Break(1002, b"\x89\xfe\0\x7e"),
];

/// One socket, as its client sees it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) task: Task,
    pub(super) end: End,
    /// What is to be sent, behind the handshake.
    pub(super) out: Vec<u8>,
    /// What has come and was not read.
    pub(super) input: Vec<u8>,
    /// The handshake was answered.
    pub(super) is_open: bool,
    /// It has ended, in order or not.
    pub(super) is_over: bool,
    /// The code of the server's close frame.
    pub(super) code: Option<u16>,
    /// Messages that came, that were sent, and that were published.
    pub(super) came: u64,
    pub(super) said: u64,
    pub(super) published: u64,
    has_closed: bool,
    /// The message that comes in fragments: its opcode, whether it is compressed, and its bytes.
    message: Option<(u8, bool, Vec<u8>)>,
    packer: Option<Packer>,
    /// What is sent once compression was agreed on, or was not.
    prepared: Vec<(u8, Vec<u8>)>,
    mixes: u64,
}

struct Packer {
    codec: Codec,
    context: Option<Context>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Model {
    pub(super) fn new(plan: &Plan, publisher: &mut usize, random: &mut Random) -> Self {
        let ends: &[End] = if random.chance(plan.breaks) { &BREAKS } else { &ENDS };
        let end = ends[random.below(ends.len())];
        let (task, prepared) = if random.chance(500) {
            let prepared = messages(random);
            (Task::Echo { expected: prepared.iter().cloned().collect() }, prepared)
        } else {
            let (number, count) = (*publisher, random.below(30));
            *publisher += 1;
            let prepared = talk(number, count, random);
            let (last, dropped) = (BTreeMap::new(), 0);
            (Task::Topics { number, count, last, dropped, is_answered: false }, prepared)
        };
        let published = match &task {
            Task::Echo { .. } => 0,
            Task::Topics { count, .. } => *count as u64,
        };
        Self {
            task,
            end,
            out: Vec::new(),
            input: Vec::new(),
            is_open: false,
            is_over: false,
            code: None,
            came: 0,
            said: 0,
            published,
            has_closed: false,
            message: None,
            packer: None,
            prepared,
            mixes: random.bits(),
        }
    }

    pub(super) const fn path(&self) -> &'static str {
        match self.task {
            Task::Echo { .. } => "/echo",
            Task::Topics { .. } => "/fixed",
        }
    }

    /// The handshake was answered, with compression or without.
    pub(super) fn open(&mut self, extension: Option<&str>) {
        self.is_open = true;
        let mut random = Random::new(self.mixes);
        self.packer = extension.map(|answer| {
            let side = |name: &str| Direction {
                window_bits: 15,
                context_takeover: !answer.contains(name),
            };
            let (own, peer) =
                (side("client_no_context_takeover"), side("server_no_context_takeover"));
            Packer { codec: Codec::new(), context: Context::new(own, peer) }
        });
        for (opcode, message) in std::mem::take(&mut self.prepared) {
            let mut packed = None;
            if let Some(packer) = self.packer.as_mut().filter(|_| random.chance(500)) {
                let mut out = Vec::new();
                match &mut packer.context {
                    Some(context) => {
                        context.deflate(&mut packer.codec, &message, Default::default(), &mut out);
                    }
                    None => packer.codec.deflate(&message, 15, Default::default(), &mut out),
                }
                packed = Some(out);
            }
            let is_packed = packed.is_some();
            let payload = packed.unwrap_or(message);
            wire::message((opcode, is_packed), &payload, &mut random, &mut self.out);
            self.said += 1;
        }
    }

    /// It has all that it waits for.
    pub(super) fn is_done(&self) -> bool {
        match &self.task {
            Task::Echo { expected } => expected.is_empty(),
            Task::Topics { number, count, last, dropped, is_answered } => {
                let own = last.get(&(*number as u64)).map_or(0, |last| last + 1);
                *is_answered && (own == *count as u64 || *dropped > 0)
            }
        }
    }

    /// What it does next: whether the connection is to be ended.
    pub(super) fn proceed(&mut self, is_patient: bool) -> bool {
        self.read();
        let answered = matches!(&self.task, Task::Topics { is_answered: true, .. });
        let is_done = self.is_done() || answered && !is_patient;
        if self.is_open && is_done && !self.has_closed && self.code.is_none() {
            self.has_closed = true;
            match self.end {
                End::Close(1005) => wire::frame(0x88, b"", &mut self.out),
                End::Close(code) => wire::frame(0x88, &code.to_be_bytes(), &mut self.out),
                End::Break(_, bytes) => self.out.extend_from_slice(bytes),
                End::Vanish => {}
            }
        }
        self.end == End::Vanish && self.has_closed && self.code.is_none()
    }

    fn read(&mut self) {
        while let Some(came) = wire::take(&mut self.input) {
            assert!(self.code.is_none(), "nothing comes behind a close frame: {came:?}");
            match came {
                Came::Close(payload) => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    self.code = Some(code);
                    if !self.has_closed {
                        self.has_closed = true;
                        wire::frame(0x88, &payload[..payload.len().min(2)], &mut self.out);
                    }
                }
                Came::Ping(payload) if !self.has_closed => {
                    wire::frame(0x8a, &payload, &mut self.out);
                }
                Came::Ping(_) => {}
                Came::Pong(payload) => assert_eq!(payload, b"sim"),
                Came::Data { opcode, fin, packed, payload } => {
                    let (kind, is_packed, mut message) = match self.message.take() {
                        None => (opcode, packed, Vec::new()),
                        Some(begun) => {
                            assert!(opcode == 0 && !packed, "a fragment goes on");
                            begun
                        }
                    };
                    message.extend_from_slice(&payload);
                    if fin {
                        self.note(kind, is_packed, message);
                    } else {
                        self.message = Some((kind, is_packed, message));
                    }
                }
            }
        }
    }

    fn note(&mut self, opcode: u8, is_packed: bool, mut message: Vec<u8>) {
        self.came += 1;
        if is_packed {
            let packer = self.packer.as_mut().expect("compression was agreed on");
            let mut out = Vec::new();
            let read = match &mut packer.context {
                Some(context) => context.inflate(&mut packer.codec, [&*message], 1 << 20, &mut out),
                None => packer.codec.inflate([&*message], 1 << 20, &mut out),
            };
            read.expect("it is valid");
            message = out;
        }
        match &mut self.task {
            Task::Echo { expected } => {
                let next = expected.pop_front().expect("it was sent");
                assert!(next == (opcode, message), "it comes back as it was sent");
            }
            Task::Topics { last, dropped, is_answered, .. } => {
                let said: serde_json::Value = serde_json::from_slice(&message).expect("JSON");
                match said["op"].as_str().expect("an operation") {
                    "ok" => assert_eq!(said["id"], "begin"),
                    "pong" => *is_answered = true,
                    "dropped" => *dropped += said["count"].as_u64().expect("a count"),
                    "message" => {
                        let number = |at: usize| said["data"][at].as_u64().expect("a number");
                        let (publisher, place) = (number(0), number(1));
                        assert_eq!(said["topic"], format!("t/{publisher}"));
                        let before = last.insert(publisher, place);
                        assert!(before.is_none_or(|before| before < place), "in order, and once");
                    }
                    other => panic!("{other}: {said}"),
                }
            }
        }
    }

    /// Messages are asserted to be in order as they come; what is left has not come twice.
    pub(super) fn assert_in_order(&self) {
        if let Task::Topics { number, count, last, .. } = &self.task {
            let own = last.get(&(*number as u64)).map_or(0, |last| last + 1);
            assert!(own <= *count as u64);
        }
    }
}

fn messages(random: &mut Random) -> Vec<(u8, Vec<u8>)> {
    let mark = random.bits();
    (0..random.below(20))
        .map(|place| {
            let sizes = [0, 1, 20, 125, 126, 300, 2_000, 9_000];
            let text = format!("{mark:x}.{place} ");
            let len = sizes[random.below(sizes.len())];
            let bytes = text.bytes().cycle().take(len).collect();
            (if random.chance(500) { 1 } else { 2 }, bytes)
        })
        .collect()
}

fn talk(number: usize, count: usize, random: &mut Random) -> Vec<(u8, Vec<u8>)> {
    let text = |text: String| (1, text.into_bytes());
    let mut talk = vec![text(r##"{"op":"subscribe","topic":"#","id":"begin"}"##.to_owned())];
    for place in 0..count {
        let filler = "so much ".repeat(random.below(40));
        talk.push(text(format!(
            r#"{{"op":"publish","topic":"t/{number}","data":[{number},{place},"{filler}"]}}"#
        )));
    }
    talk.push(text(r#"{"op":"ping"}"#.to_owned()));
    talk
}

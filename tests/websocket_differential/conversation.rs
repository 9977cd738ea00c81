//! What a peer sends: frames, valid ones to begin with, and mutations of them.

use std::fmt::Write as _;

use ringway::proto::websocket::{Role, mask};
use ringway::ring::sim::Random;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How a length is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Shortest,
    Two,
    Eight,
}

/// A frame, with each of its parts as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    form: Form,
    /// The length that is announced, if it is not that of the payload.
    len: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let len = self.len.unwrap_or(self.payload.len() as u64);
        out.push(u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode);
        let bytes = len.to_be_bytes();
        match (self.form, len) {
            (Form::Shortest, 0..126) => out.push(masked | bytes[7]),
            (Form::Shortest | Form::Two, 0..65_536) => {
                out.push(masked | 126);
                out.extend_from_slice(&bytes[6..]);
            }
            (Form::Shortest | Form::Two | Form::Eight, _) => {
                out.push(masked | 127);
                out.extend_from_slice(&bytes);
            }
        }
        out.extend(self.mask.into_iter().flatten());
        let from = out.len();
        out.extend_from_slice(&self.payload);
        if let Some(key) = self.mask {
            mask::apply(&mut out[from..], key);
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let Self { fin, reserved, opcode, mask, form, len, payload } = self;
        let mut text = format!(
            "opcode {opcode:#x} fin {fin} reserved {reserved} mask {} {form:?} len {len:?} of {}:",
            mask.is_some(),
            payload.len()
        );
        for byte in payload.iter().take(40) {
            write!(text, " {byte:02x}").expect("a String takes it");
        }
        text
    }
}

struct Speaker {
    random: Random,
    role: Role,
    frames: Vec<Frame>,
}

/// Frames that follow all rules.
pub(crate) fn valid(seed: u64, role: Role) -> Vec<Frame> {
    let mut speaker = Speaker { random: Random::new(seed), role, frames: Vec::new() };
    for _ in 0..speaker.random.below(8) {
        match speaker.random.below(4) {
            0 => speaker.control(),
            _ => speaker.message(),
        }
    }
    if speaker.random.below(3) == 0 {
        speaker.close();
    }
    speaker.frames
}

impl Speaker {
    fn push(&mut self, opcode: u8, fin: bool, payload: Vec<u8>) {
        let key = u32::try_from(self.random.bits() >> 32).expect("it has 32 bits").to_be_bytes();
        let mask = (self.role == Role::Server).then_some(key);
        let (reserved, form, len) = (0, Form::Shortest, None);
        self.frames.push(Frame { fin, reserved, opcode, mask, form, len, payload });
    }

    fn len(&mut self) -> usize {
        match self.random.below(40) {
            0..8 => 0,
            8..30 => 1 + self.random.below(30),
            30..36 => 120 + self.random.below(12),
            36..39 => 400 + self.random.below(2000),
            _ => 65_530 + self.random.below(12),
        }
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let letters = ["a", "b", " ", "\u{e9}", "\u{7ff}", "\u{800}", "\u{ffff}", "\u{1f600}"];
        let ends = ["\u{10ffff}", "\u{0}", "\u{d7ff}", "\u{e000}"];
        let mut text = String::new();
        while text.len() < len {
            let at = self.random.below(letters.len() + 1);
            text += letters.get(at).copied().unwrap_or_else(|| ends[self.random.below(ends.len())]);
        }
        text.into_bytes()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.random.bits().to_le_bytes()[0]).collect()
    }

    /// A message in one frame or several, with control frames between them.
    fn message(&mut self) {
        let len = self.len();
        let is_text = self.random.below(2) == 0;
        let payload = if is_text { self.text(len) } else { self.bytes(len) };
        let mut opcode = if is_text { TEXT } else { BINARY };
        let mut rest = &payload[..];
        let count = if self.random.below(2) == 0 { 0 } else { self.random.below(5) };
        for _ in 0..count {
            // Between the bytes of a character, too.
            let (part, behind) = rest.split_at(self.random.below(rest.len() + 1));
            self.push(opcode, false, part.to_vec());
            (opcode, rest) = (0, behind);
            if self.random.below(3) == 0 {
                self.control();
            }
        }
        self.push(opcode, true, rest.to_vec());
    }

    fn control(&mut self) {
        let opcode = if self.random.below(2) == 0 { PING } else { PONG };
        let len = if self.random.below(4) == 0 { 125 } else { self.random.below(20) };
        let payload = self.bytes(len);
        self.push(opcode, true, payload);
    }

    fn close(&mut self) {
        let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999];
        let mut payload = Vec::new();
        if self.random.below(4) > 0 {
            let code: u16 = codes[self.random.below(codes.len())];
            payload.extend_from_slice(&code.to_be_bytes());
            let len = self.random.below(20);
            payload.extend(self.text(len));
        }
        self.push(CLOSE, true, payload);
    }
}

/// Frames of which some were changed, and bytes behind them.
pub(crate) fn mutated(seed: u64, role: Role) -> (Vec<Frame>, Vec<u8>) {
    let mut frames = valid(seed, role);
    let mut random = Random::new(seed ^ 0x5eed);
    for _ in 0..=random.below(3) {
        if frames.is_empty() {
            break;
        }
        mutate(&mut frames, &mut random);
    }
    let tail = match random.below(4) {
        0 => (0..random.below(20)).map(|_| random.bits().to_le_bytes()[0]).collect(),
        _ => Vec::new(),
    };
    (frames, tail)
}

fn mutate(frames: &mut Vec<Frame>, random: &mut Random) {
    let at = random.below(frames.len());
    let other = random.below(frames.len());
    let byte = random.bits().to_le_bytes()[0];
    let frame = &mut frames[at];
    match random.below(16) {
        0 => frame.fin = !frame.fin,
        1 => frame.reserved = 1 + byte % 7,
        2 => frame.opcode = byte % 16,
        3 => frame.mask = if frame.mask.is_some() { None } else { Some([byte; 4]) },
        4 => frame.form = if byte.is_multiple_of(2) { Form::Two } else { Form::Eight },
        5 => {
            let lens = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 70_001, 72_000, u64::MAX];
            frame.len = Some(lens[random.below(lens.len())]);
            frame.form = [Form::Shortest, Form::Two, Form::Eight][random.below(3)];
        }
        6 | 7 => {
            // A byte of text becomes another one.
            if !frame.payload.is_empty() {
                let at = random.below(frame.payload.len());
                frame.payload[at] = [0x80, 0xc0, 0xed, 0xf4, 0xff, byte][random.below(6)];
            }
        }
        8 => drop(frame.payload.pop()),
        9 => drop(frames.remove(at)),
        10 => frames.insert(other, frames[at].clone()),
        11 => frames.swap(at, other),
        12 => frames.truncate(at + 1),
        13 => {
            // A control frame that is too long, or a longer message.
            let more = 100 + random.below(100);
            frame.payload.extend(std::iter::repeat_n(b'x', more));
        }
        14 => {
            let codes = [0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 3000, 5000, 65_535];
            let code: u16 = codes[random.below(codes.len())];
            frame.opcode = CLOSE;
            frame.fin = true;
            frame.payload = [&code.to_be_bytes()[..], b"why"].concat();
        }
        _ => {
            // Two of them are longer than a message may be.
            frame.payload = vec![b'y'; 36_000 + random.below(100)];
        }
    }
}

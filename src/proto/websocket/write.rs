//! Frames on their way out.

use super::error::CloseCode;
use super::frame::{CONTROL_MAX, FrameHead, HEAD_MAX, Opcode};
use super::mask;

/// Appends a frame. `mask` is the key of a client, which has to be new for each frame (RFC 6455,
/// section 5.3).
pub fn frame(
    opcode: Opcode,
    (fin, compressed): (bool, bool),
    payload: &[u8],
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    let len = payload.len() as u64;
    FrameHead { fin, compressed, opcode, mask, len }.append(out);
    match mask {
        None => out.extend_from_slice(payload),
        Some(key) => mask::append(payload, key, out),
    }
}

/// Appends the head of a frame that is not masked.
pub fn head(opcode: Opcode, (fin, compressed): (bool, bool), len: usize, out: &mut Vec<u8>) {
    FrameHead { fin, compressed, opcode, mask: None, len: len as u64 }.append(out);
}

/// Appends a ping or a pong, of at most 125 bytes.
pub fn control(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL_MAX)];
    frame(opcode, (true, false), payload, mask, out);
}

/// Appends a close frame. A reason that is too long is cut between two characters; a code that may
/// not be on the wire is not sent.
pub fn close(code: CloseCode, reason: &str, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mut payload = [0; CONTROL_MAX];
    let mut len = 0;
    if code.is_valid() {
        payload[..2].copy_from_slice(&code.0.to_be_bytes());
        let reason = cut(reason, CONTROL_MAX - 2);
        payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
        len = 2 + reason.len();
    }
    frame(Opcode::Close, (true, false), &payload[..len], mask, out);
}

/// The beginning of a text of at most so many bytes, of whole characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Puts the head of an unmasked frame right before its payload, which begins at `at` in `bytes`,
/// over the head that it came with. Returns where the frame begins; `None` where there is no room.
pub fn head_before(
    bytes: &mut [u8],
    at: usize,
    room: usize,
    frame: (Opcode, bool, bool, u64),
) -> Option<usize> {
    let (opcode, fin, compressed, len) = frame;
    let mut head = [0; HEAD_MAX];
    let size = FrameHead { fin, compressed, opcode, mask: None, len }.write(&mut head);
    if size > room {
        return None;
    }
    bytes[at - size..at].copy_from_slice(&head[..size]);
    Some(at - size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters_and_codes_are_valid() {
        let mut out = Vec::new();
        close(CloseCode::NORMAL, &"é".repeat(80), None, &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
        out.clear();
        close(CloseCode::ABNORMAL, "never sent", None, &mut out);
        assert_eq!(out, [0x88, 0]);
    }

    #[test]
    fn a_head_is_put_over_that_of_the_client() {
        let mut bytes = *b"......hello";
        assert_eq!(head_before(&mut bytes, 6, 6, (Opcode::Text, true, false, 5)), Some(4));
        assert_eq!(&bytes[4..], b"\x81\x05hello");
        assert_eq!(head_before(&mut bytes, 6, 1, (Opcode::Text, true, false, 5)), None);
    }
}

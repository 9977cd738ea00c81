//! Where a machine writes what goes out.

use super::write;
use crate::mem::Buf;

/// Parts up to so many bytes are copied behind what is written before them: a copy of that size
/// costs less than another element of a vectored send.
const COPY_MAX: usize = 2048;

/// What goes out of a connection, in its order: bytes that are written, and slices that are sent
/// from where they lie.
pub trait Output {
    /// What is written since the last slice, to be appended to.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// A slice goes out behind what was written.
    fn slice(&mut self, slice: Buf);
}

/// Writes a part of a body, as a chunk if the body is in chunks.
pub fn write_part(out: &mut impl Output, part: Buf, is_chunked: bool) {
    if is_chunked {
        write::chunk_head(part.len(), out.bytes());
    }
    if part.len() <= COPY_MAX {
        out.bytes().extend_from_slice(&part);
    } else {
        out.slice(part);
    }
    if is_chunked {
        out.bytes().extend_from_slice(b"\r\n");
    }
}

/// All that goes out, as bytes.
impl Output for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }

    fn slice(&mut self, slice: Buf) {
        self.extend_from_slice(&slice);
    }
}

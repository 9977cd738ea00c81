//! Where frames are written to: the connection's write buffer, or, by HTTP/2, the body of a stream.

use crate::mem::Buf;
use crate::proto::http1::Output;
use crate::session::http::client::wire::Wire;
use crate::session::write_buffer::Writer;

/// Takes frames in their order. [`Frames::finish`] comes at the end.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    wire: &'a mut Wire,
    writer: Writer<'a>,
    /// What is written of the present stream's body.
    scratch: &'a mut Vec<u8>,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(
        wire: &'a mut Wire,
        writer: Writer<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Self {
        Self { wire, writer, scratch }
    }

    /// What was written is a part of the body.
    fn pass(&mut self) {
        if !self.scratch.is_empty() {
            self.wire.send_bytes(self.scratch, &mut self.writer);
            self.scratch.clear();
        }
    }

    /// All is written.
    pub(super) fn finish(mut self) {
        self.pass();
    }

    /// What is written since the last slice, to be appended to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        match self.wire {
            Wire::Http1(_) => self.writer.bytes(),
            Wire::Http2(_) => self.scratch,
        }
    }

    /// A slice goes out behind what was written.
    pub(super) fn slice(&mut self, slice: Buf) {
        self.pass();
        self.wire.send_part(slice, &mut self.writer);
    }
}

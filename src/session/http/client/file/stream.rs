//! Files on their way to a client of HTTP/2: `sendfile` knows no frames, so what is sent goes
//! through memory, as much at a time as the windows take.

use super::send::{Sending, is_unwritten};
use super::{Piece, Transfer, as_len};
use crate::mem::{Buf, Key};
use crate::ring::Driver;
use crate::service::http::files::range::ByteRange;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::request::{Request, Responder};
use crate::session::http::client::wire::StoppedBy;

/// Bytes that are read from the page cache at once.
const PART: usize = 64 * 1024;

impl Http {
    /// Reads and sends what the windows take of a file; true when the answer is over.
    pub(super) fn send_file_on_stream<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> bool {
        let most = context.options.relay.turn_budget.min(context.bulk.left()) as u64;
        let mut left = most;
        loop {
            let Responder::File(transfer) = &mut request.responder else { return false };
            if transfer.broken {
                self.cut_file(context, key, request);
                return true;
            }
            if !transfer.reader.is_quiet() || transfer.starved {
                return false;
            }
            if transfer.load.is_some() {
                // One read at a time: the others of this connection wait for it.
                if !self.is_reading_file() {
                    transfer.reader.read(&mut context.reactor, key);
                }
                return false;
            }
            let Some(piece) = transfer.rest.pop() else {
                return self.end_file(context, request);
            };
            match piece {
                Piece::Text(text) => {
                    transfer.told.sent += text.len() as u64;
                    self.send_slice(context, Buf::from(text));
                }
                Piece::Range(range) if range.is_empty() => {}
                Piece::Range(range) => {
                    if let Sending::Waits = self.read_part(context, key, transfer, range, &mut left)
                    {
                        break;
                    }
                }
            }
        }
        context.bulk.spend(as_len(most - left));
        if left == 0 {
            self.wire.note_stopped(StoppedBy::Turn);
            self.io.common.postpone(context, key, most > 0);
        }
        false
    }

    /// Reads a part that is in memory, as much as the windows take; what is not is read first.
    fn read_part<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        transfer: &mut Transfer,
        range: ByteRange,
        budget: &mut u64,
    ) -> Sending {
        let room = self.wire.room().min(PART).min(as_len(*budget));
        let len = room.min(as_len(range.end - range.start));
        if len == 0 || !self.has_room(context) {
            transfer.rest.push(Piece::Range(range));
            return Sending::Waits;
        }
        let mut page = context.pages.take();
        let (file, start) = (transfer.file.fd, range.start);
        match context.reactor.driver().read_now(file, start, len, page.bytes()) {
            Ok(0) => transfer.broken = true,
            Ok(count) => {
                let is_last = start + count as u64 == range.end;
                if is_last && !is_unwritten(context, &transfer.file) {
                    // What was sent is not all of the tag's version.
                    transfer.broken = true;
                } else {
                    transfer.advance(range, count as u64);
                    *budget -= (count as u64).min(*budget);
                    let part = context.pages.seal(page);
                    self.send_slice(context, part);
                    return Sending::Goes;
                }
            }
            // It is not in memory, or the file system cannot say so.
            Err(_) => {
                transfer.rest.push(Piece::Range(range));
                if !self.is_reading_file() {
                    transfer.reader.seek(start);
                    transfer.reader.read(&mut context.reactor, key);
                }
                context.pages.put_back(page);
                return Sending::Waits;
            }
        }
        context.pages.put_back(page);
        Sending::Goes
    }
}

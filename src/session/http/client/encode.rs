//! Answers that are compressed on their way. Small parts at once, large ones by a thread that may
//! take its time; the parts of one answer keep their order.

use std::sync::Arc;

use super::Http;
use super::request::{Request, Responder};
use super::wire::StoppedBy;
use crate::mem::{Backlog, Buf, Key};
use crate::proto::http::RequestHead;
use crate::ring::Driver;
use crate::runtime::Task;
use crate::service::http::compression::Window;
use crate::service::http::files::coding::Coding;
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::coder::{Coder, Encoded};
use crate::session::offloaded::Finished;
use crate::session::workers::WorkerMessage;

/// Parts up to so many bytes are compressed by the loop itself.
const INLINE_MAX: usize = 4 * 1024;
/// An answer that is being compressed.
#[derive(Debug)]
pub(in crate::session::http) struct Encoding {
    /// The compressor, unless a thread has it.
    coder: Option<Coder>,
    waiting: Backlog,
    /// Nothing more comes.
    ended: bool,
    /// All that there is came out.
    done: bool,
    failed: bool,
}

impl Encoding {
    /// Bytes of memory that what waits to be compressed takes.
    pub(in crate::session::http) fn waiting(&self) -> usize {
        self.waiting.cost()
    }
}

/// The answer to a request, whose body has `length` bytes if that is known, is compressed from now
/// on; false when there is no memory for it, and it goes as it is.
pub(in crate::session::http) fn begin_encoding<D: Driver>(
    context: &Context<D>,
    request: &mut Request,
    coding: Coding,
    length: Option<u64>,
) -> bool {
    let (stats, most) = (&context.stats().compression, context.options.compression_memory);
    let Some(window) = Window::choose(coding, length, stats.memory.used(), most) else {
        stats.refused.add(1);
        return false;
    };
    let memory = stats.memory.lend(window.memory(coding));
    let Ok(coder) = Coder::new(coding, window, memory) else {
        stats.refused.add(1);
        return false;
    };
    match window {
        Window::Full => stats.full.add(1),
        Window::Small => stats.small.add(1),
    }
    request.encoding = Some(Box::new(Encoding {
        coder: Some(coder),
        waiting: Backlog::default(),
        ended: false,
        done: false,
        failed: false,
    }));
    true
}

impl Http {
    /// A part of an answer that is compressed.
    pub(in crate::session::http) fn encode<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        part: Buf,
    ) {
        if let Some(encoding) = &mut request.encoding {
            encoding.waiting.push(part);
        }
        self.pump_encoding(context, key, request);
        if let Some(encoding) = &mut request.encoding {
            // A thread may have the compressor for many turns.
            encoding.waiting.hold();
        }
    }

    /// Nothing more comes of the answer; true when all of it is written, but for the last chunk.
    ///
    /// # Errors
    /// It could not be compressed: it cannot be ended in order.
    pub(in crate::session::http) fn end_encoding<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> Result<bool, ()> {
        if let Some(encoding) = &mut request.encoding {
            encoding.ended = true;
        }
        self.pump_encoding(context, key, request);
        match &request.encoding {
            Some(encoding) if encoding.failed => Err(()),
            Some(encoding) if !encoding.done => Ok(false),
            Some(_) | None => {
                request.encoding = None;
                Ok(true)
            }
        }
    }

    /// Compresses what waits, as far as no thread has the compressor.
    pub(in crate::session::http) fn pump_encoding<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) {
        loop {
            let Some(encoding) = &mut request.encoding else { return };
            let Some(mut coder) = encoding.coder.take() else { return };
            let Some(part) = encoding.waiting.pop() else {
                if !encoding.ended {
                    encoding.coder = Some(coder);
                    return;
                }
                let out = coder.finish();
                encoding.done = true;
                encoding.failed |= out.is_err();
                self.write_encoded(context, request, &out.unwrap_or_default());
                return;
            };
            if part.len() > INLINE_MAX {
                return self.encode_elsewhere(context, key, request, (coder, part));
            }
            let out = coder.push(&part);
            encoding.coder = Some(coder);
            encoding.failed |= out.is_err();
            self.write_encoded(context, request, &out.unwrap_or_default());
        }
    }

    fn encode_elsewhere<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        (mut coder, part): (Coder, Buf),
    ) {
        let Some(waiter) = request.key(&mut context.http.waiting, (key, self.wire.stream())) else {
            // Too many wait: slow for all of this worker, but no answer is lost.
            let out = coder.push(&part);
            self.encoded(context, request, Encoded { coder, out });
            // More may wait.
            self.wire.note_stopped(StoppedBy::Turn);
            return self.io.mark_dirty(context, key);
        };
        let workers = Arc::clone(&context.options.workers);
        let worker = context.options.worker;
        // A buffer counts its handles without locks, so it stays here.
        let bytes = part.to_vec();
        let work = move || {
            let out = coder.push(&bytes);
            let finished = Finished::Encoded(Box::new(Encoded { coder, out }));
            // A worker that has ended has no use for it.
            let _ended =
                workers.send(worker, WorkerMessage::Finished { request: waiter, finished });
        };
        if let Err(work) = context.options.workers.offload(Task::Compression, Box::new(work)) {
            // All helpers are busy: slow for all of this worker, but no answer is lost.
            work();
        }
    }

    /// A thread has compressed a part.
    pub(in crate::session::http) fn encoded<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        encoded: Encoded,
    ) {
        let Some(encoding) = &mut request.encoding else { return };
        let Encoded { coder, out } = encoded;
        encoding.coder = Some(coder);
        encoding.failed |= out.is_err();
        self.write_encoded(context, request, &out.unwrap_or_default());
    }

    fn write_encoded<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        bytes: &[u8],
    ) {
        if bytes.is_empty() {
            return;
        }
        request.recoded += signed(bytes.len());
        let mut out = self.io.writer(&mut context.pages);
        self.wire.send_bytes(bytes, &mut out);
    }

    /// An answer whose whole body is here is compressed, and sent when it is.
    pub(in crate::session::http) fn send_encoded<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        asked: (Box<RequestHead>, RequestRecord),
        body: Buf,
    ) {
        request.responder = Responder::Encoding(Box::new(asked));
        self.encode(context, key, request, body);
        self.wire.note_stopped(StoppedBy::Turn);
        self.io.mark_dirty(context, key);
    }

    /// Goes on with an answer that is compressed as a whole; true when it is over.
    pub(in crate::session::http) fn proceed_encoding<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> bool {
        match self.end_encoding(context, key, request) {
            Ok(false) => false,
            Err(()) => {
                self.end_broken(context, request);
                false
            }
            Ok(true) => {
                self.write_end(context, None);
                self.finish_asked(context, request);
                self.after_answer(context);
                true
            }
        }
    }
}

/// A number of bytes that is counted or taken back.
pub(in crate::session::http) fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Quota;

    #[test]
    fn what_is_compressed_in_parts_is_one_whole() {
        use std::io::Read;
        let parts: [&[u8]; 3] = [b"hello ", &[b'x'; 10_000], b" world"];
        let windows = [Window::Full, Window::Small];
        let quota = Quota::default();
        for (coding, window) in Coding::ALL.into_iter().flat_map(|c| windows.map(|w| (c, w))) {
            let memory = quota.lend(window.memory(coding));
            let mut coder = Coder::new(coding, window, memory).unwrap();
            let mut out = Vec::new();
            for part in parts {
                let now = coder.push(part).unwrap();
                assert!(!now.is_empty(), "{coding:?}: a part does not wait for the next");
                out.extend(now);
            }
            out.extend(coder.finish().unwrap());
            let mut plain = Vec::new();
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut plain),
                Coding::Brotli => brotli::Decompressor::new(&out[..], 4096).read_to_end(&mut plain),
                Coding::Zstd => {
                    zstd::stream::read::Decoder::new(&out[..]).unwrap().read_to_end(&mut plain)
                }
            }
            .unwrap();
            assert_eq!(plain, parts.concat(), "{coding:?}");
            assert_eq!(quota.used(), 0, "the end gives the memory back");
        }
    }
}

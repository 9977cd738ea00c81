//! Compressors of answers.

use std::io::{self, Write};

use zstd::stream::raw::CParameter;

use crate::runtime::Share;
use crate::service::http::compression::Window;
use crate::service::http::files::coding::Coding;

/// What a good ratio for the work is, by coding. `Window::memory` has what these cost.
const GZIP_LEVEL: u32 = 5;
const BROTLI_BUFFER: usize = 16 * 1024;
const ZSTD_LEVEL: i32 = 3;
/// Bytes of a window, and of the tables of zstd, as powers of two.
const FULL_WINDOW: u32 = 19;
const SMALL_WINDOW: u32 = 16;
const SMALL_TABLES: u32 = 14;

/// A compressor, and the memory that it has of its worker's: wherever it ends, even on a thread
/// whose connection has gone, that is given back.
pub(super) struct Coder {
    wire: Wire,
    _memory: Share,
}

enum Wire {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.wire {
            Wire::Gzip(_) => "Gzip",
            Wire::Brotli(_) => "Brotli",
            Wire::Zstd(_) => "Zstd",
        })
    }
}

impl Coder {
    pub(super) fn new(coding: Coding, window: Window, memory: Share) -> io::Result<Self> {
        let wire = match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Wire::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            Coding::Brotli => {
                let (quality, bits) = match window {
                    Window::Full => (4, FULL_WINDOW),
                    Window::Small => (3, SMALL_WINDOW),
                };
                let out = Vec::new();
                let coder = brotli::CompressorWriter::new(out, BROTLI_BUFFER, quality, bits);
                Wire::Brotli(Box::new(coder))
            }
            Coding::Zstd => {
                let mut coder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                match window {
                    Window::Full => coder.set_parameter(CParameter::WindowLog(FULL_WINDOW))?,
                    Window::Small => {
                        coder.set_parameter(CParameter::WindowLog(SMALL_WINDOW))?;
                        coder.set_parameter(CParameter::HashLog(SMALL_TABLES))?;
                        coder.set_parameter(CParameter::ChainLog(SMALL_TABLES))?;
                    }
                }
                Wire::Zstd(coder)
            }
        };
        Ok(Self { wire, _memory: memory })
    }

    /// Compresses a part; all of it can be read from what comes out.
    pub(super) fn push(&mut self, part: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.wire {
            Wire::Gzip(coder) => {
                coder.write_all(part)?;
                coder.flush()?;
                Ok(std::mem::take(coder.get_mut()))
            }
            Wire::Brotli(coder) => {
                coder.write_all(part)?;
                coder.flush()?;
                Ok(std::mem::take(coder.get_mut()))
            }
            Wire::Zstd(coder) => {
                coder.write_all(part)?;
                coder.flush()?;
                Ok(std::mem::take(coder.get_mut()))
            }
        }
    }

    /// The end.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.wire {
            Wire::Gzip(coder) => coder.finish(),
            Wire::Brotli(coder) => Ok(coder.into_inner()),
            Wire::Zstd(coder) => coder.finish(),
        }
    }
}

/// What a thread brings back: a part of an answer, compressed.
pub struct Encoded {
    pub(super) coder: Coder,
    pub(super) out: io::Result<Vec<u8>>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.coder.fmt(f)
    }
}

//! Whole frames out of received bytes.

use super::{CHECKSUM_LEN, Command, FrameError, Header, Version};

/// Room that a reader keeps between frames that come in parts.
const HELD_KEPT: usize = 4096;

/// Finds frames in received bytes, without copying those that lie in them whole.
///
/// Calling order: for each piece of received bytes, [`Reader::next`] until it gives `None`; then
/// all of the piece is read, and what is left of a frame is kept. At the end of the bytes,
/// [`Reader::at_end`].
#[derive(Debug)]
pub struct Reader {
    version: Version,
    max_payload: u16,
    /// The beginning of a frame whose rest has not come.
    held: Vec<u8>,
    /// What is held was given out as a frame.
    spent: bool,
    /// A checksum of nothing: looking up what the processor can do once is enough.
    checksum: crc32fast::Hasher,
}

/// A frame with the right checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What stands before the payload.
    pub header: Header,
    /// The payload.
    pub payload: &'a [u8],
    /// All bytes of the frame.
    pub bytes: &'a [u8],
    /// Whether those lie in the input: they are the last of it that were read. A frame that came
    /// in parts lies in the reader.
    pub in_input: bool,
}

impl Reader {
    /// A reader of frames whose payloads have at most `max_payload` bytes.
    #[must_use]
    pub fn new(version: Version, max_payload: u16) -> Self {
        let checksum = crc32fast::Hasher::new();
        Self { version, max_payload, held: Vec::new(), spent: false, checksum }
    }

    /// The version of the frames to come.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Frames that follow are of this version, and with payloads of so many bytes at most.
    pub fn agree(&mut self, version: Version, max_payload: u16) {
        self.version = version;
        self.max_payload = max_payload;
    }

    /// The next frame in `input`, from which it is taken; `None` when there is no whole one.
    ///
    /// # Errors
    /// What is wrong with the bytes. Nothing can be read behind them.
    #[inline]
    pub fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'f>>, FrameError> {
        if self.spent {
            self.spent = false;
            self.held.clear();
            self.held.shrink_to(HELD_KEPT);
        }
        if !self.held.is_empty() {
            return self.complete(input);
        }
        match self.frame_len(input)? {
            Some(len) if len <= input.len() => {
                let (bytes, rest) = input.split_at(len);
                *input = rest;
                check(self.version, bytes, true, &self.checksum).map(Some)
            }
            Some(_) | None => {
                self.held.extend_from_slice(input);
                *input = &[];
                Ok(None)
            }
        }
    }

    /// The frames at the start of `input` that are whole and right and carry `command`, which are
    /// taken from it: how many there are, and their bytes. Version 1 only, whose frames are alike;
    /// whatever else comes is left to [`Reader::next`], which tells what it is.
    #[inline]
    pub fn run(&self, command: Command, input: &mut &[u8]) -> (u64, usize) {
        let (mut count, mut rest) = (0, *input);
        if self.version != Version::V1 || !(self.held.is_empty() || self.spent) {
            return (0, 0);
        }
        while let Some(&[version, asked, high, low]) = rest.first_chunk() {
            let payload = u16::from_be_bytes([high, low]);
            let covered = Version::V1.header_len() + usize::from(payload);
            let is_next = version == Version::V1.number()
                && asked == command.0
                && payload <= self.max_payload;
            let Some((frame, behind)) = rest.split_at_checked(covered + CHECKSUM_LEN) else {
                break;
            };
            let found = frame.last_chunk::<CHECKSUM_LEN>().copied().map(u32::from_be_bytes);
            let computed = frame.get(..covered).map(|covered| crc(&self.checksum, covered));
            if !is_next || found != computed {
                break;
            }
            count += 1;
            rest = behind;
        }
        let bytes = input.len() - rest.len();
        *input = rest;
        (count, bytes)
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn at_end(&self) -> Result<(), FrameError> {
        if self.held.is_empty() || self.spent {
            return Ok(());
        }
        Err(FrameError::Truncated { held: self.held.len() })
    }

    /// Takes what the held frame still needs.
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
        loop {
            let len = self.frame_len(&self.held)?;
            let wanted = len.unwrap_or_else(|| self.version.header_len());
            if self.held.len() == wanted && len.is_some() {
                break;
            }
            if input.is_empty() {
                return Ok(None);
            }
            let count = (wanted - self.held.len()).min(input.len());
            let (taken, rest) = input.split_at(count);
            self.held.extend_from_slice(taken);
            *input = rest;
        }
        self.spent = true;
        check(self.version, &self.held, false, &self.checksum).map(Some)
    }

    /// How long the frame is that begins with `bytes`; `None` when those do not tell.
    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let expected = self.version.number();
        match bytes.first() {
            Some(&found) if found != expected => Err(FrameError::Version { found, expected }),
            _ => match Header::read(self.version, bytes) {
                Some(header) if header.payload_len > self.max_payload => {
                    Err(FrameError::TooLarge { len: header.payload_len, max: self.max_payload })
                }
                Some(header) => Ok(Some(self.version.frame_len(header.payload_len.into()))),
                None => Ok(None),
            },
        }
    }
}

/// Takes a whole frame apart.
#[inline]
fn check<'a>(
    version: Version,
    bytes: &'a [u8],
    in_input: bool,
    nothing: &crc32fast::Hasher,
) -> Result<Frame<'a>, FrameError> {
    let header = Header::read(version, bytes);
    let (Some(header), Some((covered, checksum))) =
        (header, bytes.split_last_chunk::<CHECKSUM_LEN>())
    else {
        return Err(FrameError::Truncated { held: bytes.len() });
    };
    let (found, computed) = (u32::from_be_bytes(*checksum), crc(nothing, covered));
    if found != computed {
        return Err(FrameError::Checksum { command: header.command, found, computed });
    }
    let payload = covered.get(version.header_len()..).unwrap_or_default();
    Ok(Frame { header, payload, bytes, in_input })
}

#[inline]
fn crc(nothing: &crc32fast::Hasher, bytes: &[u8]) -> u32 {
    let mut hasher = nothing.clone();
    hasher.update(bytes);
    hasher.finalize()
}

//! One direction of a relay: copying through pool buffers, or splicing through a pipe.
//!
//! ```text
//!   Copy ──promote──> Promoting ──receive ended, sink drained──> Splice
//!     ^                   │ source ended                            │
//!     └───────────────────┴──────────────────── demote, pipe empty ─┘
//! ```

use nix::errno::Errno;

use super::secure::Control;
use super::{PipePool, Stream};
use crate::mem::Key;
use crate::ring::{Driver, Fd, Pipe};
use crate::runtime::{Budget, Reactor};

/// What a record of TLS that has no data takes of a turn's budget, in bytes: a peer could send
/// nothing but such.
const CONTROL_COST: usize = 4 * 1024;

/// What a pipe has to take for a record of TLS, in bytes, however its pages lie.
const RECORD_ROOM: usize = 64 * 1024;

/// Bytes on their way from one stream to the other, and how they go.
#[derive(Debug, Default)]
pub struct Direction {
    mode: Mode,
    /// Bytes that came since the last look, in copy mode.
    fresh: u32,
    ended: bool,
    /// It was cut: the end of the source is not that of what it says.
    cut: bool,
    shut: bool,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Copy,
    /// The receive is being ended; what it still brings is copied.
    Promoting,
    Splice {
        /// Borrowed while bytes are in flight.
        pipe: Option<Pipe>,
        /// Bytes in the pipe.
        held: usize,
    },
}

/// What [`Direction::pump`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Bytes taken from the source.
    pub received: usize,
    /// Bytes given to the sink.
    pub sent: usize,
    /// There may be more to move at once: the budget was spent.
    pub busy: bool,
    /// No pipe could be had: the direction copies again.
    pub refused: bool,
}

/// Which side of a direction has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The side that bytes come from.
    Source(Errno),
    /// The side that bytes go to.
    Sink(Errno),
}

impl Direction {
    /// Bytes came in copy mode.
    pub fn note_received(&mut self, bytes: usize) {
        self.fresh = self.fresh.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Bytes that came since the last call; once per turn.
    pub fn take_fresh(&mut self) -> usize {
        std::mem::take(&mut self.fresh) as usize
    }

    /// The source will send no more.
    pub fn note_end(&mut self) {
        self.ended = true;
    }

    /// The source was cut off, and will send no more: the sink must not take that for an end.
    pub fn note_cut(&mut self) {
        self.ended = true;
        self.cut = true;
    }

    /// Whether the source was cut off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether the source has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the sink was told of the end: this direction is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shut
    }

    /// Whether bytes are copied, or soon no longer will be.
    #[must_use]
    pub fn is_copying(&self) -> bool {
        !matches!(self.mode, Mode::Splice { .. })
    }

    /// Whether bytes are spliced.
    #[must_use]
    pub fn is_splicing(&self) -> bool {
        matches!(self.mode, Mode::Splice { .. })
    }

    /// Whether it is changing from copying to splicing.
    #[must_use]
    pub fn is_promoting(&self) -> bool {
        matches!(self.mode, Mode::Promoting)
    }

    /// Begins to change to splicing.
    pub fn promote<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        source: &mut Stream,
    ) {
        if matches!(self.mode, Mode::Copy) {
            self.mode = Mode::Promoting;
            source.pause(reactor, key);
        }
    }

    /// Goes on with the change once nothing is under way in copy mode; true when it is made.
    ///
    /// What has come in part of a record of the source is received before: see
    /// [`Stream::receive_rest`].
    pub fn try_splice<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        (source, sink): (&mut Stream, &mut Stream),
    ) -> bool {
        if !self.is_promoting() {
            return false;
        }
        if self.ended {
            self.mode = Mode::Copy;
            return false;
        }
        if source.is_receiving() || !sink.is_drained() {
            return false;
        }
        // Either side may still say no, and then bytes are copied on.
        let goes = sink.takes_pages(reactor, key) && source.gives_pages(reactor);
        self.mode = if goes { Mode::Splice { pipe: None, held: 0 } } else { Mode::Copy };
        goes
    }

    /// Goes back to copying, if no byte is in the pipe; true when it did.
    pub fn demote<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        pipes: &mut PipePool,
    ) -> bool {
        match &self.mode {
            Mode::Splice { held: 0, .. } => {
                self.release(reactor, pipes);
                true
            }
            Mode::Copy | Mode::Promoting | Mode::Splice { .. } => false,
        }
    }

    /// Moves bytes by splicing until the source has none, the sink takes none, or the budget is
    /// spent. Leaves a watch on the side that it waits for.
    ///
    /// # Errors
    /// The side that failed.
    pub fn pump<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        (source, sink): (&mut Stream, &mut Stream),
        pipes: &mut PipePool,
        mut budget: Budget,
    ) -> Result<Pumped, Broken> {
        let mut pumped = Pumped::default();
        let (Some(from), Some(to)) = (source.fd(), sink.fd()) else {
            return Ok(pumped);
        };
        let Mode::Splice { pipe, held } = &mut self.mode else {
            return Ok(pumped);
        };
        loop {
            if let (Some(pipe), 1..) = (*pipe, *held) {
                if sink.is_blocked() {
                    break;
                }
                match reactor.driver().splice(pipe.reader, to, *held) {
                    Ok(moved) => {
                        *held -= moved;
                        pumped.sent += moved;
                        sink.note_written(moved);
                        budget.spend(moved);
                    }
                    Err(Errno::EAGAIN) => sink.watch_writable(reactor, key),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(Broken::Sink(errno)),
                }
                continue;
            }
            if self.ended || source.is_watched() {
                break;
            }
            if budget.is_spent() {
                pumped.busy = true;
                break;
            }
            if pipe.is_none() {
                *pipe = pipes.take(reactor.driver()).ok();
            }
            // Some kernels drop what of a record of TLS finds no room.
            let least = if source.is_plain() { 1 } else { RECORD_ROOM };
            let Some(borrowed) = pipe.filter(|pipe| pipe.capacity >= least) else {
                pumped.refused = true;
                break;
            };
            match fill(reactor, key, (source, from), borrowed)? {
                Filled::Moved(moved) => {
                    *held = moved;
                    pumped.received += moved;
                }
                Filled::Control => budget.spend(CONTROL_COST),
                Filled::End { cut } => (self.ended, self.cut) = (true, cut),
            }
        }
        if let (0, Some(empty)) = (*held, *pipe) {
            *pipe = None;
            pipes.give(reactor.driver(), empty, 0);
        }
        if pumped.refused {
            self.mode = Mode::Copy;
        }
        Ok(pumped)
    }

    /// Tells the sink that nothing more comes, once all that came was sent; true when it is told
    /// now. If the source was cut, a sink by TLS gets FIN without close_notify; one that does not
    /// tell cuts so gets nothing here, and must be reset.
    ///
    /// # Errors
    /// The sink is broken.
    pub fn try_shut<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        sink: &mut Stream,
        last: bool,
    ) -> Result<bool, Errno> {
        let held = match self.mode {
            Mode::Splice { held, .. } => held,
            Mode::Copy | Mode::Promoting => 0,
        };
        if !self.ended || self.shut || held > 0 || !sink.is_drained() {
            return Ok(false);
        }
        if self.cut {
            self.shut = sink.tells_cuts();
            return if self.shut {
                sink.shutdown_unsaid(reactor).map(|()| true)
            } else {
                Ok(false)
            };
        }
        // When the other direction is done too, the close that follows says the same.
        if (!last || !sink.is_plain()) && !sink.shutdown_write(reactor, key)? {
            return Ok(false);
        }
        self.shut = true;
        Ok(true)
    }

    /// Gives the pipe up, for good; true when bytes in it were lost.
    pub fn release<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        pipes: &mut PipePool,
    ) -> bool {
        let Mode::Splice { pipe, held } = std::mem::take(&mut self.mode) else {
            return false;
        };
        if let Some(pipe) = pipe {
            pipes.give(reactor.driver(), pipe, held);
        }
        held > 0
    }
}

/// What came of a look for bytes.
enum Filled {
    /// So many are in the pipe; none when they have to be waited for.
    Moved(usize),
    /// A record of TLS came that has no data.
    Control,
    /// No more come, and whether that is a cut.
    End { cut: bool },
}

/// Moves bytes from a source into an empty pipe; leaves a watch where there are none.
fn fill<D: Driver, T: Copy>(
    reactor: &mut Reactor<D, T>,
    key: Key,
    (source, socket): (&mut Stream, Fd),
    pipe: Pipe,
) -> Result<Filled, Broken> {
    let moved = reactor.driver().splice(socket, pipe.writer, pipe.capacity);
    match moved {
        Ok(moved @ 1..) => {
            source.note_moved();
            return Ok(Filled::Moved(moved));
        }
        Err(Errno::EAGAIN) => {
            source.watch_readable(reactor, key);
            return Ok(Filled::Moved(0));
        }
        Err(Errno::EINTR) => return Ok(Filled::Moved(0)),
        // By TLS, a record without data, or one of another type.
        Ok(0) | Err(Errno::EINVAL) if !source.is_plain() => {}
        Err(Errno::EBADMSG) if !source.is_plain() => {
            source.fail_opened(reactor);
            return Err(Broken::Source(Errno::EPROTO));
        }
        Ok(0) => return Ok(Filled::End { cut: false }),
        Err(errno) => return Err(Broken::Source(errno)),
    }
    match source.take_control(reactor) {
        Control::Quiet => Ok(Filled::Control),
        Control::Data(buf) => match reactor.driver().fill_pipe(pipe.writer, &buf) {
            Ok(len) if len == buf.len() => Ok(Filled::Moved(len)),
            Ok(_) => Err(Broken::Source(Errno::EIO)),
            Err(errno) => Err(Broken::Source(errno)),
        },
        // The kernel refuses, though there is nothing that it could refuse.
        Control::Nothing if moved.is_err() => Err(Broken::Source(Errno::EPROTO)),
        Control::Nothing => {
            source.watch_readable(reactor, key);
            Ok(Filled::Control)
        }
        Control::End => Ok(Filled::End { cut: source.was_cut() }),
        Control::Failed => Err(Broken::Source(Errno::EPROTO)),
    }
}

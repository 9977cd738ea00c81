//! Ring flags from best to oldest, smaller rings where memory is short, errors with advice.

use std::fmt;
use std::time::Duration;

use io_uring::{Builder, IoUring, cqueue, squeue};
use nix::errno::Errno;

use super::ZeroCopySend;

/// How long to wait for locked memory of rings that were closed a moment ago, which the kernel
/// gives back late: a fast restart would meet ENOMEM. In so many steps.
const RELEASE_STEPS: u32 = 10;
const RELEASE_STEP: Duration = Duration::from_millis(20);
/// Smallest rings that are worth running with.
const ENTRIES_MIN: u32 = 64;
const COMPLETIONS_MIN: u32 = 256;

/// What a ring is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingOptions {
    /// Submission entries, a power of two.
    pub entries: u32,
    /// Completion entries, a power of two, at least twice `entries`.
    pub completions: u32,
    /// Receive buffers, a power of two up to 32,768.
    pub buffers: u16,
    /// Bytes in a receive buffer.
    pub buffer_size: u32,
    /// Datagram buffers, a power of two up to 32,768; 0 where there are no datagram sockets. Each
    /// is 64 KiB of address space, of which only what was touched is resident.
    pub datagram_buffers: u16,
    /// Most operations in flight; a push beyond it is refused.
    pub in_flight_max: usize,
    /// Which sends are made without a copy.
    pub zero_copy_send: ZeroCopySend,
    /// The best flags to try; lower ones only for tests of old kernels' paths.
    pub best_flags: RingFlags,
}

impl RingOptions {
    /// Enough for a few connections.
    #[must_use]
    pub fn small() -> Self {
        Self { entries: 64, completions: 256, buffers: 16, ..Self::default() }
    }
}

impl Default for RingOptions {
    fn default() -> Self {
        Self {
            entries: 1024,
            completions: 8192,
            buffers: 256,
            buffer_size: 16 * 1024,
            datagram_buffers: 128,
            in_flight_max: 64 * 1024,
            zero_copy_send: ZeroCopySend::Auto,
            best_flags: RingFlags::NoSqArray,
        }
    }
}

/// The sizes that the kernel granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSize {
    /// Submission entries.
    pub entries: u32,
    /// Completion entries.
    pub completions: u32,
    /// Whether they are smaller than asked for, because locked memory is short.
    pub reduced: bool,
}

/// A set of ring flags, named after the newest in it. All have `SUBMIT_ALL`, `CQSIZE`, `CLAMP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RingFlags {
    /// No more than what every set has; Linux 5.18.
    Plain,
    /// `COOP_TASKRUN | TASKRUN_FLAG`; Linux 5.19.
    CoopTaskrun,
    /// `SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG`; Linux 6.1.
    DeferTaskrun,
    /// `DeferTaskrun` and `NO_SQARRAY`; Linux 6.6.
    NoSqArray,
}

impl RingFlags {
    /// From best to oldest.
    pub const LADDER: [Self; 4] =
        [Self::NoSqArray, Self::DeferTaskrun, Self::CoopTaskrun, Self::Plain];

    fn apply(self, builder: &mut Builder<squeue::Entry, cqueue::Entry>) {
        match self {
            Self::Plain => {}
            Self::CoopTaskrun => {
                builder.setup_coop_taskrun().setup_taskrun_flag();
            }
            Self::DeferTaskrun => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            }
            Self::NoSqArray => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
                builder.setup_no_sqarray();
            }
        }
    }
}

impl fmt::Display for RingFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "SUBMIT_ALL",
            Self::CoopTaskrun => "COOP_TASKRUN|TASKRUN_FLAG|SUBMIT_ALL",
            Self::DeferTaskrun => "SINGLE_ISSUER|DEFER_TASKRUN|TASKRUN_FLAG|SUBMIT_ALL",
            Self::NoSqArray => "SINGLE_ISSUER|DEFER_TASKRUN|TASKRUN_FLAG|SUBMIT_ALL|NO_SQARRAY",
        })
    }
}

/// A ring could not be made: which call, what it said, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError {
    /// The call or the feature that was refused.
    pub call: &'static str,
    /// What the kernel said.
    pub source: Errno,
}

impl SetupError {
    pub(in crate::ring) fn of(call: &'static str, error: &std::io::Error) -> Self {
        Self { call, source: super::errno_of(error) }
    }

    /// Why the kernel says so, and what to do about it.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
    pub fn advice(&self) -> &'static str {
        match self.source {
            Errno::EPERM | Errno::EACCES => {
                "io_uring is forbidden here. Either the sysctl kernel.io_uring_disabled is 1 or 2 \
                 (see it with `sysctl kernel.io_uring_disabled`; allow it with `sysctl -w \
                 kernel.io_uring_disabled=0`, or put the user into kernel.io_uring_group), or a \
                 seccomp profile denies it (Docker and containerd do by default: run with a \
                 profile that allows io_uring_setup, io_uring_enter and io_uring_register). \
                 Without it, `driver = \"epoll\"` in [runtime] serves the same"
            }
            Errno::ENOSYS => {
                "this kernel has no io_uring (CONFIG_IO_URING is off, or it is older than 5.1), or \
                 a sandbox such as gVisor hides it. Without it, `driver = \"epoll\"` in \
                 [runtime] serves the same"
            }
            Errno::ENOMEM => {
                "locked memory is used up: rings are charged to RLIMIT_MEMLOCK, per user. Raise it \
                 (`ulimit -l`, LimitMEMLOCK= in the systemd unit), run fewer workers, or set \
                 smaller runtime.ring_entries and runtime.completion_entries; \
                 `driver = \"epoll\"` in [runtime] needs none"
            }
            Errno::EINVAL => {
                "this kernel does not know what was asked for. io_uring is used from Linux 5.19 \
                 on: `ringway doctor` shows what is missing. Without it, `driver = \"epoll\"` in \
                 [runtime] serves the same"
            }
            Errno::EMFILE | Errno::ENFILE => {
                "descriptors are used up: raise the limit (`ulimit -n`, LimitNOFILE= in the \
                 systemd unit)"
            }
            _ => "`ringway doctor` shows what this kernel offers",
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, source } = self;
        write!(f, "{call}: {source:?} ({}): {}", source.desc(), self.advice())
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Builds a ring: down the ladder of flags on `EINVAL`, down in size on `ENOMEM`. It is disabled:
/// see [`super::restrict`].
pub(super) fn build(options: &RingOptions) -> Result<(IoUring, RingSize, RingFlags), SetupError> {
    let mut entries = options.entries;
    let mut completions = options.completions;
    let mut refused = Errno::EINVAL;
    let mut steps = 0;
    loop {
        for flags in RingFlags::LADDER.into_iter().filter(|flags| *flags <= options.best_flags) {
            let mut builder = IoUring::builder();
            builder.dontfork().setup_submit_all().setup_clamp().setup_cqsize(completions);
            builder.setup_r_disabled();
            flags.apply(&mut builder);
            match builder.build(entries) {
                Ok(ring) => {
                    let reduced = entries < options.entries || completions < options.completions;
                    let params = ring.params();
                    let size = RingSize {
                        entries: params.sq_entries(),
                        completions: params.cq_entries(),
                        reduced,
                    };
                    return Ok((ring, size, flags));
                }
                Err(error) => refused = super::errno_of(&error),
            }
            if refused != Errno::EINVAL {
                break;
            }
        }
        if refused == Errno::ENOMEM && steps < RELEASE_STEPS {
            steps += 1;
            std::thread::park_timeout(RELEASE_STEP);
            continue;
        }
        let smallest = entries <= ENTRIES_MIN && completions <= COMPLETIONS_MIN;
        if refused != Errno::ENOMEM || smallest {
            return Err(SetupError { call: "io_uring_setup", source: refused });
        }
        entries = (entries / 2).max(ENTRIES_MIN);
        completions = (completions / 2).max(COMPLETIONS_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_comes_with_advice() {
        let named = [
            (Errno::EPERM, "kernel.io_uring_disabled"),
            (Errno::ENOSYS, "CONFIG_IO_URING"),
            (Errno::ENOMEM, "RLIMIT_MEMLOCK"),
            (Errno::EINVAL, "5.19"),
            (Errno::EMFILE, "ulimit -n"),
            (Errno::EIO, "ringway doctor"),
        ];
        for (errno, word) in named {
            let error = SetupError { call: "io_uring_setup", source: errno };
            let text = error.to_string();
            assert!(text.starts_with(&format!("io_uring_setup: {errno:?} (")), "{text}");
            assert!(text.contains(word), "{text}");
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn every_rung_of_the_ladder_builds_a_ring() {
        for flags in RingFlags::LADDER {
            let options = RingOptions {
                entries: 64,
                completions: 256,
                best_flags: flags,
                ..RingOptions::default()
            };
            let (_ring, size, granted) = build(&options).unwrap();
            assert!(granted <= flags);
            assert_eq!((size.entries, size.completions), (64, 256));
            assert!(!flags.to_string().is_empty());
        }
    }
}

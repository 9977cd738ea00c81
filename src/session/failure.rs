//! Which kind of failure a connect's error number is.

use nix::errno::Errno;

use crate::service::proxy::ConnectFailure;

/// The kind of a connect's failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
pub(super) fn failure_of(errno: Errno) -> ConnectFailure {
    match errno {
        // A unix socket that is not there refuses as one that nobody listens on does; one with a
        // full queue says EAGAIN.
        Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOENT | Errno::EAGAIN => {
            ConnectFailure::Refused
        }
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN => {
            ConnectFailure::Unreachable
        }
        Errno::ETIMEDOUT => ConnectFailure::TimedOut,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EADDRNOTAVAIL => {
            ConnectFailure::Resources
        }
        _ => ConnectFailure::Other,
    }
}

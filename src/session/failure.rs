//! Which kind of failure a connect's error number is.

use nix::errno::Errno;

use crate::net::{Stream, is_local_shortage};
use crate::ring::SocketAddress;
use crate::service::proxy::ConnectFailure;

/// What TLS says of a connect's failure, behind the rest of the sentence; nothing if it was not
/// that.
pub(super) fn tls_error(stream: &Stream) -> String {
    stream.tls_error().map_or_else(String::new, |error| format!(": {error}"))
}

/// The kind of a connect's failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
pub(super) fn failure_of(errno: Errno, server: &SocketAddress) -> ConnectFailure {
    match errno {
        // The family is off here, or no port is left for that destination: another may do.
        Errno::EADDRNOTAVAIL => ConnectFailure::NoAddress,
        Errno::EAGAIN if is_local_shortage(errno, server) => ConnectFailure::NoAddress,
        _ if is_local_shortage(errno, server) => ConnectFailure::Resources,
        // A unix socket that is not there refuses as one that nobody listens on does; one with a
        // full queue says EAGAIN.
        Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOENT | Errno::EAGAIN => {
            ConnectFailure::Refused
        }
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN => {
            ConnectFailure::Unreachable
        }
        Errno::ETIMEDOUT => ConnectFailure::TimedOut,
        // What a stream says whose TLS has failed.
        Errno::EPROTO => ConnectFailure::Tls,
        _ => ConnectFailure::Other,
    }
}

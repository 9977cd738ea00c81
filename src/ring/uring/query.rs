//! What the kernel says that its io_uring knows (`IORING_REGISTER_QUERY`, Linux 6.18): also flags,
//! which no probe tells.

use nix::errno::Errno;

/// The number of the register call.
const REGISTER_QUERY: libc::c_uint = 35;
/// `IO_URING_QUERY_OPCODES`.
const QUERY_OPCODES: u32 = 0;

/// `struct io_uring_query_hdr`.
#[repr(C)]
struct Header {
    next_entry: u64,
    query_data: u64,
    query_op: u32,
    size: u32,
    result: i32,
    reserved: [u32; 3],
}

/// `struct io_uring_query_opcode`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query {
    /// Requests that it knows: all numbers below this.
    pub requests: u32,
    /// Calls of `io_uring_register(2)`, likewise.
    pub register_calls: u32,
    /// Bits of features.
    pub features: u64,
    /// Flags of `io_uring_setup(2)`.
    pub setup_flags: u64,
    /// Flags of `io_uring_enter(2)`.
    pub enter_flags: u64,
    /// Flags of submission entries.
    pub entry_flags: u64,
    /// Queries that it knows.
    pub queries: u32,
    padding: u32,
}

/// Asks the kernel.
///
/// # Errors
/// As `io_uring_register(2)`; `EINVAL` or `EBADF` before Linux 6.18.
pub fn query() -> Result<Query, Errno> {
    let mut found = Query::default();
    let size = u32::try_from(size_of_val(&found)).unwrap_or(0);
    let mut header = Header {
        next_entry: 0,
        query_data: (&raw mut found).expose_provenance() as u64,
        query_op: QUERY_OPCODES,
        size,
        result: 0,
        reserved: [0; 3],
    };
    // SAFETY: the kernel reads and writes a header, and writes at most `size` bytes to what that
    // points to, which is a structure of that size; both outlive the call.
    unsafe { register_without_ring(REGISTER_QUERY, &raw mut header, 0) }?;
    if header.result < 0 {
        return Err(Errno::from_raw(header.result.wrapping_neg()));
    }
    Ok(found)
}

/// A call of `io_uring_register(2)` that concerns no ring, but the kernel or the thread.
///
/// # Safety
/// The argument is what the call expects, and outlives it.
pub(super) unsafe fn register_without_ring<T>(
    call: libc::c_uint,
    argument: *mut T,
    count: u32,
) -> Result<(), Errno> {
    let no_ring: libc::c_int = -1;
    // SAFETY: as the caller promises.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, no_ring, call, argument, count) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_it_knows_or_that_it_cannot_be_asked() {
        match query() {
            Ok(found) => {
                let last = super::super::REQUESTS.iter().map(|(_, code)| *code).max();
                assert!(found.requests > u32::from(last.expect("there are some")), "{found:?}");
            }
            Err(errno) => assert!([Errno::EINVAL, Errno::EBADF, Errno::EPERM].contains(&errno)),
        }
    }
}

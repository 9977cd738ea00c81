//! Files: whether their bytes are in memory, and sending them from there.

use nix::errno::Errno;

use crate::mem::Pool;
use crate::ring::{Fd, Residence};

/// The number of `cachestat(2)`, the same on all architectures (Linux 6.5).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// `struct cachestat`.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether these bytes of a file are all in memory.
pub(in crate::ring) fn residence(file: Fd, offset: u64, len: usize) -> Residence {
    let range = Range { offset, len: len as u64 };
    let mut stat = CacheStat::default();
    // SAFETY: the kernel reads a range and writes a stat, both of the layout that it expects; a
    // kernel without the call touches neither.
    let result =
        unsafe { libc::syscall(SYS_CACHESTAT, file.0, &raw const range, &raw mut stat, 0_u32) };
    if result != 0 {
        let last = offset + (len as u64).max(1) - 1;
        let has_ends = is_readable_now(file, offset) && is_readable_now(file, last);
        return if has_ends { Residence::Ends } else { Residence::Missing };
    }
    let page = page_size();
    let end = offset + (len as u64).max(1);
    let pages = end.div_ceil(page) - offset / page;
    if stat.cached >= pages { Residence::Whole } else { Residence::Missing }
}

/// Whether one byte can be read without waiting for a disk.
fn is_readable_now(file: Fd, offset: u64) -> bool {
    let mut byte = 0_u8;
    let vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
    // SAFETY: the vector points to one byte, which outlives the call.
    let read = unsafe { libc::preadv2(file.0, &raw const vector, 1, offset, libc::RWF_NOWAIT) };
    read >= 0
}

/// Appends what is in memory of at most `max` bytes.
pub(in crate::ring) fn read_now(
    file: Fd,
    offset: u64,
    max: usize,
    into: &mut Vec<u8>,
) -> Result<usize, Errno> {
    let start = into.len();
    into.resize(start + max, 0);
    let vector = libc::iovec { iov_base: into[start..].as_mut_ptr().cast(), iov_len: max };
    let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
    // SAFETY: the vector points to `max` bytes of `into`, which outlives the call.
    let read = unsafe { libc::preadv2(file.0, &raw const vector, 1, offset, libc::RWF_NOWAIT) };
    let result = usize::try_from(read).map_err(|_| Errno::last());
    into.truncate(start + result.unwrap_or(0));
    result
}

/// Reads what is in memory of a file into a lent buffer; 0 is the end of the file.
///
/// # Errors
/// As `preadv2(2)` with `RWF_NOWAIT`; `EAGAIN` when the first byte is not in memory. The buffer
/// stays lent.
pub(in crate::ring) fn read_into(
    file: Fd,
    offset: u64,
    pool: &Pool,
    bid: u16,
) -> Result<u32, Errno> {
    let len = pool.buffer_size() as usize;
    let vector = libc::iovec { iov_base: pool.address(bid).cast(), iov_len: len };
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the buffer is lent, so that no `Buf` refers to its `len` bytes; the kernel writes
    // them within the call only.
    let read = unsafe { libc::preadv2(file.0, &raw const vector, 1, offset, libc::RWF_NOWAIT) };
    u32::try_from(read).map_err(|_| Errno::last())
}

fn page_size() -> u64 {
    // SAFETY: sysconf(3) takes and gives plain numbers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096).max(1)
}

/// Sends bytes of a file from the page cache.
pub(in crate::ring) fn sendfile(
    socket: Fd,
    file: Fd,
    offset: u64,
    max: usize,
) -> Result<usize, Errno> {
    let mut offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the kernel reads and writes the offset, which outlives the call.
    let sent = unsafe { libc::sendfile(socket.0, file.0, &raw mut offset, max) };
    usize::try_from(sent).map_err(|_| Errno::last())
}

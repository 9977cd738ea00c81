//! Anonymous, page-aligned memory, resident only where it was touched.

use std::io;
use std::ptr::NonNull;

/// A private anonymous mapping, zeroed and page-aligned; unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes (at least one).
    ///
    /// # Errors
    /// What `mmap(2)` says: `ENOMEM` where the address space or the overcommit limit is used up.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory
        // that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len })
    }

    /// The first byte; page-aligned.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The mapping's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and len are those of the mapping made in `new`, which is unmapped nowhere
        // else; whoever handed pointers into it to the kernel keeps the mapping alive until the
        // kernel gave them back (`Pool` by its count, the buffer ring by its teardown).
        let failed = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(failed, 0, "munmap of a whole mapping of ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_zeroed_and_page_aligned() {
        let mapping = Mapping::new(10_000).unwrap();
        assert_eq!(mapping.base().as_ptr().addr() % 4096, 0);
        assert_eq!(mapping.len(), 10_000);
        assert!(!mapping.is_empty());
        // SAFETY: the mapping is 10,000 readable bytes, and nobody writes to it.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.base().as_ptr(), 10_000) };
        assert!(bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        assert!(Mapping::new(usize::MAX / 2).is_err());
    }
}

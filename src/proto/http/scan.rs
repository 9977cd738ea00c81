//! Bytes in short texts, such as the lines of a head: eight at a time, where a search by wider
//! instructions would cost more to begin than to do.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// A text in which a byte is looked for.
#[derive(Debug, Clone, Copy)]
struct Wanted(u64);

impl Wanted {
    const fn new(byte: u8) -> Self {
        Self(u64::from_ne_bytes([byte; 8]))
    }

    /// The first of eight bytes that is the wanted one.
    const fn first_in(self, eight: [u8; 8]) -> Option<usize> {
        let other = u64::from_le_bytes(eight) ^ self.0;
        // A zero byte borrows; the lowest one that seems to be zero is.
        let zeros = other.wrapping_sub(ONES) & !other & HIGHS;
        if zeros == 0 { None } else { Some(zeros.trailing_zeros() as usize / 8) }
    }
}

/// Where a byte stands first in a text.
#[must_use]
pub fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let wanted = Wanted::new(byte);
    let (eights, rest) = text.as_chunks();
    for (number, eight) in eights.iter().enumerate() {
        if let Some(at) = wanted.first_in(*eight) {
            return Some(number * 8 + at);
        }
    }
    let at = rest.iter().position(|one| *one == byte)?;
    Some(text.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for len in 0..40 {
            for at in 0..len {
                for filler in [b'a', b'\n' + 1, b'\n' - 1, 0, 0x80, 0xff, b'\n' ^ 0x80] {
                    let mut text = vec![filler; len];
                    assert_eq!(find(b'\n', &text), None, "{len} {filler}");
                    text[at] = b'\n';
                    assert_eq!(find(b'\n', &text), Some(at), "{len} {filler}");
                    text[len - 1] = b'\n';
                    assert_eq!(find(b'\n', &text), Some(at), "the first one");
                }
            }
        }
    }
}

//! Integers with a prefix (RFC 7541, section 5.1).

use super::HpackError;

/// Larger integers stand for nothing that would be accepted.
const MAX: u64 = u32::MAX as u64;

/// Reads an integer whose first `prefix` bits are the low ones of the first byte, and moves
/// `input` behind it.
///
/// # Errors
/// It is cut off, or larger than any that may stand there.
pub(super) fn read(input: &mut &[u8], prefix: u8) -> Result<usize, HpackError> {
    let (first, mut rest) = input.split_first().ok_or(HpackError::Truncated)?;
    let mask = u8::MAX >> (8 - prefix);
    let mut value = u64::from(first & mask);
    if value < u64::from(mask) {
        *input = rest;
        return Ok(usize::from(first & mask));
    }
    let mut shift = 0;
    loop {
        let (byte, tail) = rest.split_first().ok_or(HpackError::Truncated)?;
        rest = tail;
        value += u64::from(byte & 0x7f) << shift;
        if value > MAX {
            return Err(HpackError::IntegerTooLarge);
        }
        if byte & 0x80 == 0 {
            *input = rest;
            return usize::try_from(value).map_err(|_| HpackError::IntegerTooLarge);
        }
        shift += 7;
        // Zeros without end are no number.
        if shift > 28 {
            return Err(HpackError::IntegerTooLarge);
        }
    }
}

/// Writes an integer whose first `prefix` bits go with the `high` bits of the first byte.
pub(super) fn write(value: usize, prefix: u8, high: u8, out: &mut Vec<u8>) {
    let mask = u8::MAX >> (8 - prefix);
    if let Ok(small) = u8::try_from(value)
        && small < mask
    {
        out.push(high | small);
        return;
    }
    out.push(high | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 0x80);
        rest >>= 7;
    }
    let [low, ..] = rest.to_le_bytes();
    out.push(low);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_and_every_length_come_back() {
        // RFC 7541, appendix C.1.
        for (value, prefix, bytes) in
            [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42][..])]
        {
            let mut out = Vec::new();
            write(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
        }
        for prefix in 4..=8 {
            for value in (0..3000).chain([1 << 20, (1 << 28) + 300, 0xffff_ffff]) {
                let mut out = Vec::new();
                write(value, prefix, 0, &mut out);
                let mut input = &out[..];
                assert_eq!(read(&mut input, prefix), Ok(value));
                assert!(input.is_empty());
                for cut in 0..out.len() {
                    assert_eq!(read(&mut &out[..cut], prefix), Err(HpackError::Truncated));
                }
            }
        }
    }

    #[test]
    fn an_integer_without_end_or_bounds_is_refused() {
        let too_large = Err(HpackError::IntegerTooLarge);
        assert_eq!(read(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f][..], 7), too_large);
        assert_eq!(read(&mut &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..], 7), too_large);
        assert_eq!(read(&mut &[0xff; 32][..], 7), too_large);
    }
}

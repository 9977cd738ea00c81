//! Masking (RFC 6455, section 5.3): it is its own inverse.

/// Bytes that are masked at a time.
const WIDTH: usize = 32;

/// Masks or unmasks `bytes` where they lie. Returns the key for the bytes that follow.
pub fn apply(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let wide = widened(key);
    let (blocks, rest) = bytes.as_chunks_mut::<WIDTH>();
    for block in blocks {
        for (byte, mask) in block.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in rest.iter_mut().zip(wide) {
        *byte ^= mask;
    }
    rotated(key, bytes.len())
}

/// Appends `bytes` to `out`, masked.
pub fn append(bytes: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(bytes);
    apply(&mut out[from..], key);
}

fn widened(key: [u8; 4]) -> [u8; WIDTH] {
    let mut wide = [0; WIDTH];
    for (at, byte) in wide.iter_mut().enumerate() {
        *byte = key[at % 4];
    }
    wide
}

/// The key behind so many bytes.
fn rotated(mut key: [u8; 4], count: usize) -> [u8; 4] {
    key.rotate_left(count % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_masked_alike_however_they_are_cut() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..200u8).collect();
        let expected: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        for from in 0..8 {
            // Whatever the alignment.
            let mut shifted = [vec![0; from], plain.clone()].concat();
            assert_eq!(apply(&mut shifted[from..], key), key);
            assert_eq!(shifted[from..], expected);
        }
        for cut in 0..plain.len() {
            let mut bytes = plain.clone();
            let (first, second) = bytes.split_at_mut(cut);
            let next = apply(first, key);
            apply(second, next);
            assert_eq!(bytes, expected, "{cut}");
        }
        let mut out = vec![9];
        append(&plain, key, &mut out);
        assert_eq!(out[1..], expected);
    }
}

//! Text that comes in parts.

use simdutf8::compat::from_utf8;

/// Whether text is UTF-8, found out as it comes: what can be no part of it is found at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Check {
    /// The beginning of a character whose rest has not come.
    open: [u8; 4],
    len: u8,
}

impl Utf8Check {
    /// Whether all of a text is there, and is UTF-8.
    #[must_use]
    pub fn is_text(text: &[u8]) -> bool {
        simdutf8::basic::from_utf8(text).is_ok()
    }

    /// Takes the next part; false when the text is not UTF-8.
    #[must_use]
    pub fn take(&mut self, mut part: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&byte, rest)) = part.split_first() else { return true };
            self.open[usize::from(self.len)] = byte;
            self.len += 1;
            part = rest;
            match std::str::from_utf8(&self.open[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match from_utf8(part) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let open = &part[error.valid_up_to()..];
                self.open[..open.len()].copy_from_slice(open);
                // At most three bytes.
                self.len = u8::try_from(open.len()).unwrap_or(0);
                true
            }
        }
    }

    /// The text has ended; false when its last character is not whole.
    #[must_use]
    pub const fn end(&mut self) -> bool {
        let is_whole = self.len == 0;
        self.len = 0;
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&[u8]]) -> bool {
        let mut check = Utf8Check::default();
        parts.iter().all(|part| check.take(part)) && check.end()
    }

    #[test]
    fn text_is_judged_alike_however_it_is_cut() {
        let texts: [&[u8]; 12] = [
            b"",
            "κόσμε".as_bytes(),
            "a\u{10ffff}b\u{0}c".as_bytes(),
            &[b'x'; 70],
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xf4\x90\x80\x80",
            b"\xc0\x80",
            b"ab\xe2\x82",
            b"\x80",
            b"\xf0\x9f\x98\x80\xf0\x9f\x98",
            b"\xed\xbf\xbf",
            b"\xff",
        ];
        for text in texts {
            let expected = std::str::from_utf8(text).is_ok();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let parts = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(check(&parts), expected, "{text:x?} {first} {second}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_no_text_is_found_at_once() {
        let mut check = Utf8Check::default();
        assert!(check.take(b"\xf4"));
        assert!(!check.take(b"\x90"), "no character goes on so");
    }
}

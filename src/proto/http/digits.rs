//! Numbers as text, without an allocation.

/// The decimal digits of a number.
#[derive(Debug, Clone, Copy)]
pub struct Digits {
    text: [u8; 20],
    from: usize,
}

impl Digits {
    /// Those of `number`.
    #[must_use]
    pub fn of(mut number: u64) -> Self {
        let mut digits = Self { text: [0; 20], from: 20 };
        loop {
            digits.from -= 1;
            digits.text[digits.from] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    /// As ASCII.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.text.get(self.from..).unwrap_or_default()
    }
}

/// The most digits of a length: all numbers of so many fit.
const LENGTH_DIGITS_MAX: usize = 19;

/// The value of `content-length` (RFC 9110, section 8.6), if it is a number.
#[must_use]
pub fn read_length(value: &[u8]) -> Option<u64> {
    let is_number =
        (1..=LENGTH_DIGITS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let digits = value.iter().map(|digit| u64::from(digit.wrapping_sub(b'0')));
    is_number.then(|| digits.fold(0, |sum, digit| sum * 10 + digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        for number in [0, 1, 9, 10, 65_535, u64::MAX] {
            assert_eq!(Digits::of(number).text(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn lengths_are_read() {
        let cases: [(&str, Option<u64>); 8] = [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("10000000000000000000", None),
            ("", None),
            ("-1", None),
            ("1 ", None),
            ("1,1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_length(text.as_bytes()), expected, "{text:?}");
        }
    }
}

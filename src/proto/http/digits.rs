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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        for number in [0, 1, 9, 10, 65_535, u64::MAX] {
            assert_eq!(Digits::of(number).text(), number.to_string().as_bytes());
        }
    }
}

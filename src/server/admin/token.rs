//! The tokens that allow to change something, read from a file.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::server::build::tls::read;

/// Fewer characters could be guessed.
const LENGTH_MIN: usize = 16;
const LENGTH_MAX: usize = 256;
/// Most tokens of a file: a few people, or an old and a new one.
const TOKENS_MAX: usize = 64;

/// What is said of a file without a token.
pub(crate) const NO_TOKEN: &str = "there is no token in it; make one with `openssl rand -hex 32`";

/// The tokens of a file, as their hashes: what is compared has one length, and says nothing of a
/// token wherever it may be written.
#[derive(Debug, Default)]
pub(in crate::server) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Reads a file of tokens, one a line.
    ///
    /// # Errors
    /// What is wrong with it; no token is repeated.
    pub(in crate::server) fn read(path: &Path) -> Result<Self, String> {
        let text = String::from_utf8(read(path)?);
        Self::parse(&text.map_err(|_| format!("{} is not UTF-8", path.display()))?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens_of(text).map(|token| Ok(Sha256::digest(token?).into()));
        let tokens = tokens.collect::<Result<Vec<_>, String>>()?;
        match tokens.len() {
            0 => Err(NO_TOKEN.to_owned()),
            1..=TOKENS_MAX => Ok(Self(tokens)),
            many => Err(format!("there are {many} tokens in it; at most {TOKENS_MAX}")),
        }
    }

    /// Whether this is one of them. The time that it takes does not depend on how much of a token
    /// is right.
    pub(in crate::server) fn allow(&self, token: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        self.0.iter().fold(false, |found, own| {
            let difference =
                own.iter().zip(&given).fold(0, |sum, (one, other)| sum | (one ^ other));
            found | (std::hint::black_box(difference) == 0)
        })
    }
}

/// The tokens of a text, one a line; empty lines and those that begin with `#` are passed over.
/// Errors say what is wrong with a line, and do not repeat it.
pub(crate) fn tokens_of(text: &str) -> impl Iterator<Item = Result<&str, String>> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, token)| {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("line {number}: a token has visible ASCII characters only"));
        }
        let len = token.len();
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&len) {
            return Err(format!(
                "line {number}: a token has {LENGTH_MIN} to {LENGTH_MAX} characters, got {len}"
            ));
        }
        Ok(token)
    })
}

/// The token of a field `Authorization` (RFC 6750, section 2.1).
pub(super) fn bearer(field: &[u8]) -> Option<&[u8]> {
    let at = field.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = field.split_at(at);
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";
    const OTHER: &str = "another-token/with+signs==";

    #[test]
    fn each_token_of_a_file_is_allowed_and_nothing_else() {
        let text = format!("# of the operators\n{ONE}\r\n\n  {OTHER}  \n");
        let tokens = Tokens::parse(&text).unwrap();
        assert!(tokens.allow(ONE.as_bytes()) && tokens.allow(OTHER.as_bytes()));
        let long = format!("{ONE}0");
        for wrong in ["", "# of the operators", "0123456789abcde", "0123456789ABCDEF", &long] {
            assert!(!tokens.allow(wrong.as_bytes()), "{wrong}");
        }
        assert!(!Tokens::default().allow(b""));
        assert!(!format!("{tokens:?}").contains(ONE));
    }

    #[test]
    fn files_without_a_usable_token_are_refused_and_no_token_is_repeated() {
        let long = "x".repeat(257);
        let many = format!("{ONE}\n").repeat(65);
        for (text, why) in [
            ("", "no token"),
            ("# 0123456789abcdef\n", "no token"),
            ("\nsecret\n", "line 2: a token has 16 to 256 characters, got 6"),
            (&long, "got 257"),
            ("secret secret secret", "visible ASCII"),
            ("sécrétsécrétsécrét", "visible ASCII"),
            (&many, "65 tokens"),
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_token_of_the_field_is_found() {
        for (field, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer   abc ", Some("abc")),
            ("BEARER a b", Some("a b")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic abc", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(bearer(field.as_bytes()), token.map(str::as_bytes), "{field}");
        }
    }
}

//! Hashes of passwords: which are taken, and how a password is checked.

use std::fmt;

use sha_crypt::{Params, sha256_crypt, sha512_crypt};

/// Costs of bcrypt that are taken: 2 to the power of this is how often it repeats itself. A higher
/// one would keep a thread for many seconds, whoever asks.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;
/// Rounds of SHA-crypt that are taken, and how many there are when none are given.
const ROUNDS: std::ops::RangeInclusive<u32> = 1000..=2_000_000;
const ROUNDS_DEFAULT: u32 = 5000;
/// Bytes of the salt of SHA-crypt, at most.
const SALT_MAX: usize = 16;
/// Bytes of a hash of bcrypt up to its salt's end.
const BCRYPT_SALT_END: usize = 29;
/// The digits of `crypt`.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The hash that stands for users that there are not, when there are none at all: of a random
/// password that nobody knows.
pub(super) const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuxVdlvNrTUBIBqCGd7DEvyZoS2Wxpl1a";

/// Why a hash is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashError {
    /// It has no mark of a kind: a plain password, or DES as of old.
    Plain,
    /// SHA-1 without a salt (`{SHA}`).
    Sha1,
    /// MD5 (`$apr1$`, `$1$`).
    Md5,
    /// Another kind.
    Kind,
    /// It is no hash of its kind.
    Malformed,
    /// The cost, or the number of rounds, is too low to protect anything, or so high that checking
    /// takes many seconds.
    Cost,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Plain => "a plain password, or a hash of DES, is not taken",
            Self::Sha1 => "`{SHA}`, which is SHA-1 without a salt, is too weak",
            Self::Md5 => "`$apr1$` and `$1$`, which are MD5, are too weak",
            Self::Kind => "this kind of hash is not known",
            Self::Malformed => "the hash is damaged",
            Self::Cost => "its cost is not 4 to 16 (bcrypt), or 1000 to 2000000 rounds (SHA-crypt)",
        };
        write!(f, "{what}; make one with `htpasswd -B` (bcrypt) or `openssl passwd -6` (SHA-crypt)")
    }
}

impl std::error::Error for HashError {}

/// A hash, taken apart.
enum Hash<'a> {
    Bcrypt,
    Sha { kind: Sha, rounds: u32, salt: &'a str, digest: &'a str },
}

#[derive(Clone, Copy)]
enum Sha {
    Sha256,
    Sha512,
}

impl Sha {
    /// Digits of a digest.
    const fn digits(self) -> usize {
        match self {
            Self::Sha256 => 43,
            Self::Sha512 => 86,
        }
    }

    /// The last digit has this many bits that count.
    const fn last_bits(self) -> u32 {
        match self {
            Self::Sha256 => 4,
            Self::Sha512 => 2,
        }
    }
}

/// Whether this is a hash that passwords can be checked with.
///
/// # Errors
/// What is wrong with it.
pub fn check_hash(hash: &str) -> Result<(), HashError> {
    parse(hash).map(|_| ())
}

fn parse(hash: &str) -> Result<Hash<'_>, HashError> {
    if ["$2a$", "$2b$", "$2y$"].iter().any(|mark| hash.starts_with(mark)) {
        let parts = hash.parse::<bcrypt::HashParts>().map_err(|_| HashError::Malformed)?;
        if !BCRYPT_COSTS.contains(&parts.get_cost()) {
            return Err(HashError::Cost);
        }
        return Ok(Hash::Bcrypt);
    }
    if let Some(rest) = hash.strip_prefix("$5$") {
        return parse_sha(Sha::Sha256, rest);
    }
    if let Some(rest) = hash.strip_prefix("$6$") {
        return parse_sha(Sha::Sha512, rest);
    }
    let refused = [
        ("{SHA}", HashError::Sha1),
        ("$apr1$", HashError::Md5),
        ("$1$", HashError::Md5),
        ("$", HashError::Kind),
        ("{", HashError::Kind),
    ];
    let found = refused.iter().find(|(mark, _)| hash.starts_with(mark));
    Err(found.map_or(HashError::Plain, |(_, error)| *error))
}

/// `[rounds=N$]SALT$DIGEST`.
fn parse_sha(kind: Sha, text: &str) -> Result<Hash<'_>, HashError> {
    let (rounds, rest) = match text.strip_prefix("rounds=") {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(HashError::Malformed)?;
            (rounds.parse().map_err(|_| HashError::Malformed)?, rest)
        }
        None => (ROUNDS_DEFAULT, text),
    };
    let (salt, digest) = rest.split_once('$').ok_or(HashError::Malformed)?;
    let value = |digit: u8| DIGITS.iter().position(|one| *one == digit);
    let are_digits = digest.bytes().all(|digit| value(digit).is_some());
    let last = digest.bytes().next_back().and_then(value).unwrap_or(usize::MAX);
    if digest.len() != kind.digits() || !are_digits || last >> kind.last_bits() != 0 {
        return Err(HashError::Malformed);
    }
    if salt.len() > SALT_MAX || !salt.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HashError::Malformed);
    }
    if !ROUNDS.contains(&rounds) {
        return Err(HashError::Cost);
    }
    Ok(Hash::Sha { kind, rounds, salt, digest })
}

/// Whether a password is the one of a hash, which [`check_hash`] took; of any other text, none is.
/// Slow, on purpose: a thread that may take its time calls it. How long it takes does not depend on
/// how much of a digest is right. Of a password, bcrypt looks at the first 72 bytes only.
#[must_use]
pub fn verify(hash: &str, password: &str) -> bool {
    match parse(hash) {
        Ok(Hash::Bcrypt) => bcrypt::verify(password, hash).unwrap_or(false),
        Ok(Hash::Sha { kind, rounds, salt, digest }) => {
            let Ok(params) = Params::new(rounds) else { return false };
            let (password, salt) = (password.as_bytes(), salt.as_bytes());
            let found = match kind {
                Sha::Sha256 => sha256_text(&sha256_crypt(password, salt, params)),
                Sha::Sha512 => sha512_text(&sha512_crypt(password, salt, params)),
            };
            is_same(&found, digest.as_bytes())
        }
        Err(_) => false,
    }
}

/// A hash that no password is known to have, and that takes as long to check as this one.
pub(super) fn decoy(hash: &str) -> Box<str> {
    let start = match parse(hash) {
        Ok(Hash::Bcrypt) => BCRYPT_SALT_END,
        Ok(Hash::Sha { digest, .. }) => hash.len() - digest.len(),
        Err(_) => return NOBODY.into(),
    };
    let mut decoy: String = hash.get(..start).unwrap_or_default().to_owned();
    // The last digit of each kind has unused bits, which are zero in `.`.
    decoy.extend(std::iter::repeat_n('.', hash.len().saturating_sub(start)));
    decoy.into()
}

/// Compares without an early end. Lengths are no secret.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}

/// A digest as `$5$` writes it: three bytes in four digits, lowest first, of places that are a
/// third of the digest apart and go round.
fn sha256_text(digest: &[u8; 32]) -> Vec<u8> {
    let byte = |at: usize| u32::from(digest.get(at).copied().unwrap_or(0));
    let mut out = Vec::with_capacity(Sha::Sha256.digits());
    let mut places = [0, 10, 20];
    for _ in 0..10 {
        let [high, middle, low] = places;
        digits(byte(high) << 16 | byte(middle) << 8 | byte(low), 4, &mut out);
        places = [low + 1, high + 1, middle + 1];
    }
    digits(byte(31) << 8 | byte(30), 3, &mut out);
    out
}

/// The same for `$6$`, whose places go round the other way.
fn sha512_text(digest: &[u8; 64]) -> Vec<u8> {
    let byte = |at: usize| u32::from(digest.get(at).copied().unwrap_or(0));
    let mut out = Vec::with_capacity(Sha::Sha512.digits());
    let mut places = [0, 21, 42];
    for _ in 0..21 {
        let [high, middle, low] = places;
        digits(byte(high) << 16 | byte(middle) << 8 | byte(low), 4, &mut out);
        places = [middle + 1, low + 1, high + 1];
    }
    digits(byte(63), 2, &mut out);
    out
}

fn digits(mut bits: u32, count: usize, out: &mut Vec<u8>) {
    for _ in 0..count {
        out.extend(DIGITS.get((bits % 64) as usize));
        bits /= 64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by other programs.
    const KNOWN: [(&str, &str); 8] = [
        ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        (
            "Hello world!",
            "$6$saltstring$\
             svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4\
             OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "Hello world!",
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
        ),
        (
            "a very much longer text to encrypt.  This one is longer than one block of \
             SHA-512, and even of two of them, with some more behind.",
            "$6$rounds=1400$anotherlongsalts$\
             dD8ddigNuZUmHN6qOPB1TdNWw79ciJK8guOT6o6seHMOuHWWjcTnI6vuV.R1\
             6R/2DBc1WI6BScaPCfch0DWbs0",
        ),
        (
            "",
            "$6$rounds=1000$short$\
             Ocl6K/qPAcDqPeFvc9A.3r9CpINjXCDnNaLAGbHGaUfW/VAnUhMnVHLP9fLC\
             0f.gFxi5W6DCYe3HkDMICsYY21",
        ),
        ("\u{fc}n\u{ef}", "$5$x$dhIzhPUjMGXmq4I6PB4RISDNJOC7IyKMe.u0EY7tF25"),
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("", "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO"),
    ];

    #[test]
    fn hashes_of_other_programs_are_checked() {
        for (password, hash) in KNOWN {
            assert_eq!(check_hash(hash), Ok(()), "{hash}");
            assert!(verify(hash, password), "{hash}");
            for wrong in ["x", "hello world!", &format!("{password}x")] {
                assert!(!verify(hash, wrong), "{hash}");
            }
        }
    }

    #[test]
    fn one_digit_makes_another_hash() {
        let (password, hash) = KNOWN[0];
        for at in 16..hash.len() {
            let mut other = hash.as_bytes().to_vec();
            other[at] = if other[at] == b'.' { b'/' } else { b'.' };
            assert!(!verify(std::str::from_utf8(&other).unwrap(), password));
        }
    }

    #[test]
    fn weak_and_damaged_hashes_are_refused_with_their_reason() {
        let sha256 = "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8";
        let bcrypt = &NOBODY[7..];
        let table = [
            (String::new(), HashError::Plain),
            ("secret".into(), HashError::Plain),
            ("rqXexS6ZhobKA".into(), HashError::Plain),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".into(), HashError::Sha1),
            ("$apr1$x$KSwKUjvkDmTCKIo5x3FKN1".into(), HashError::Md5),
            ("$1$x$KSwKUjvkDmTCKIo5x3FKN1".into(), HashError::Md5),
            (format!("$2x$10${bcrypt}"), HashError::Kind),
            ("$argon2id$v=19$m=1,t=1,p=1$YQ$YQ".into(), HashError::Kind),
            ("{SSHA}abc".into(), HashError::Kind),
            ("$2b$10$abc".into(), HashError::Malformed),
            (format!("$2b$03${bcrypt}"), HashError::Cost),
            (format!("$2b$17${bcrypt}"), HashError::Cost),
            (format!("$2b$99${bcrypt}"), HashError::Cost),
            (format!("$2b$xx${bcrypt}"), HashError::Malformed),
            (format!("$2b$10${bcrypt}x"), HashError::Malformed),
            ("$5$".into(), HashError::Malformed),
            ("$5$salt$".into(), HashError::Malformed),
            ("$5$rounds=5000$salt".into(), HashError::Malformed),
            (format!("$5$rounds=x$salt${sha256}"), HashError::Malformed),
            (format!("$5$rounds=999$salt${sha256}"), HashError::Cost),
            (format!("$5$rounds=2000001$salt${sha256}"), HashError::Cost),
            (format!("$5$rounds=99999999999$salt${sha256}"), HashError::Malformed),
            (format!("$5$saltsaltsaltsalts${sha256}"), HashError::Malformed),
            (format!("$5$salt${sha256}8"), HashError::Malformed),
            (format!("$5$salt${}z", &sha256[..42]), HashError::Malformed),
            (format!("$5$salt$\u{e9}{}", &sha256[..41]), HashError::Malformed),
            (format!("$6$salt${sha256}"), HashError::Malformed),
        ];
        for (hash, error) in table {
            assert_eq!(check_hash(&hash), Err(error), "{hash}");
            assert!(!verify(&hash, "secret") && !error.to_string().is_empty());
        }
    }

    #[test]
    fn a_decoy_is_a_hash_of_the_same_kind_and_cost_that_no_password_has() {
        for (password, hash) in KNOWN {
            let decoy = decoy(hash);
            assert_eq!(check_hash(&decoy), Ok(()), "{decoy}");
            assert_eq!(decoy.len(), hash.len());
            assert!(!verify(&decoy, password));
            let salt_end = hash.rfind('$').unwrap();
            assert_eq!(decoy[..salt_end], hash[..salt_end]);
        }
        assert_eq!(*decoy("nothing"), *NOBODY);
        assert_eq!(check_hash(NOBODY), Ok(()));
    }

    #[test]
    fn random_texts_are_no_hashes_and_harm_nothing() {
        let mut state: u64 = 0x5eed;
        let marks = ["$5$", "$6$", "$2b$", "$5$rounds=", "$6$rounds=1000$", "$2y$10$", ""];
        for _ in 0..2_000 {
            let mut next = |bound: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state >> 1).unwrap() % bound
            };
            let mut text = marks[next(marks.len())].to_owned();
            for _ in 0..next(100) {
                let alphabet = ['$', '.', 'a', '0', '=', '\u{e9}', '{', ' '];
                text.push(alphabet[next(alphabet.len())]);
            }
            if check_hash(&text).is_err() {
                assert!(!verify(&text, "a"));
            }
        }
    }
}

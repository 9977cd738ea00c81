//! Basic authentication (RFC 7617): who asks, and how a password is checked.
//!
//! A good hash is slow on purpose, so finding the user and checking the password are apart: a loop
//! does the first, a thread that may take its time the second ([`verify`]), and what was right is
//! remembered for a while ([`VerifiedCache`]).

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The hash that stands for users that there are not, so that their passwords take as long: of a
/// random password that nobody knows.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuxVdlvNrTUBIBqCGd7DEvyZoS2Wxpl1a";
/// Bytes of a name with its password at most.
const CREDENTIALS_MAX: usize = 512;

/// Users and the hashes of their passwords.
#[derive(Clone, Default)]
pub struct Users {
    hashes: HashMap<Box<str>, Box<str>>,
}

impl fmt::Debug for Users {
    /// Hashes are secrets, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.hashes.len())
    }
}

/// What a request says of its user.
#[derive(Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    Missing,
    /// Nothing that could be read.
    Malformed,
    /// A user that there is not. A password is checked all the same, so that nobody learns which
    /// users there are from how long it takes.
    Unknown {
        /// A hash that no password has.
        hash: Box<str>,
        /// The password.
        password: String,
    },
    /// A user.
    Known {
        /// Who.
        user: String,
        /// The hash of the right password.
        hash: Box<str>,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Lookup {
    /// Passwords reach no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Malformed => "Malformed",
            Self::Unknown { .. } => "Unknown",
            Self::Known { .. } => "Known",
        })
    }
}

/// Why a list of users is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsersError {
    /// A line without `:`; its number, from 1.
    NoColon(usize),
    /// A user without a name.
    NoName(usize),
    /// A user that stands twice.
    Repeated(usize),
    /// A hash that is none, or is too weak to be used.
    Hash(usize),
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon(line) => write!(f, "line {line}: no `:` between user and hash"),
            Self::NoName(line) => write!(f, "line {line}: a user without a name"),
            Self::Repeated(line) => write!(f, "line {line}: the user stands in it already"),
            Self::Hash(line) => write!(
                f,
                "line {line}: no bcrypt hash (`$2b$...`, as `htpasswd -B` makes it); plain \
                 passwords, MD5, SHA-1 and crypt are not taken"
            ),
        }
    }
}

impl std::error::Error for UsersError {}

impl Users {
    /// Users with their hashes.
    ///
    /// # Errors
    /// What is wrong with which, counted from 1.
    pub fn new<'a>(
        users: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, UsersError> {
        let mut all = Self::default();
        for (at, (name, hash)) in users.into_iter().enumerate() {
            all.add(at + 1, name, hash)?;
        }
        Ok(all)
    }

    /// Reads a file as `htpasswd` writes it: a user, `:` and a hash a line, and comments after `#`.
    ///
    /// # Errors
    /// What is wrong with which line.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut all = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or(UsersError::NoColon(at + 1))?;
            all.add(at + 1, name, hash)?;
        }
        Ok(all)
    }

    fn add(&mut self, line: usize, name: &str, hash: &str) -> Result<(), UsersError> {
        if name.is_empty() {
            return Err(UsersError::NoName(line));
        }
        if !is_hash(hash) {
            return Err(UsersError::Hash(line));
        }
        if self.hashes.insert(name.into(), hash.into()).is_some() {
            return Err(UsersError::Repeated(line));
        }
        Ok(())
    }

    /// Who a request's `authorization` field says that it comes from.
    #[must_use]
    pub fn lookup(&self, authorization: Option<&[u8]>) -> Lookup {
        let Some(value) = authorization else { return Lookup::Missing };
        let Some((user, password)) = credentials(value) else { return Lookup::Malformed };
        match self.hashes.get(user.as_str()) {
            Some(hash) => Lookup::Known { user, hash: hash.clone(), password },
            None => Lookup::Unknown { hash: NOBODY.into(), password },
        }
    }
}

/// Name and password of a field (RFC 7617, section 2).
fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > CREDENTIALS_MAX * 2 {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let text = String::from_utf8(decoded).ok().filter(|text| text.len() <= CREDENTIALS_MAX)?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Whether this is a hash of bcrypt.
#[must_use]
pub fn is_hash(hash: &str) -> bool {
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|start| hash.starts_with(start));
    known && hash.parse::<bcrypt::HashParts>().is_ok()
}

/// Whether a password is the one of a hash. Slow, on purpose.
#[must_use]
pub fn verify(hash: &str, password: &str) -> bool {
    bcrypt::verify(password, hash).unwrap_or(false)
}

/// Passwords that were right of late, by a digest of them: they need not be checked again.
#[derive(Debug)]
pub struct VerifiedCache {
    until: HashMap<[u8; 32], Instant>,
    entries_max: usize,
    lasts: Duration,
    seed: u64,
}

impl VerifiedCache {
    /// Remembers at most so many for so long. `seed` is nobody's to know.
    #[must_use]
    pub fn new(entries_max: usize, lasts: Duration, seed: u64) -> Self {
        Self { until: HashMap::new(), entries_max, lasts, seed }
    }

    /// What is remembered of a user with a password. Another hash of the user's is another key: a
    /// changed password is checked anew.
    #[must_use]
    pub fn key(&self, user: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_le_bytes());
        for part in [user, password, hash] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }

    /// Whether it was right of late.
    #[must_use]
    pub fn contains(&self, key: &[u8; 32], now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// It was right.
    pub fn insert(&mut self, key: [u8; 32], now: Instant) {
        if self.until.len() >= self.entries_max {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < self.entries_max {
            self.until.insert(key, now + self.lasts);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    fn hash_of(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    #[test]
    fn users_are_found_and_their_passwords_checked() {
        let text = format!("# people\n\nann:{}\nbob:{}\n", hash_of("secret"), hash_of("other"));
        let users = Users::parse(&text).unwrap();
        let Lookup::Known { user, hash, password } = users.lookup(Some(&basic("ann:secret")))
        else {
            panic!("ann is there")
        };
        assert_eq!(user, "ann");
        assert!(verify(&hash, &password) && !verify(&hash, "wrong"));
        assert_eq!(users.lookup(None), Lookup::Missing);
        for bad in ["Basic", "Basic !!!", "Bearer abc", ""] {
            assert_eq!(users.lookup(Some(bad.as_bytes())), Lookup::Malformed, "{bad}");
        }
        assert_eq!(users.lookup(Some(&basic("no colon"))), Lookup::Malformed);
        let Lookup::Unknown { hash, password } = users.lookup(Some(&basic("eve:x:y"))) else {
            panic!("eve is not there")
        };
        assert!(is_hash(&hash) && password == "x:y");
        assert!(
            !format!("{users:?}{:?}", users.lookup(Some(&basic("ann:secret")))).contains("sec")
        );
    }

    #[test]
    fn what_is_wrong_with_a_list_of_users_is_said_with_its_line() {
        let good = hash_of("a");
        let table = [
            ("ann".to_owned(), UsersError::NoColon(1)),
            (format!(":{good}"), UsersError::NoName(1)),
            (format!("a:{good}\na:{good}"), UsersError::Repeated(2)),
            ("\na:secret".to_owned(), UsersError::Hash(2)),
            ("a:$apr1$x$y".to_owned(), UsersError::Hash(1)),
            ("a:{SHA}abc".to_owned(), UsersError::Hash(1)),
            ("a:$2b$99$abc".to_owned(), UsersError::Hash(1)),
        ];
        for (text, error) in table {
            assert_eq!(Users::parse(&text).unwrap_err(), error, "{text}");
        }
        assert!(Users::new([("a", good.as_str())]).is_ok());
    }

    #[test]
    fn what_was_right_is_remembered_for_a_while_and_only_so_much() {
        let mut cache = VerifiedCache::new(2, Duration::from_secs(10), 1);
        let now = Instant::now();
        let keys = ["a", "b", "c"].map(|user| cache.key(user, "p", "h"));
        cache.insert(keys[0], now);
        assert!(cache.contains(&keys[0], now) && !cache.contains(&keys[1], now));
        assert!(!cache.contains(&keys[0], now + Duration::from_secs(10)));
        assert_ne!(cache.key("a", "p", "other"), keys[0]);
        assert_ne!(cache.key("ap", "", "h"), cache.key("a", "p", "h"));
        cache.insert(keys[1], now);
        cache.insert(keys[2], now);
        assert!(!cache.contains(&keys[2], now), "there is no room");
        cache.insert(keys[2], now + Duration::from_secs(10));
        assert!(cache.contains(&keys[2], now + Duration::from_secs(10)));
    }
}

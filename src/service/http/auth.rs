//! Basic authentication (RFC 7617): who asks, and how a password is checked.
//!
//! A good hash is slow on purpose, so finding the user and checking the password are apart: a loop
//! does the first ([`Users::lookup`]), a thread that may take its time the second ([`verify`]), and
//! what was right is remembered for a while ([`VerifiedCache`]).

mod hash;
mod verified;

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use hash::{HashError, check_hash, verify};
pub use verified::VerifiedCache;

/// Bytes of a name with its password at most.
const CREDENTIALS_MAX: usize = 512;

/// Users and the hashes of their passwords.
#[derive(Clone, Default)]
pub struct Users {
    hashes: HashMap<Box<str>, Box<str>>,
    /// For each user, a hash that takes as long to check and that no password has.
    decoys: Vec<Box<str>>,
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
    /// A user that there is not. The password is to be checked all the same, so that nobody learns
    /// which users there are from how long it takes; whatever comes of it, it is wrong.
    Unknown {
        /// A hash that no password has. One name has always the same, and many names have hashes
        /// of all costs that there are, as users have.
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

/// Why a list of users is refused, with the number of the line or user, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsersError {
    /// A line without `:`.
    NoColon(usize),
    /// A user without a name, or with one that no request can give: with a control character or a
    /// `:`, or too long.
    Name(usize),
    /// A user that stands there twice.
    Repeated(usize),
    /// A hash that is none, or is too weak to be used.
    Hash(usize, HashError),
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon(line) => write!(f, "line {line}: no `:` between user and hash"),
            Self::Name(line) => write!(
                f,
                "line {line}: a user needs a name, without control characters and `:`, of less \
                 than {CREDENTIALS_MAX} bytes"
            ),
            Self::Repeated(line) => write!(f, "line {line}: the user stands there already"),
            Self::Hash(line, error) => write!(f, "line {line}: {error}"),
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

    /// Reads a file as `htpasswd` writes it: a user, `:` and a hash a line; lines that begin with
    /// `#` are comments.
    ///
    /// # Errors
    /// What is wrong with which line.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut all = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
        let is_odd = name.chars().any(|one| one.is_control() || one == ':');
        if name.is_empty() || name.len() >= CREDENTIALS_MAX || is_odd {
            return Err(UsersError::Name(line));
        }
        check_hash(hash).map_err(|error| UsersError::Hash(line, error))?;
        if self.hashes.insert(name.into(), hash.into()).is_some() {
            return Err(UsersError::Repeated(line));
        }
        self.decoys.push(hash::decoy(hash));
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Who a request's `authorization` field says that it comes from.
    #[must_use]
    pub fn lookup(&self, authorization: Option<&[u8]>) -> Lookup {
        let Some(value) = authorization else { return Lookup::Missing };
        let Some((user, password)) = credentials(value) else { return Lookup::Malformed };
        match self.hashes.get(user.as_str()) {
            Some(hash) => Lookup::Known { user, hash: hash.clone(), password },
            None => Lookup::Unknown { hash: self.decoy(&user), password },
        }
    }

    fn decoy(&self, user: &str) -> Box<str> {
        let mut hasher = DefaultHasher::new();
        hasher.write(user.as_bytes());
        let number = hasher.finish() % (self.decoys.len().max(1) as u64);
        let decoy = usize::try_from(number).ok().and_then(|at| self.decoys.get(at));
        decoy.cloned().unwrap_or_else(|| hash::NOBODY.into())
    }
}

/// Name and password of a field (RFC 7617, section 2), in UTF-8.
fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > CREDENTIALS_MAX * 2 {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let mut user = String::from_utf8(decoded).ok().filter(|text| text.len() <= CREDENTIALS_MAX)?;
    // RFC 7617, section 2: neither of them has control characters.
    if user.chars().any(char::is_control) {
        return None;
    }
    let colon = user.find(':')?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

#[cfg(test)]
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
        let bob = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI\
                   FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
        let text = format!("\u{feff}# people\r\n\r\nann:{}\r\n  bob:{bob}\n", hash_of("secret"));
        let users = Users::parse(&text).unwrap();
        assert_eq!((users.len(), users.is_empty()), (2, false));
        for (name, password) in [("ann", "secret"), ("bob", "Hello world!")] {
            let given = basic(&format!("{name}:{password}"));
            let found = users.lookup(Some(&given));
            assert_eq!(format!("{users:?} {found:?}"), "Users(2) Known");
            let Lookup::Known { user, hash, password: given } = found else {
                panic!("{name} is there")
            };
            assert_eq!((user.as_str(), given.as_str()), (name, password));
            assert!(verify(&hash, &given) && !verify(&hash, "wrong"));
        }
    }

    #[test]
    fn a_field_is_read_as_it_should_be() {
        let users = Users::new([("ann", hash_of("a").as_str())]).unwrap();
        let read = |value: &[u8]| match users.lookup(Some(value)) {
            Lookup::Known { user, password, .. } => Some((user, password)),
            Lookup::Unknown { password, .. } => Some(("?".to_owned(), password)),
            Lookup::Missing | Lookup::Malformed => None,
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        let table = [
            (basic("ann:secret"), pair("ann", "secret")),
            (basic("ann:"), pair("ann", "")),
            (basic("ann:x:y"), pair("ann", "x:y")),
            (basic("ann:\u{e9}"), pair("ann", "\u{e9}")),
            (basic(":x"), pair("?", "x")),
            (basic("Ann:x"), pair("?", "x")),
            (b"bASIC  YW5uOng= ".to_vec(), pair("ann", "x")),
            (b"Basic YW5uOng".to_vec(), None),
            (b"Basic !!!".to_vec(), None),
            (b"Basic ".to_vec(), None),
            (b"Basic".to_vec(), None),
            (b"Basi\xff".to_vec(), None),
            (b"Bearer YW5uOng=".to_vec(), None),
            (b"".to_vec(), None),
            (basic("no colon"), None),
            (basic("ann:a\nb"), None),
            (basic("ann\0:a"), None),
            (format!("Basic {}", STANDARD.encode(b"ann:\xff")).into_bytes(), None),
            (basic(&format!("ann:{}", "x".repeat(508))), pair("ann", &"x".repeat(508))),
            (basic(&format!("ann:{}", "x".repeat(509))), None),
            (basic(&"x".repeat(100_000)), None),
        ];
        for (value, expected) in table {
            assert_eq!(read(&value), expected, "{}", value.escape_ascii());
        }
        assert_eq!(users.lookup(None), Lookup::Missing);
    }

    #[test]
    fn a_user_that_there_is_not_costs_as_much_as_those_that_there_are() {
        let hashes: Vec<String> = [4, 5].map(|cost| bcrypt::hash("a", cost).unwrap()).into();
        let users = Users::new([("ann", &*hashes[0]), ("bob", &*hashes[1])]).unwrap();
        let mut costs = [0; 2];
        for n in 0..100 {
            let given = basic(&format!("user{n}:a"));
            let Lookup::Unknown { hash, password } = users.lookup(Some(&given)) else {
                panic!("there is no such user")
            };
            assert_eq!(
                users.lookup(Some(&given)),
                Lookup::Unknown { hash: hash.clone(), password }
            );
            let cost = hash.parse::<bcrypt::HashParts>().unwrap().get_cost();
            costs[usize::try_from(cost).unwrap() - 4] += 1;
            assert!(!hashes.iter().any(|one| **one == *hash) && (n > 3 || !verify(&hash, "a")));
        }
        assert!(costs.iter().all(|count| *count > 20), "{costs:?}");
        let Lookup::Unknown { hash, .. } = Users::default().lookup(Some(&basic("a:b"))) else {
            panic!("there is nobody")
        };
        assert_eq!(*hash, *hash::NOBODY);
    }

    #[test]
    fn what_is_wrong_with_a_list_of_users_is_said_with_its_line() {
        let good = hash_of("a");
        let table = [
            ("ann".to_owned(), UsersError::NoColon(1)),
            (format!(":{good}"), UsersError::Name(1)),
            (format!("a\tb:{good}"), UsersError::Name(1)),
            (format!("{}:{good}", "x".repeat(512)), UsersError::Name(1)),
            (format!("a:{good}\n# b\na:{good}"), UsersError::Repeated(3)),
            ("\na:secret".to_owned(), UsersError::Hash(2, HashError::Plain)),
            ("a:$apr1$x$y".to_owned(), UsersError::Hash(1, HashError::Md5)),
            ("a:{SHA}abc".to_owned(), UsersError::Hash(1, HashError::Sha1)),
            ("a:$2b$99$abc".to_owned(), UsersError::Hash(1, HashError::Malformed)),
        ];
        for (text, error) in table {
            assert_eq!(Users::parse(&text).unwrap_err(), error, "{text}");
            let line = text.lines().count();
            assert!(error.to_string().starts_with(&format!("line {line}: ")), "{error}");
        }
        assert_eq!(Users::new([("a:b", &*good)]).unwrap_err(), UsersError::Name(1));
        assert!(Users::parse("# nobody\n").unwrap().is_empty());
    }
}

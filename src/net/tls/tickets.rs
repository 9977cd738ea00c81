//! Tickets by which clients resume sessions: encrypted with keys that all workers share and that
//! change, or with keys that a fleet of servers shares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use super::binding::Binding;
use crate::runtime::Current;

const NAME_LEN: usize = 16;
const AES_LEN: usize = 32;
const BINDING_LEN: usize = size_of::<Binding>();
/// Keys of earlier times whose tickets are still taken.
const OLDER_MAX: usize = 2;

/// A key of tickets.
pub struct TicketKey {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl TicketKey {
    /// Bytes of a key in a file: a name of 16, 32 that are not used here, and an AES-256 key. Web
    /// servers commonly have such files of 80 bytes (`openssl rand 80`).
    pub const FILE_LEN: usize = 80;

    /// The key of a file's bytes; none if they are not [`Self::FILE_LEN`].
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::FILE_LEN {
            return None;
        }
        let name = bytes.first_chunk::<NAME_LEN>()?;
        Self::new(*name, bytes.last_chunk::<AES_LEN>()?)
    }

    /// The keys of a file that has several, one behind the other: the first seals. None if its
    /// length is no multiple of [`Self::FILE_LEN`], or zero.
    #[must_use]
    pub fn all_from_file(bytes: &[u8]) -> Option<Vec<Self>> {
        let keys: Option<Vec<_>> = bytes.chunks(Self::FILE_LEN).map(Self::from_file).collect();
        keys.filter(|keys| !keys.is_empty())
    }

    fn random() -> Option<Self> {
        let (mut name, mut key) = ([0; NAME_LEN], [0; AES_LEN]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut key).ok()?;
        Self::new(name, &key)
    }

    fn new(name: [u8; NAME_LEN], key: &[u8; AES_LEN]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self { name, key: LessSafeKey::new(key) })
    }

    /// The name of the key, a random nonce, then the sealed text.
    fn seal(&self, plain: &[u8], binding: &Binding) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(self.bound_to(binding));
        self.key.seal_in_place_append_tag(nonce_used, aad, &mut sealed).ok()?;
        Some([&self.name[..], &nonce[..], &sealed[..]].concat())
    }

    /// What is authenticated with a ticket.
    fn bound_to(&self, binding: &Binding) -> [u8; NAME_LEN + BINDING_LEN] {
        let mut both = [0; NAME_LEN + BINDING_LEN];
        let (name, rest) = both.split_at_mut(NAME_LEN);
        name.copy_from_slice(&self.name);
        rest.copy_from_slice(binding);
        both
    }

    fn open(&self, ticket: &[u8], binding: &Binding) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *name != self.name {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(self.bound_to(binding));
        let len = self.key.open_in_place(nonce, aad, &mut sealed).ok()?.len();
        sealed.truncate(len);
        Some(sealed)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(secret)")
    }
}

/// Seals and opens tickets. The first key seals, all open.
#[derive(Debug)]
pub struct Tickets {
    keys: Current<Vec<Arc<TicketKey>>>,
    lifetime: u32,
}

impl Tickets {
    /// Tickets with a random key, to be changed every `rotation` by [`Tickets::rotate`].
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random(rotation: Duration) -> Result<Self, rustls::Error> {
        let key = TicketKey::random().ok_or(rustls::Error::FailedToGetRandomBytes)?;
        Ok(Self::with(vec![key], rotation))
    }

    /// Tickets with these keys, of which the first seals.
    #[must_use]
    pub fn with(keys: Vec<TicketKey>, rotation: Duration) -> Self {
        let lifetime = rotation.as_secs().saturating_mul(OLDER_MAX as u64);
        // A week at most (RFC 8446, section 4.6.1).
        let lifetime = u32::try_from(lifetime).unwrap_or(u32::MAX).min(604_800);
        let keys = keys.into_iter().map(Arc::new).collect();
        Self { keys: Current::new(Arc::new(keys)), lifetime }
    }

    /// A new random key seals from now on; the oldest one opens no longer.
    pub fn rotate(&self) {
        let Some(key) = TicketKey::random() else { return };
        let mut keys: Vec<_> = self.keys().iter().take(OLDER_MAX).cloned().collect();
        keys.insert(0, Arc::new(key));
        self.set(keys);
    }

    /// Takes other keys: the files were changed.
    pub fn replace(&self, keys: Vec<TicketKey>) {
        self.set(keys.into_iter().map(Arc::new).collect());
    }

    /// For how many seconds a ticket is taken.
    pub(super) const fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Seals a session, for listeners with the same binding.
    pub(super) fn seal(&self, session: &[u8], binding: &Binding) -> Option<Vec<u8>> {
        self.keys().first()?.seal(session, binding)
    }

    /// The session of a ticket that was sealed with one of the keys and the same binding.
    pub(super) fn open(&self, ticket: &[u8], binding: &Binding) -> Option<Vec<u8>> {
        self.keys().iter().find_map(|key| key.open(ticket, binding))
    }

    fn set(&self, keys: Vec<Arc<TicketKey>>) {
        self.keys.replace(Arc::new(keys));
    }

    fn keys(&self) -> Arc<Vec<Arc<TicketKey>>> {
        self.keys.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Binding = [1; 32];

    #[test]
    fn tickets_are_taken_for_two_rotations_and_changed_ones_never() {
        let tickets = Tickets::random(Duration::from_secs(3600)).expect("random bytes");
        let ticket = tickets.seal(b"session", &HERE).expect("a key");
        assert_eq!(tickets.open(&ticket, &HERE).as_deref(), Some(&b"session"[..]));
        for at in 0..ticket.len() {
            let mut other = ticket.clone();
            other[at] ^= 1;
            assert_eq!(tickets.open(&other, &HERE), None, "byte {at}");
            assert_eq!(tickets.open(&ticket[..at], &HERE), None);
        }
        for at in 0..HERE.len() {
            let mut there = HERE;
            there[at] ^= 1;
            assert_eq!(tickets.open(&ticket, &there), None, "bound to another policy");
        }
        for rotations in 1..=OLDER_MAX {
            tickets.rotate();
            assert!(tickets.open(&ticket, &HERE).is_some(), "{rotations} rotations later");
        }
        tickets.rotate();
        assert_eq!(tickets.open(&ticket, &HERE), None);
    }

    #[test]
    fn a_fleet_with_the_same_file_takes_each_others_tickets() {
        let file: Vec<u8> = (0..80).collect();
        let make = || {
            let key = TicketKey::from_file(&file).expect("80 bytes");
            Tickets::with(vec![key], Duration::from_secs(60))
        };
        let ticket = make().seal(b"session", &HERE).expect("a key");
        assert_eq!(make().open(&ticket, &HERE).as_deref(), Some(&b"session"[..]));
        assert!(TicketKey::from_file(&file[..79]).is_none());
    }

    #[test]
    fn of_several_keys_in_a_file_the_first_seals_and_all_open() {
        let file: Vec<u8> = (0..240).collect();
        let with = |bytes: &[u8]| {
            let keys = TicketKey::all_from_file(bytes).expect("whole keys");
            Tickets::with(keys, Duration::from_secs(60))
        };
        let ticket = with(&file[80..160]).seal(b"session", &HERE).expect("a key");
        assert!(with(&file).open(&ticket, &HERE).is_some());
        assert!(with(&file[..80]).open(&ticket, &HERE).is_none());
        let ticket = with(&file).seal(b"session", &HERE).expect("a key");
        assert!(with(&file[..80]).open(&ticket, &HERE).is_some());
        for wrong in [0, 1, 79, 81, 239] {
            assert!(TicketKey::all_from_file(&file[..wrong]).is_none(), "{wrong}");
        }
    }
}

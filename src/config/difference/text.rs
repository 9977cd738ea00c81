//! Changes as lines for people.

use std::fmt::{self, Write as _};

use toml::Value;

use super::super::tells_a_secret;
use super::{Change, ChangeKind, Difference, Effect, Subject, users};

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 120;

/// A value for people: short, without control characters, and without what is secret.
pub(super) fn shown(key: &str, value: &Value) -> String {
    let within = value.as_table().filter(|_| key == "auth").and_then(|auth| auth.get("users"));
    let text = if let (Some(names), "users") = (users(value), key) {
        format!("{} (passwords not shown)", names.join(", "))
    } else if let Some(names) = within.and_then(users) {
        format!("users {} (passwords not shown)", names.join(", "))
    } else {
        without_secrets(value).to_string()
    };
    let mut short = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN_MAX {
            short.push_str("...");
            break;
        }
        if character.is_control() {
            short.extend(character.escape_default());
        } else {
            short.push(character);
        }
    }
    short
}

/// A table of fields, without the values of those whose names say that they are secret.
fn without_secrets(value: &Value) -> Value {
    let Value::Table(table) = value else { return value.clone() };
    let entries = table.iter().map(|(name, value)| {
        let is_secret = value.is_str() && tells_a_secret(name);
        let shown = if is_secret { "(not shown)".into() } else { without_secrets(value) };
        (name.clone(), shown)
    });
    Value::Table(entries.collect())
}

/// The lines, one a change: `+` for what comes, `-` for what goes, `~` for what changes, `!` for
/// what needs a restart.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (&self.kind, self.effect) {
            (_, Effect::Restart) => '!',
            (ChangeKind::Added, _) => '+',
            (ChangeKind::Removed, _) => '-',
            (_, Effect::Reload | Effect::Sockets) => '~',
        };
        write!(f, "{mark} {}{}", self.subject, self.kind)?;
        f.write_str(match (&self.kind, self.effect) {
            (ChangeKind::Key { .. }, Effect::Sockets) => " (sockets are set up again)",
            (ChangeKind::Key { .. }, Effect::Restart) => " (needs a restart)",
            _ => "",
        })
    }
}

/// What follows the subject in a line.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added | Self::Removed => Ok(()),
            Self::Key { key, old, new } => {
                let [old, new] = [old, new].map(|value| value.as_deref().unwrap_or("(none)"));
                if old == new {
                    write!(f, ": {key} changed, and is not shown")
                } else {
                    write!(f, ": {key} {old} -> {new}")
                }
            }
            Self::Addresses { opened, closed } => {
                f.write_str(": listens")?;
                let opened = opened.iter().map(|address| ('+', address));
                let all = opened.chain(closed.iter().map(|address| ('-', address)));
                all.into_iter().try_for_each(|(mark, address)| write!(f, " {mark}{address}"))
            }
            Self::Order => f.write_str(": routes in another order"),
            Self::ServerAdded(address) => write!(f, ": server +{address}"),
            Self::ServerRemoved(address) => write!(f, ": server -{address}"),
            Self::Server { address, old, new } => {
                write!(f, ": server {address}")?;
                for (name, old, new) in
                    [("weight", old.0, new.0), ("priority", u32::from(old.1), u32::from(new.1))]
                {
                    if old != new {
                        write!(f, " {name} {old} -> {new}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are of a file; what would move a cursor does not.
        let write = |f: &mut fmt::Formatter<'_>, what: &str, name: &str| {
            f.write_str(what)?;
            name.chars().try_for_each(|one| match one.is_control() {
                true => write!(f, "{}", one.escape_default()),
                false => f.write_char(one),
            })
        };
        match self {
            Self::Runtime => f.write_str("runtime"),
            Self::Admin => f.write_str("admin"),
            Self::Log => f.write_str("log"),
            Self::Listener(name) => write(f, "listener ", name),
            Self::Route { listener, route } => {
                write(f, "listener ", listener)?;
                write(f, " route ", route)
            }
            Self::Upstream(name) => write(f, "upstream ", name),
            Self::Topics(name) => write(f, "topics ", name),
        }
    }
}

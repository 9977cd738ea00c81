//! `protocol = "sni"`: connections of TLS that are passed on as they are, by the name that the
//! client asks for.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::effective::write_all;
use super::kinds::{Time, Whole};
use super::schema::{HOUR, MILLISECOND};
use super::section::Section;
use super::table::table;
use super::{Upstream, accept};

table! {
    /// How connections of TLS are passed on.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SniOptions {
        /// How long a client's first message may take.
        "hello_timeout" hello_timeout: Duration = Duration::from_secs(10), Time(MILLISECOND..=HOUR);
        /// Connections of which that is waited for, at a time on each worker. Beyond it,
        /// connections are closed at once.
        "hellos_max" hellos_max: u32 = 1000, Whole(1..=1_000_000);
        .. {
            /// `names`: host names in lower case, or wildcards as `*.example.com`, each with the
            /// index of its upstream in [`Config::upstreams`](super::Config::upstreams), sorted by
            /// name.
            names: Vec<(String, usize)> = Vec::new();
        }
    }
}

/// [`SniOptions`] whose upstreams are still names.
#[derive(Debug)]
pub(super) struct RawSni {
    pub(super) names: Vec<(String, Spanned<String>)>,
    /// All names were read.
    pub(super) is_known: bool,
    options: SniOptions,
}

const NAMES: RangeInclusive<usize> = 0..=10_000;

/// Bytes of a host name (RFC 1035, section 2.3.4), and of one of its labels.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A name that a client can ask for, or a wildcard for all names one label below.
fn name(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let host = lower.strip_prefix("*.").unwrap_or(&lower);
    let is_label = |label: &str| {
        let is_ldh = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_in_place = !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && label.len() <= LABEL_MAX && is_ldh && is_in_place
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("clients ask for names, and never for addresses".to_owned());
    }
    if host.len() <= NAME_MAX && host.split('.').all(is_label) {
        Ok(lower)
    } else {
        Err("a name has letters, digits, `-` and `.`; `*.` in front is for all one label below"
            .to_owned())
    }
}

pub(super) fn options(section: &mut Section<'_, '_>) -> RawSni {
    let given = section.given().iter().any(|key| *key.get_ref() == "names");
    let what = "host names such as \"example.com\" or \"*.example.com\"";
    let names = section.spanned_pairs("names", &NAMES, what, name, accept::name);
    let options = SniOptions::read(section);
    RawSni { is_known: !given || !names.is_empty(), names, options }
}

impl RawSni {
    /// With the upstreams that the names lead to, unless one leads nowhere.
    pub(super) fn resolve(&self, targets: &[Option<usize>]) -> Option<SniOptions> {
        let names = self.names.iter().zip(targets);
        let names = names.map(|((name, _), target)| target.map(|index| (name.clone(), index)));
        Some(SniOptions { names: names.collect::<Option<_>>()?, ..self.options.clone() })
    }
}

pub(super) fn write(
    options: &SniOptions,
    upstreams: &[Upstream],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let named = options.names.iter().map(|(name, index)| {
        let upstream = upstreams.get(*index).map(|upstream| upstream.name.clone());
        (name.clone(), toml::Value::String(upstream.unwrap_or_default()))
    });
    writeln!(f, "names = {}", toml::Value::Table(named.collect()))?;
    write_all(options.lines(), f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_and_wildcards() {
        for good in ["a", "Example.com", "*.example.com", "xn--bcher-kva.example", "0.example"] {
            assert_eq!(name(good), Ok(good.to_ascii_lowercase()));
        }
        for bad in ["", "*", "*.", "a.*.b", "127.0.0.1", "::1", "a_b.c", "-a.b", "a..b", "a."] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}

//! The reference, `docs/ringway.toml`: a skeleton with what has a form of its own, in which lines
//! that begin with `#=` stand for the keys of a table of the code, with `-KEY` behind without that.

use std::fmt::Write as _;

use super::accept::either;
use super::http::schema::actions_of;
use super::references::nouns;
use super::schema::{PROTOCOL_WORDS, Protocol, protocols_of, proxies_of};
use super::table::KeyDescription;
use super::tls::{ADMIN_TLS, TlsPolicy};
use super::{
    AccessLists, Admin, Compression, EjectOptions, ExchangeOptions, FilesOptions, FlowOptions,
    FrameOptions, HealthOptions, Http2Options, HttpOptions, HttpUpstream, LineOptions, Listener,
    ListenerTls, Log, PoolOptions, RateLimit, Route, Runtime, SniOptions, SocketLimits,
    SocketOptions, SpliceOptions, Topics, UdpOptions, Upstream, UpstreamTls, WebSocketOptions,
};

const SKELETON: &str = include_str!("reference.toml");
/// What a line of the skeleton begins with that stands for the keys of a table.
const GROUP: &str = "#= ";
/// Columns of a line, at most.
const WIDTH_MAX: usize = 100;

/// The reference, as TOML text: every key, with what it means and its default.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    let mut table = "";
    for line in SKELETON.lines() {
        if line.starts_with('[') {
            table = line;
        }
        let Some(group) = line.strip_prefix(GROUP) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let (group, without) = group.split_once(" -").unwrap_or((group, ""));
        for key in keys_of(group) {
            // That of the admin interface has some of the keys only.
            let is_there = table != ADMIN_TLS.table || ADMIN_TLS.keys.contains(&key.key);
            if is_there && key.key != without {
                write_key(&key, table, &mut text);
            }
        }
    }
    text
}

/// The keys of a table of the code, by its name.
fn keys_of(group: &str) -> Vec<KeyDescription> {
    match group {
        "AccessLists" => AccessLists::describe(),
        "Admin" => Admin::describe(),
        "Compression" => Compression::describe(),
        "EjectOptions" => EjectOptions::describe(),
        "ExchangeOptions" => ExchangeOptions::describe(),
        "FilesOptions" => FilesOptions::describe(),
        "FlowOptions" => FlowOptions::describe(),
        "FrameOptions" => FrameOptions::describe(),
        "HealthOptions" => HealthOptions::describe(),
        "Http2Options" => Http2Options::describe(),
        "HttpOptions" => HttpOptions::describe(),
        "HttpUpstream" => HttpUpstream::describe(),
        "LineOptions" => LineOptions::describe(),
        "Listener" => Listener::describe(),
        "ListenerTls" => ListenerTls::describe(),
        "Log" => Log::describe(),
        "PoolOptions" => PoolOptions::describe(),
        "RateLimit" => RateLimit::describe(),
        "Route" => Route::describe(),
        "Runtime" => Runtime::describe(),
        "SniOptions" => SniOptions::describe(),
        "SocketLimits" => SocketLimits::describe(),
        "SocketOptions" => SocketOptions::describe(),
        "SpliceOptions" => SpliceOptions::describe(),
        "TlsPolicy" => TlsPolicy::describe(),
        "Topics" => Topics::describe(),
        "UdpOptions" => UdpOptions::describe(),
        "Upstream" => Upstream::describe(),
        "UpstreamTls" => UpstreamTls::describe(),
        "WebSocketOptions" => WebSocketOptions::describe(),
        // A test finds no key of it in the reference.
        _unknown => Vec::new(),
    }
}

fn write_key(key: &KeyDescription, table: &str, text: &mut String) {
    let doc = [key.doc.as_str(), &users(key.key, table)].join(" ");
    let mut line = "#".to_owned();
    for word in doc.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH_MAX {
            text.push_str(&line);
            text.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    let whole = format!("{} = {}", key.key, key.default);
    // Writing to a string does not fail.
    let _infallible = match key.default.as_array().filter(|_| whole.len() > WIDTH_MAX) {
        Some(values) => {
            let values: String = values.iter().map(|value| format!("    {value},\n")).collect();
            writeln!(text, "{line}\n{} = [\n{values}]", key.key)
        }
        None => writeln!(text, "{line}\n{whole}"),
    };
}

/// Whom a key is for, if it is not for all that its table is for.
fn users(key: &str, table: &str) -> String {
    let quoted = |protocols: &[Protocol]| {
        let words: Vec<_> = protocols.iter().map(|one| format!("\"{}\"", one.word())).collect();
        match words.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            words => words.concat(),
        }
    };
    let own = match table {
        "[[listener]]" => protocols_of(key).map(|protocols| {
            let others = PROTOCOL_WORDS.iter().filter(|(_, one)| !protocols.contains(one));
            let others: Vec<_> = others.map(|(_, one)| *one).collect();
            match protocols {
                // The listener before which they stand tells.
                [Protocol::Http] => String::new(),
                _ if others == [Protocol::Udp, Protocol::UdpEcho] => "Not for UDP.".to_owned(),
                _ if others.len() < protocols.len() => format!("Not for {}.", quoted(&others)),
                _ => format!("For {}.", quoted(protocols)),
            }
        }),
        "[[listener.route]]" => actions_of(key).map(|actions| {
            let actions: Vec<_> = actions.iter().map(|one| format!("`{one}`")).collect();
            format!("For {}.", either(&actions))
        }),
        _ if table.starts_with("[upstream.") => {
            proxies_of(key).map(|proxies| format!("For {} proxies.", nouns(proxies)))
        }
        _other => None,
    };
    own.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_the_skeleton_is_known() {
        let groups = SKELETON.lines().filter_map(|line| line.strip_prefix(GROUP));
        for group in groups {
            let (group, without) = group.split_once(" -").unwrap_or((group, ""));
            let keys = keys_of(group);
            assert!(!keys.is_empty(), "{group}");
            assert!(without.is_empty() || keys.iter().any(|key| key.key == without), "{without}");
        }
    }
}

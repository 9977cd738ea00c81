//! HAProxy: frontends become listeners, and backends upstreams.

use std::collections::{HashMap, HashSet};

use self::parse::{Line, Section};
use self::proxy::Proxy;
use super::convert::{self, Names};
use super::document::Document;
use super::network::Network;
use super::notes::Notes;
use super::{Imported, SyntaxError, Work, imported};

mod acl;
mod backend;
mod bind;
mod edits;
mod frontend;
mod known;
mod limits;
mod parse;
mod proxy;
mod region;
mod rules;
mod server;
mod tcp;
#[cfg(test)]
mod tests;

/// Translates a configuration of HAProxy. `file` is what notes call the text.
///
/// # Errors
///
/// The first mistake of syntax.
pub fn haproxy(file: &str, text: &str) -> Result<Imported, SyntaxError> {
    let sections = parse::parse(file, text)?;
    let mut import = Import::default();
    let mut defaults: Option<&Section> = None;
    let mut named: HashMap<&str, &Section> = HashMap::new();
    for section in &sections {
        match section.kind.as_str() {
            "global" => global(&mut import, section),
            "defaults" => {
                defaults = Some(section);
                if !section.name.is_empty() {
                    named.insert(&section.name, section);
                }
            }
            "frontend" | "backend" | "listen" => {
                name_networks(&mut import, section);
                let own = section.from.as_deref().and_then(|name| named.get(name).copied());
                let proxy = Proxy::new(section, own.or(defaults));
                known::note_unknown(&mut import.notes, &proxy);
                import.proxies.push(proxy);
            }
            "userlist" => {
                import.users.insert(&section.name, section);
            }
            // They say how HAProxy finds and tells things of its own.
            "peers" | "resolvers" | "traces" => {}
            other => {
                let why = "this section has no counterpart";
                import.notes.add(&section.at, other, why);
            }
        }
    }
    for section in sections.iter().filter(|section| section.kind == "defaults") {
        known::note_unknown(&mut import.notes, &Proxy::new(section, None));
    }
    translate(&mut import);
    Ok(imported((import.document, import.notes), file, ("haproxy", "frontend")))
}

/// What is made of a configuration.
#[derive(Default)]
struct Import<'d> {
    notes: Notes,
    document: Document,
    listener_names: Names,
    upstream_names: Names,
    proxies: Vec<Proxy<'d>>,
    /// `userlist` sections by name.
    users: HashMap<&'d str, &'d Section>,
    /// Backends, by name: their numbers among `proxies`.
    backends: HashMap<String, usize>,
    /// Upstreams that were made of backends, for a protocol.
    upstreams: HashMap<(usize, &'static str), Option<usize>>,
    /// How many routes have the rate of a line.
    rates: HashMap<usize, usize>,
    /// Addresses that are listened on.
    taken: HashSet<String>,
    /// Servers are not verified unless they say so: `ssl-server-verify none`.
    verifies_none: bool,
    /// Steps that may still be taken for rules of rules.
    work: Work<400_000>,
}

impl Import<'_> {
    fn note(&mut self, line: &Line, words: usize, why: impl Into<String>) {
        self.notes.add(&line.at, &line.shown(words), why);
    }

    fn security(&mut self, line: &Line, words: usize, why: impl AsRef<str>) {
        self.notes.security(&line.at, &line.shown(words), why);
    }
}

fn shown(text: &str) -> String {
    convert::shown(text)
}

fn global(import: &mut Import<'_>, section: &Section) {
    for line in &section.lines {
        match (line.word(0), line.word(1)) {
            ("nbthread", number) => {
                if let Some(number) = convert::digits(number).filter(|n| (1..=1024).contains(n)) {
                    import.document.top.table("runtime").set("workers", number);
                }
            }
            ("ssl-server-verify", "none") => import.verifies_none = true,
            ("stats", _) => {
                let why = "metrics are at the admin interface: http://127.0.0.1:9901/metrics; \
                           [admin] has its address";
                import.note(line, 1, why);
            }
            ("log", _) => import.note(line, 1, "the log goes to standard error"),
            (name, _) => known::note_global(&mut import.notes, line, name),
        }
    }
}

/// What lists of networks are called in ACLs.
fn name_networks(import: &mut Import<'_>, section: &Section) {
    let of_source = |line: &&Line| line.word(0) == "acl" && line.word(2) == "src";
    for line in section.lines.iter().filter(of_source) {
        let networks = line.from(3).iter().map(|text| Some(Network::parse(text)?.to_string()));
        if let Some(list) = networks.collect::<Option<Vec<_>>>() {
            import.document.network_names.entry(list).or_insert_with(|| line.word(1).to_owned());
        }
    }
}

fn translate(import: &mut Import<'_>) {
    for number in 0..import.proxies.len() {
        let Some(proxy) = import.proxies.get(number) else { continue };
        if proxy.section.kind != "frontend" {
            let name = proxy.section.name.clone();
            import.backends.insert(name, number);
        }
    }
    for number in 0..import.proxies.len() {
        let Some(proxy) = import.proxies.get(number).cloned() else { continue };
        if proxy.section.kind == "backend" {
            continue;
        }
        if proxy.is_stats() {
            let why = "pages of statistics are at the admin interface: http://127.0.0.1:9901/";
            import.notes.add(&proxy.section.at, "stats", why);
            continue;
        }
        frontend::translate(import, &proxy, number);
    }
    for (number, proxy) in import.proxies.iter().enumerate() {
        let is_used = ["http", "tcp", "sni"]
            .iter()
            .any(|protocol| import.upstreams.contains_key(&(number, *protocol)));
        if proxy.section.kind == "backend" && !is_used {
            let why = format!("nothing uses `{}`, and it was left out", shown(&proxy.section.name));
            import.notes.add(&proxy.section.at, "backend", why);
        }
    }
}

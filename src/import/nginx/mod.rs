//! nginx: `http` and `stream`.

use std::collections::{BTreeMap, HashMap, HashSet};

use self::parse::Directive;
use self::scope::Scope;
use self::upstream::Origin;
use super::convert::Names;
use super::document::Document;
use super::notes::Notes;
use super::{Imported, Include, SyntaxError, Work, imported};

mod access;
mod action;
mod condition;
mod content;
mod dress;
mod http;
mod known;
mod levels;
mod listen;
mod location;
mod logs;
mod parse;
mod rewrite;
mod scope;
mod secure;
mod site;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod upstream;

/// Translates a configuration of nginx. `file` is what notes call the text, and `include` reads the
/// files that it includes.
///
/// # Errors
///
/// The first mistake of syntax, and a file that is included and cannot be read: it may have access
/// rules.
pub fn nginx(file: &str, text: &str, include: &Include<'_>) -> Result<Imported, SyntaxError> {
    let directives = parse::parse(file, text, include)?;
    let mut import = Import::default();
    known::note_unknown(&directives, &mut import.notes);
    workers(&directives, &mut import);
    let blocks = |name: &'static str| directives.iter().filter(move |one| one.name == name);
    // A file of sites-available has servers and upstreams alone.
    let is_part = blocks("http").next().is_none() && blocks("stream").next().is_none();
    if is_part {
        http::translate(&mut import, &directives);
    }
    for block in blocks("http") {
        http::translate(&mut import, block.inner());
    }
    for block in blocks("stream") {
        stream::translate(&mut import, block.inner());
    }
    Ok(imported((import.document, import.notes), file, ("nginx", "server")))
}

/// What is made of a configuration.
#[derive(Default)]
struct Import<'d> {
    notes: Notes,
    document: Document,
    listener_names: Names,
    upstream_names: Names,
    /// `upstream` blocks of the part that is being translated, by name.
    groups: BTreeMap<&'d str, &'d Directive>,
    /// Those that something uses.
    used_groups: HashSet<String>,
    /// Upstreams that were made, by what they lead to.
    origins: HashMap<Origin, usize>,
    /// `limit_req_zone`, by the name of the zone.
    request_zones: HashMap<&'d str, &'d Directive>,
    /// Zones that a route uses already.
    used_zones: HashSet<String>,
    /// `limit_conn_zone`, likewise.
    connection_zones: HashMap<&'d str, &'d Directive>,
    /// `log_format`, by name.
    log_formats: HashMap<&'d str, &'d Directive>,
    /// `map`, by the variable that it makes, without its dollar.
    maps: HashMap<&'d str, &'d Directive>,
    /// Named locations of the server that is being translated.
    named_locations: HashMap<&'d str, (&'d Directive, Scope<'d>)>,
    /// A rule around all servers refuses requests in a way that is not translated.
    is_closed: bool,
    /// What was noted once for all.
    told: Told,
    /// What blocks may still take over from those around them, in words of directives.
    work: Work<20_000_000>,
}

/// The words of the directives of a block that blocks within it take over.
fn words(block: &[Directive]) -> usize {
    let plain = block.iter().filter(|one| one.block.is_none());
    plain.map(|one| one.args.len() + 1).fold(0, usize::saturating_add)
}

/// What is told once, however often it occurs.
#[derive(Default)]
struct Told {
    links: bool,
    errors: bool,
    hashes: bool,
    delays: bool,
}

impl Import<'_> {
    fn note(&mut self, directive: &Directive, why: impl Into<String>) {
        self.notes.add(&directive.at, &directive.name, why);
    }

    fn security(&mut self, directive: &Directive, why: impl AsRef<str>) {
        self.notes.security(&directive.at, &directive.name, why);
    }

    /// Notes `upstream` blocks that nothing uses, at the end of the part that they are in.
    fn finish_part(&mut self) {
        for (name, group) in std::mem::take(&mut self.groups) {
            if !self.used_groups.contains(name) {
                self.note(group, format!("nothing uses `{name}`, and it was left out"));
            }
        }
        self.used_groups.clear();
        self.origins.clear();
        self.maps.clear();
    }
}

fn workers(directives: &[Directive], import: &mut Import<'_>) {
    for directive in directives.iter().filter(|one| one.name == "worker_processes") {
        match directive.arg(0) {
            "auto" => {}
            number => match super::convert::digits(number).filter(|n| (1..=1024).contains(n)) {
                Some(number) => import.document.top.table("runtime").set("workers", number),
                None => import.note(directive, "is no number of workers from 1 to 1024"),
            },
        }
    }
}

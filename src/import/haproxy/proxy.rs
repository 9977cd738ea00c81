//! A section that serves, with what it takes over from its `defaults`.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::convert::{digits, haproxy_time};
use super::acl::Acls;
use super::parse::{Line, Section};

/// A `frontend`, `backend` or `listen`.
#[derive(Debug, Clone)]
pub(super) struct Proxy<'d> {
    pub(super) section: &'d Section,
    /// Lines by their first word, and by their first two.
    index: Rc<HashMap<String, Vec<&'d Line>>>,
    defaults: Rc<HashMap<String, Vec<&'d Line>>>,
    /// The line of the section that it takes over from.
    pub(super) from: Option<usize>,
    acls: Rc<Acls<'d>>,
}

/// Rules that a section adds to those of its defaults, which come first.
const RULES: &[&str] =
    &["acl", "http-request", "http-response", "http-after-response", "tcp-request"];

fn index<'d>(lines: impl Iterator<Item = &'d Line>) -> HashMap<String, Vec<&'d Line>> {
    let mut index: HashMap<String, Vec<&Line>> = HashMap::new();
    for line in lines {
        index.entry(line.word(0).to_owned()).or_default().push(line);
        if matches!(line.word(0), "timeout" | "option" | "no" | "stats") {
            let key = match line.word(0) {
                "no" => format!("no {} {}", line.word(1), line.word(2)),
                first => format!("{first} {}", line.word(1)),
            };
            index.entry(key).or_default().push(line);
        }
    }
    index
}

impl<'d> Proxy<'d> {
    pub(super) fn new(section: &'d Section, defaults: Option<&'d Section>) -> Self {
        let above = || defaults.into_iter().flat_map(|section| &section.lines);
        let rules = above().filter(|line| RULES.contains(&line.word(0)));
        Self {
            section,
            from: defaults.map(|section| section.at.line),
            index: Rc::new(index(rules.chain(&section.lines))),
            defaults: Rc::new(index(above())),
            acls: Rc::new(Acls::new(above().chain(&section.lines))),
        }
    }

    pub(super) fn acls(&self) -> Rc<Acls<'d>> {
        Rc::clone(&self.acls)
    }

    /// The lines of the section itself that begin with a word, or two of `timeout` and `option`.
    pub(super) fn own(&self, key: &str) -> &[&'d Line] {
        self.index.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same of the section, or of its defaults where it has none.
    pub(super) fn all(&self, key: &str) -> &[&'d Line] {
        let found = self.index.get(key).or_else(|| self.defaults.get(key));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn last(&self, key: &str) -> Option<&'d Line> {
        self.all(key).last().copied()
    }

    /// Whether an option is on: a section may take back that of its defaults.
    pub(super) fn option(&self, name: &str) -> Option<&'d Line> {
        let key = format!("option {name}");
        let own = self.own(&key).last().copied();
        let is_off = !self.own(&format!("no option {name}")).is_empty();
        own.or_else(|| self.last(&key).filter(|_| !is_off))
    }

    /// A `timeout` in milliseconds.
    pub(super) fn timeout(&self, name: &str) -> Option<u64> {
        let line = self.last(&format!("timeout {name}"))?;
        haproxy_time(line.word(2)).filter(|time| *time > 0)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.last(key).and_then(|line| digits(line.word(1)))
    }

    /// Whether it speaks HTTP; TCP is what HAProxy speaks if it is not told.
    pub(super) fn is_http(&self) -> bool {
        self.last("mode").is_some_and(|line| line.word(1) == "http")
    }

    /// Whether it refuses requests by keywords of old versions.
    pub(super) fn refuses_of_old(&self) -> Option<&'d Line> {
        const OLD: &[&str] = &[
            "block",
            "reqdeny",
            "reqideny",
            "reqtarpit",
            "reqitarpit",
            "reqallow",
            "reqiallow",
            "rspdeny",
            "rspideny",
        ];
        OLD.iter().find_map(|name| self.last(name))
    }

    /// Whether it does nothing but show statistics.
    pub(super) fn is_stats(&self) -> bool {
        let serves = ["default_backend", "use_backend", "server", "http-request"];
        !self.own("stats").is_empty() && serves.iter().all(|key| self.own(key).is_empty())
    }
}

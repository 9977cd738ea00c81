//! Prefixes of each block with locations: which of them nginx takes for a path.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound::{Included, Unbounded};
use std::rc::Rc;

use super::super::regex;
use super::location::Match;

/// A prefix around a location, with the number of the block that it stands in.
pub(super) type Around = (usize, Rc<str>);

/// The locations of one block, without expressions.
#[derive(Debug, Default)]
struct Level {
    prefixes: BTreeSet<String>,
    exact: HashSet<String>,
}

/// The locations of all blocks of a server, by the number of the block.
#[derive(Debug, Default)]
pub(super) struct Levels {
    list: Vec<Level>,
    /// Blocks of prefixes that have prefixes within them: the number of the block around, and the
    /// prefix.
    parents: HashSet<Around>,
}

impl Levels {
    /// The number of another block.
    pub(super) fn open(&mut self) -> usize {
        self.list.push(Level::default());
        self.list.len() - 1
    }

    /// Adds a location of a block that has others around it.
    pub(super) fn add(&mut self, level: usize, around: &[Around], asked: &Match) {
        let Some(own) = self.list.get_mut(level) else { return };
        match asked {
            Match::Exact(text) => {
                own.exact.insert(text.clone());
            }
            Match::Prefix { text, .. } => {
                own.prefixes.insert(text.clone());
                self.parents.extend(around.iter().cloned());
            }
            Match::Regex(_) => {}
        }
    }

    /// Whether a location beside one of those around it takes all of its requests.
    pub(super) fn is_hidden(&self, around: &[Around], asked: &Match) -> bool {
        let (text, is_exact) = match asked {
            Match::Exact(text) => (text, true),
            Match::Prefix { text, .. } => (text, false),
            Match::Regex(_) => return false,
        };
        around.iter().any(|(level, prefix)| {
            self.list.get(*level).is_some_and(|level| {
                is_exact && level.exact.contains(text)
                    || level.longest(text).is_some_and(|found| found.len() > prefix.len())
            })
        })
    }

    /// Whether a path of an expression may have a longer prefix beside one of those around it.
    pub(super) fn has_longer(&self, around: &[Around], regex: &str) -> bool {
        let shape = regex::shape(regex);
        around.iter().any(|(level, prefix)| {
            let Some(level) = self.list.get(*level) else { return false };
            // What all paths of the expression begin with.
            let is_known = !shape.ignores_case && shape.start.starts_with(&**prefix);
            let start = if is_known { shape.start.as_str() } else { prefix };
            let mut longer = level.prefixes.range(start.to_owned()..);
            // The prefix around it is the first one of those that begin with it.
            let further = longer.find(|one| **one != **prefix);
            further.is_some_and(|one| one.starts_with(start))
                || level.longest(start).is_some_and(|found| found.len() > prefix.len())
        })
    }

    /// Whether one of the prefixes around an expression has a prefix within it.
    pub(super) fn has_prefix_within(&self, around: &[Around]) -> bool {
        around.iter().any(|one| self.parents.contains(one))
    }
}

impl Level {
    /// The longest prefix of a path.
    fn longest(&self, path: &str) -> Option<&str> {
        let mut bound = path;
        loop {
            let found = self.prefixes.range::<str, _>((Unbounded, Included(bound))).next_back()?;
            if path.starts_with(found.as_str()) {
                return Some(found);
            }
            // Prefixes of the path are no longer than what it has in common with this one.
            let common = bound.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
            bound = bound.get(..common)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_prefixes_are_found() {
        let prefix = |text: &str| Match::Prefix { text: text.to_owned(), no_regex: false };
        let mut levels = Levels::default();
        let level = levels.open();
        for text in ["/", "/a/", "/a/b/", "/c", "/cd/x"] {
            levels.add(level, &[], &prefix(text));
        }
        levels.add(level, &[], &Match::Exact("/a/x".to_owned()));
        let around: [Around; 1] = [(level, "/a/".into())];
        for (text, expected) in [("/a/b/c", true), ("/a/bc", false), ("/a/", false)] {
            assert_eq!(levels.is_hidden(&around, &prefix(text)), expected, "{text}");
        }
        assert!(levels.is_hidden(&around, &Match::Exact("/a/x".to_owned())));
        assert!(!levels.is_hidden(&around, &Match::Exact("/a/y".to_owned())));
        for (text, expected) in [
            ("^/a/b/c", true),
            ("^/a/b", true),
            ("^/a/x", false),
            ("x$", true),
            ("(?i)^/a/x", true),
        ] {
            assert_eq!(levels.has_longer(&around, text), expected, "{text}");
        }
        assert!(!levels.has_longer(&[(level, "/cd/x".into())], "x$"));
        let level = levels.list.first().expect("one");
        for (text, expected) in [("/cd/y", "/c"), ("/cd/x", "/cd/x"), ("/z", "/"), ("/a/a", "/a/")]
        {
            assert_eq!(level.longest(text), Some(expected), "{text}");
        }
    }
}

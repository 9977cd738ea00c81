//! Which value a directive has in a block: its own, or that of the nearest block around it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::known;
use super::parse::Directive;

/// The directives of one block by name, so that a question costs the same in blocks of any length.
#[derive(Debug)]
struct Level<'d> {
    by_name: HashMap<&'d str, Vec<&'d Directive>>,
    /// Whether directives that are not translated refuse requests here, or take that back.
    closing: HashMap<&'d str, bool>,
}

/// A block with the blocks around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'d> {
    /// The outermost first.
    levels: Vec<Rc<Level<'d>>>,
}

impl<'d> Scope<'d> {
    /// The scope of a block within this one.
    pub(super) fn within(&self, block: &'d [Directive]) -> Self {
        let mut by_name: HashMap<&'d str, Vec<&'d Directive>> = HashMap::new();
        let mut closing = HashMap::new();
        for directive in block {
            by_name.entry(directive.name.as_str()).or_default().push(directive);
            if let Some(closes) = known::closing(directive) {
                closing.insert(directive.name.as_str(), closes);
            }
        }
        let mut levels = self.levels.clone();
        levels.push(Rc::new(Level { by_name, closing }));
        Self { levels }
    }

    /// The directives of a name in the innermost block.
    pub(super) fn own(&self, name: &str) -> &[&'d Directive] {
        let found = self.levels.last().and_then(|level| level.by_name.get(name));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The directives of a name in the innermost block that has one: nginx inherits all or none.
    pub(super) fn all(&self, name: &str) -> &[&'d Directive] {
        let mut levels = self.levels.iter().rev();
        let found = levels.find_map(|level| level.by_name.get(name));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The directives of two names that nginx inherits together, in the order of the text.
    pub(super) fn all_of_two(&self, first: &str, second: &str) -> Vec<&'d Directive> {
        for level in self.levels.iter().rev() {
            let of = |name: &str| level.by_name.get(name).into_iter().flatten().copied();
            let mut found: Vec<_> = of(first).chain(of(second)).collect();
            if !found.is_empty() {
                // A block may have parts of several files: the order of directives is that of their
                // addresses in its list.
                found.sort_by_key(|directive| std::ptr::from_ref(*directive).addr());
                return found;
            }
        }
        Vec::new()
    }

    /// The directive of a name that holds.
    pub(super) fn last(&self, name: &str) -> Option<&'d Directive> {
        self.all(name).last().copied()
    }

    /// The first argument of the directive that holds, or nothing.
    pub(super) fn word(&self, name: &str) -> &'d str {
        self.last(name).map(|directive| directive.arg(0)).unwrap_or_default()
    }

    /// Whether something refuses requests here in a way that is not translated: of each name, the
    /// nearest block decides.
    pub(super) fn is_closed(&self) -> bool {
        let mut known = HashSet::new();
        let mut levels = self.levels.iter().rev().flat_map(|level| &level.closing);
        levels.any(|(name, closes)| known.insert(*name) && *closes)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.word(name) == "on"
    }
}

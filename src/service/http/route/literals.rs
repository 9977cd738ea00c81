//! Texts that a regular expression needs: without one of them, it matches nothing.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind};

/// Texts of which at least one is in whatever the expression matches.
pub(super) type Needed = Vec<Vec<u8>>;

/// Bytes of a text at least: a single one, such as `/`, is in most paths.
const LENGTH_MIN: usize = 2;
/// Bytes of a text at most. As many of them may end at one byte of a path.
const LENGTH_MAX: usize = 64;
/// Characters of a class that a text may go on with, each in a text of its own.
const CLASS_MAX: usize = 4;
/// Texts of which one is needed, at most.
const TEXTS_MAX: usize = 16;
/// Parts of an expression with which texts may begin.
const PARTS_MAX: usize = 64;

/// Sets of texts that an expression needs, each by itself; none if there is no good one.
pub(super) fn needed(expression: &str) -> Vec<Needed> {
    let Ok(hir) = regex_syntax::parse(expression) else { return Vec::new() };
    let mut whole = &hir;
    while let HirKind::Capture(capture) = whole.kind() {
        whole = &capture.sub;
    }
    let parts = match whole.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Alternation(_) => std::slice::from_ref(whole),
    };
    // Whatever matches has a match of all that stands behind any part, and so one of the texts with
    // which those begin.
    let starts = 0..parts.len().min(PARTS_MAX);
    starts.filter_map(|start| beginnings(parts.get(start..)?)).collect()
}

/// Texts with which all begins that these parts match.
fn beginnings(parts: &[Hir]) -> Option<Needed> {
    let mut extractor = Extractor::new();
    extractor.limit_class(CLASS_MAX).limit_total(TEXTS_MAX).limit_literal_len(LENGTH_MAX);
    let sequence = extractor.extract(&Hir::concat(parts.to_vec()));
    let texts = sequence.literals()?;
    let texts: Needed = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let are_long = texts.iter().all(|text| (LENGTH_MIN..=LENGTH_MAX).contains(&text.len()));
    (are_long && !texts.is_empty() && texts.len() <= TEXTS_MAX).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_wherever_they_stand() {
        let table: &[(&str, &[&[&str]])] = &[
            ("^/u/[0-9]+$", &[&["/u/"]]),
            ("^/api/[a-z]+/svc17/\\d+", &[&["/api/"], &["/svc17/"]]),
            ("(/users|/orders)/x", &[&["/orders/x", "/users/x"]]),
            ("((/ab))", &[&["/ab"]]),
            ("(?:)", &[]),
            ("^/[a-z]+/[0-9]+$", &[]),
            ("x*", &[]),
            ("a|bc", &[]),
            ("[ab]c", &[&["ac", "bc"]]),
            ("(?i)ab", &[&["AB", "Ab", "aB", "ab"]]),
            ("(", &[]),
        ];
        for (expression, expected) in table {
            let mut found = needed(expression);
            found.iter_mut().for_each(|texts| texts.sort_unstable());
            let found: Vec<Vec<_>> = found
                .into_iter()
                .map(|texts| texts.into_iter().map(|t| String::from_utf8(t).unwrap()).collect())
                .collect();
            for texts in *expected {
                let is_there = found.iter().any(|one| one == texts);
                assert!(is_there, "{expression}: {found:?} {texts:?}");
            }
            assert_eq!(found.is_empty(), expected.is_empty(), "{expression}: {found:?}");
        }
    }
}

//! Calls of gRPC: how many ended how, and how long they took, by method.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Distribution;
use crate::service::grpc::Code;

/// Methods that are told apart; calls of further ones count together.
const METHODS_MAX: usize = 1_000;
/// Bytes of a method's name that are kept.
const NAME_MAX: usize = 256;

/// The calls of one method.
#[derive(Debug, Clone, Default)]
pub struct MethodCalls {
    /// How many ended with each status, in the order of [`Code::ALL`].
    pub ended: [u64; Code::ALL.len()],
    /// How long they took.
    pub took: Distribution,
}

impl MethodCalls {
    fn record(&mut self, code: Code, took: Duration) {
        self.ended[code.number()] += 1;
        self.took.record(took);
    }

    fn merge(&mut self, other: &Self) {
        self.ended.iter_mut().zip(other.ended).for_each(|(one, more)| *one += more);
        self.took.merge(&other.took);
    }
}

/// A worker's calls. Nothing is allocated for one of a method that is known.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    methods: BTreeMap<Box<str>, Box<MethodCalls>>,
    /// Those of no known method.
    other: Option<Box<MethodCalls>>,
}

impl Calls {
    /// A call has ended; `method` is its path where a server has answered it. It gets a name with
    /// the first call that succeeds: clients may make up others.
    pub(super) fn record(&mut self, method: Option<&str>, code: Code, took: Duration) {
        let may_add = code == Code::Ok && self.methods.len() < METHODS_MAX;
        self.change(method, may_add, |calls| calls.record(code, took));
    }

    /// Adds another worker's.
    pub(super) fn merge(&mut self, other: &Self) {
        for (method, calls) in &other.methods {
            self.change(Some(method), true, |own| own.merge(calls));
        }
        if let Some(calls) = &other.other {
            self.change(None, false, |own| own.merge(calls));
        }
    }

    /// Changes the calls of a method, which is told apart if it was before or `may_add` says so;
    /// else those of the others. A name is copied when it is new.
    fn change(
        &mut self,
        method: Option<&str>,
        may_add: bool,
        change: impl FnOnce(&mut MethodCalls),
    ) {
        let Self { methods, other } = self;
        if let Some(calls) = method.and_then(|method| methods.get_mut(method)) {
            return change(calls);
        }
        match method.filter(|method| may_add && method.len() <= NAME_MAX) {
            Some(method) => change(methods.entry(method.into()).or_default()),
            None => change(other.get_or_insert_default()),
        }
    }

    /// All methods with their calls, by name; `None` for those that are not told apart.
    #[must_use]
    pub fn all(&self) -> Vec<(Option<&str>, &MethodCalls)> {
        let named = self.methods.iter().map(|(name, calls)| (Some(&**name), &**calls));
        named.chain(self.other.iter().map(|calls| (None, &**calls))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn calls_are_counted_by_method_and_status_and_merged() {
        let (mut one, mut other) = (Calls::default(), Calls::default());
        one.record(Some("/a.B/C"), Code::Ok, MS);
        one.record(None, Code::Unimplemented, MS);
        one.record(Some("/made.Up/Name"), Code::PermissionDenied, MS);
        other.record(Some("/a.B/C"), Code::Ok, MS);
        other.record(Some("/a.B/C"), Code::Unavailable, MS);
        other.record(Some("/a.B/A"), Code::Ok, MS);
        one.merge(&other);
        let all = one.all();
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [Some("/a.B/A"), Some("/a.B/C"), None]);
        let calls = all[1].1;
        assert_eq!(calls.ended[Code::Ok.number()], 2);
        assert_eq!(calls.ended[Code::Unavailable.number()], 1);
        assert_eq!(calls.took.count(), 3);
        assert_eq!(all[2].1.ended[Code::Unimplemented.number()], 1);
        assert_eq!(all[2].1.ended[Code::PermissionDenied.number()], 1);
    }

    #[test]
    fn there_is_a_limit_to_the_methods_that_are_told_apart() {
        let mut calls = Calls::default();
        for number in 0..METHODS_MAX + 5 {
            calls.record(Some(&format!("/m/{number}")), Code::Ok, MS);
        }
        calls.record(Some("/m/0"), Code::Ok, MS);
        calls.record(Some(&"x".repeat(NAME_MAX + 1)), Code::Ok, MS);
        let all = calls.all();
        assert_eq!(all.len(), METHODS_MAX + 1);
        let rest = all.iter().find(|(name, _)| name.is_none());
        assert_eq!(rest.map(|(_, calls)| calls.took.count()), Some(6));
    }
}

//! Changes to the fields of requests and answers.

use super::template::{Template, Variables};
use crate::proto::http::Fields;

/// Fields that are removed, set, and added, in this order. Names are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that are removed.
    pub remove: Vec<Box<str>>,
    /// Fields that take the place of all others of their name.
    pub set: Vec<(Box<str>, Template)>,
    /// Fields that are added to others of their name.
    pub add: Vec<(Box<str>, Template)>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes `fields`. A field whose value is empty is set to nothing: it is only removed.
    pub fn apply(&self, fields: &mut Fields, variables: &dyn Variables) {
        for name in &self.remove {
            fields.remove(name.as_bytes());
        }
        for (name, value) in &self.set {
            fields.remove(name.as_bytes());
            push(fields, name, value, variables);
        }
        for (name, value) in &self.add {
            push(fields, name, value, variables);
        }
    }
}

fn push(fields: &mut Fields, name: &str, value: &Template, variables: &dyn Variables) {
    let mut is_empty = false;
    fields.push_with(name.as_bytes(), |out| {
        let before = out.len();
        value.write(variables, out);
        is_empty = out.len() == before;
    });
    if is_empty {
        fields.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::Names;
    use super::*;

    #[test]
    fn fields_are_removed_set_and_added() {
        let template = |text| Template::parse(text).unwrap();
        let edits = HeaderEdits {
            remove: vec!["a".into()],
            set: vec![("b".into(), template("$host")), ("d".into(), template(""))],
            add: vec![("c".into(), template("2"))],
        };
        let mut fields = Fields::default();
        for (name, value) in [("a", "1"), ("b", "1"), ("c", "1"), ("b", "2"), ("d", "3")] {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        edits.apply(&mut fields, &Names);
        let left: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(left, [(&b"c"[..], &b"1"[..]), (b"b", b"HOST"), (b"c", b"2")]);
        assert!(!edits.is_empty() && HeaderEdits::default().is_empty());
    }
}

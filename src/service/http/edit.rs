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

    /// Whether a field of this name, in lower case, is changed.
    #[must_use]
    pub fn names(&self, name: &[u8]) -> bool {
        let edited = self.set.iter().chain(&self.add).map(|(name, _)| name);
        self.remove.iter().chain(edited).any(|one| one.as_bytes() == name)
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
    use super::super::template::Purpose;
    use super::super::template::tests::Names;
    use super::*;

    fn edited(edits: &HeaderEdits, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        edits.apply(&mut fields, &Names);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.iter().map(|field| (text(field.name), text(field.value))).collect()
    }

    #[test]
    fn fields_are_removed_set_and_added() {
        let template = |text| Template::parse(text, Purpose::Log).unwrap();
        let edits = HeaderEdits {
            remove: vec!["a".into(), "z".into()],
            set: vec![("b".into(), template("$host")), ("d".into(), template("$query"))],
            add: vec![("c".into(), template("2")), ("a".into(), template("$$"))],
        };
        let table: [(&[_], &[_]); 3] = [
            (
                &[("a", "1"), ("b", "1"), ("c", "1"), ("b", "2"), ("d", "3"), ("e", "4")],
                &[("c", "1"), ("e", "4"), ("b", "HOST"), ("c", "2"), ("a", "$")],
            ),
            (&[("A", "1"), ("B", "1")], &[("b", "HOST"), ("c", "2"), ("a", "$")]),
            (&[], &[("b", "HOST"), ("c", "2"), ("a", "$")]),
        ];
        for (before, after) in table {
            let after: Vec<(String, String)> =
                after.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(edited(&edits, before), after);
        }
        assert!(!edits.is_empty() && HeaderEdits::default().is_empty());
        assert_eq!(edited(&HeaderEdits::default(), &[("a", "1")]).len(), 1);
    }

    #[test]
    fn no_value_adds_a_field() {
        let template = Template::parse("$referer", Purpose::Log).unwrap();
        let edits = HeaderEdits { set: vec![("a".into(), template)], ..HeaderEdits::default() };
        assert_eq!(edited(&edits, &[]), [("a".to_owned(), "a__x: y".to_owned())]);
    }
}

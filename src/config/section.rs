//! A typed reader of one table: keys are removed as they are read, so that what is left over at
//! the end is unknown.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::accept::{self, Fault};
use super::kinds::Kind;
use super::report::Mistake;
use super::schema::{ROOT, TableKeys};

/// What a file gives for a key.
#[derive(Debug)]
pub(super) enum Field<T> {
    /// Nothing.
    Nothing,
    /// Something that is not accepted, and is reported.
    Mistake,
    /// A value, with its place.
    Value(Spanned<T>),
}

impl<T> Field<T> {
    pub(super) fn value(self) -> Option<Spanned<T>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Mistake => None,
        }
    }

    /// The value, or what holds without one.
    pub(super) fn or(self, default: T) -> T {
        self.value().map_or(default, Spanned::into_inner)
    }
}

/// A key that must be there and is not.
struct Missing {
    key: &'static str,
    message: String,
    help: String,
}

/// A table that is being read.
pub(super) struct Section<'i, 'm> {
    /// The table, as the file writes it.
    title: String,
    keys: &'static [&'static str],
    /// Its header.
    span: Range<usize>,
    /// Whether what is missing in it is a mistake.
    is_whole: bool,
    entries: DeTable<'i>,
    missing: Vec<Missing>,
    /// Where keys of tables were set; `None` for one that was a mistake.
    places: Vec<(&'static str, Option<Range<usize>>)>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'i, 'm> Section<'i, 'm> {
    /// The table of a file itself.
    pub(super) fn root(table: DeTable<'i>, mistakes: &'m mut Vec<Mistake>) -> Self {
        let table = Spanned::new(0..0, DeValue::Table(table));
        Self::open(ROOT, Some(table), mistakes)
    }

    /// A table by its value. Without one, it is empty; what is no table is reported, and then
    /// nothing is missing in it.
    pub(super) fn open(
        schema: TableKeys,
        value: Option<Spanned<DeValue<'i>>>,
        mistakes: &'m mut Vec<Mistake>,
    ) -> Self {
        let span = value.as_ref().map(Spanned::span).unwrap_or_default();
        let got = value.as_ref().map_or("", |value| accept::kind(value.get_ref()));
        let (entries, is_whole) = match value.map(Spanned::into_inner) {
            Some(DeValue::Table(entries)) => (entries, true),
            None => (DeTable::new(), true),
            Some(_) => {
                let (name, keys) = (schema.table, schema.keys.join(", "));
                mistakes.push(Mistake::new(
                    span.clone(),
                    format!("expected a table, got {got}"),
                    format!("write it as {name}, with the keys: {keys}"),
                ));
                (DeTable::new(), false)
            }
        };
        Self {
            title: schema.table.to_owned(),
            keys: schema.keys,
            span,
            is_whole,
            entries,
            missing: Vec::new(),
            places: Vec::new(),
            mistakes,
        }
    }

    /// Nothing is missing in it: others may say the rest.
    pub(super) fn partial(self) -> Self {
        Self { is_whole: false, ..self }
    }

    /// Gives the table another title in messages.
    pub(super) fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }

    /// A table within this one.
    pub(super) fn nested(
        &mut self,
        schema: TableKeys,
        value: Spanned<DeValue<'i>>,
    ) -> Section<'i, '_> {
        let is_whole = self.is_whole;
        let section = Section::open(schema, Some(value), self.mistakes);
        if is_whole { section } else { section.partial() }
    }

    /// A key that may be there: a table.
    pub(super) fn table(&mut self, key: &str, schema: TableKeys) -> Option<Section<'i, '_>> {
        let value = self.take(key)?;
        Some(self.nested(schema, value))
    }

    /// All entries, for a table whose keys are names, in the order of the file.
    pub(super) fn into_entries(self) -> Vec<(Spanned<DeString<'i>>, Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
    }

    /// The keys that the table has, each with its place.
    pub(super) fn given(&self) -> Vec<Spanned<&'static str>> {
        let entry = |key: &&'static str| Some((*key, self.entries.get_key_value(*key)?.0.span()));
        let given = self.keys.iter().filter_map(entry);
        given.map(|(key, span)| Spanned::new(span, key)).collect()
    }

    /// Whether what is left over has a key that likely means this one.
    pub(super) fn has_misspelt(&self, key: &str) -> bool {
        let keys = || self.keys.iter().copied();
        let mut left = self.entries.iter();
        left.any(|(other, _)| accept::nearest(other.get_ref(), keys()) == Some(key))
    }

    pub(super) fn report(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// The value of a key as the file has it.
    pub(super) fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'i>>> {
        debug_assert!(self.keys.contains(&key), "{key} is a key of {}", self.title);
        self.entries.remove(key)
    }

    /// A key that may be there.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        accept: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Field<T> {
        let Some(value) = self.take(key) else {
            return Field::Nothing;
        };
        self.accept(key, &value, accept).map_or(Field::Mistake, Field::Value)
    }

    /// A key of a table, or what holds without it.
    pub(super) fn key<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
        default: impl FnOnce() -> K::Value,
    ) -> K::Value {
        // Some tables have only some of the keys of a group.
        if !self.keys.contains(&key) {
            return default();
        }
        match kind.read(key, self) {
            Field::Nothing => default(),
            Field::Mistake => {
                self.places.push((key, None));
                default()
            }
            Field::Value(value) => {
                self.places.push((key, Some(value.span())));
                value.into_inner()
            }
        }
    }

    /// Where a key that was read by [`Self::key`] is set, if it could be read.
    pub(super) fn place(&self, key: &str) -> Option<Range<usize>> {
        self.places.iter().find(|(own, _)| *own == key)?.1.clone()
    }

    /// Whether a key that was read by [`Self::key`] was no mistake.
    pub(super) fn is_good(&self, key: &str) -> bool {
        !self.places.iter().any(|(own, place)| *own == key && place.is_none())
    }

    /// Where two such keys are set that are held against each other: the second, or the first if
    /// only that is. `None` if neither is, or one could not be read.
    pub(super) fn later_key(&self, first: &str, second: &str) -> Option<Range<usize>> {
        if !self.is_good(first) || !self.is_good(second) {
            return None;
        }
        self.place(second).or_else(|| self.place(first))
    }

    /// A key that must be there, as in the example.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        accept: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Field<T> {
        let given = self.optional(key, accept);
        if matches!(given, Field::Nothing) {
            self.miss_key(key, example);
        }
        given
    }

    /// A key that must be there: one value or an array of them, at least one and at most `most`.
    /// Elements that are not accepted are left out.
    pub(super) fn required_list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        most: usize,
        accept: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Vec<Spanned<T>> {
        let Some(value) = self.take(key) else {
            self.miss_key(key, example);
            return Vec::new();
        };
        self.values(key, &value, &(1..=most), &format!("write {example}"), accept)
    }

    /// A key that may be there: one value or an array of them, whose number is limited. Elements
    /// that are not accepted are left out.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        counts: &RangeInclusive<usize>,
        accept: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let values = self.values(key, &value, counts, "write one value, or an array", accept);
        Some(values.into_iter().map(Spanned::into_inner).collect())
    }

    /// [`Self::list`], with the places of the values.
    pub(super) fn spanned_list<T>(
        &mut self,
        key: &str,
        counts: &RangeInclusive<usize>,
        accept: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Vec<Spanned<T>>> {
        let value = self.take(key)?;
        Some(self.values(key, &value, counts, "write one value, or an array", accept))
    }

    /// One value or an array of them.
    fn values<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'i>>,
        counts: &RangeInclusive<usize>,
        help: &str,
        accept: impl Fn(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Vec<Spanned<T>> {
        let Some(elements) = value.get_ref().as_array() else {
            return self.accept(key, value, accept).into_iter().collect();
        };
        self.check_count(key, value.span(), elements.len(), counts, help);
        let accepted = elements.iter().map(|element| self.accept(key, element, &accept));
        accepted.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// The number of values of a key is within its limits.
    pub(super) fn check_count(
        &mut self,
        key: &str,
        span: Range<usize>,
        count: usize,
        counts: &RangeInclusive<usize>,
        help: &str,
    ) {
        if !counts.contains(&count) {
            let (least, most) = (counts.start(), counts.end());
            self.report(Mistake::new(
                span,
                format!("`{key}`: expected {least} to {most} values, got {count}"),
                help,
            ));
        }
    }

    /// A key that may be there: a table whose keys are names that the file chooses, sorted by
    /// them. Entries that are not accepted are left out.
    pub(super) fn pairs<K: Ord, V>(
        &mut self,
        key: &str,
        counts: &RangeInclusive<usize>,
        names: &str,
        name: impl Fn(&str) -> Result<K, String>,
        accept: impl Fn(&DeValue<'_>) -> Result<V, Fault>,
    ) -> Vec<(K, V)> {
        let pairs = self.spanned_pairs(key, counts, names, name, accept);
        pairs.into_iter().map(|(name, value)| (name, value.into_inner())).collect()
    }

    /// [`Self::pairs`], with the places of their values.
    pub(super) fn spanned_pairs<K: Ord, V>(
        &mut self,
        key: &str,
        counts: &RangeInclusive<usize>,
        names: &str,
        name: impl Fn(&str) -> Result<K, String>,
        accept: impl Fn(&DeValue<'_>) -> Result<V, Fault>,
    ) -> Vec<(K, Spanned<V>)> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let (span, got) = (value.span(), accept::kind(value.get_ref()));
        let DeValue::Table(entries) = value.into_inner() else {
            self.report(Mistake::new(
                span,
                format!("`{key}`: expected a table, got {got}"),
                format!("write {names} with their values: {key} = {{ NAME = \"VALUE\" }}"),
            ));
            return Vec::new();
        };
        let help = format!("write {names} with their values");
        self.check_count(key, span, entries.len(), counts, &help);
        let mut pairs: Vec<(Spanned<K>, Spanned<V>)> = Vec::with_capacity(entries.len());
        for (written, value) in entries {
            let value = self.accept(key, &value, &accept);
            match (name(written.get_ref()), value) {
                (Ok(name), Some(value)) => {
                    pairs.push((Spanned::new(written.span(), name), value));
                }
                (Ok(_), None) => {}
                (Err(help), _) => {
                    let got = accept::quoted(written.get_ref());
                    let fault = Fault { expected: names.to_owned(), got, help };
                    self.report(of_fault(key, written.span(), fault));
                }
            }
        }
        pairs.sort_by(|one, other| {
            let (one, other) = (&one.0, &other.0);
            one.get_ref().cmp(other.get_ref()).then(one.span().start.cmp(&other.span().start))
        });
        for (one, other) in pairs.iter().zip(pairs.iter().skip(1)) {
            if one.0.get_ref() == other.0.get_ref() {
                self.mistakes.push(Mistake::new(
                    other.0.span(),
                    format!("`{key}`: the same name stands there already"),
                    "upper and lower case make no difference; remove one of them",
                ));
            }
        }
        pairs.into_iter().map(|(name, value)| (name.into_inner(), value)).collect()
    }

    /// Notes that a key is missing.
    pub(super) fn miss(&mut self, key: &'static str, message: String, help: String) {
        self.missing.push(Missing { key, message, help });
    }

    /// Reports the keys that are unknown and those that are missing. A missing key for which a
    /// misspelt one stands is one mistake, not two.
    pub(super) fn finish(self) {
        let Self { title, keys, span, is_whole, entries, mut missing, places: _, mistakes } = self;
        let list = keys.join(", ");
        for (key, _) in entries {
            let likely = accept::nearest(key.get_ref(), keys.iter().copied());
            let question = likely.map(|word| format!("did you mean `{word}`? "));
            mistakes.push(Mistake::new(
                key.span(),
                format!("unknown key `{}`", accept::shown(key.get_ref())),
                format!("{}Keys of {title} are: {list}", question.unwrap_or_default()),
            ));
            missing.retain(|missing| Some(missing.key) != likely);
        }
        for Missing { message, help, .. } in missing.into_iter().filter(|_| is_whole) {
            mistakes.push(Mistake::new(span.clone(), message, help));
        }
    }

    /// Notes that a key is missing, as in the example.
    pub(super) fn miss_key(&mut self, key: &'static str, example: &str) {
        let message = format!("missing key `{key}` in {}", self.title);
        self.miss(key, message, format!("add {example}"));
    }

    /// A value of a key, if it is accepted.
    pub(super) fn accept<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'i>>,
        accept: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        match accept(value.get_ref()) {
            Ok(accepted) => Some(Spanned::new(value.span(), accepted)),
            Err(fault) => {
                self.report(of_fault(key, value.span(), fault));
                None
            }
        }
    }
}

/// The mistake of a value that is not accepted.
pub(super) fn of_fault(key: &str, span: Range<usize>, fault: Fault) -> Mistake {
    let Fault { expected, got, help } = fault;
    Mistake::new(span, format!("`{key}`: expected {expected}, got {got}"), help)
}

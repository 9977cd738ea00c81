//! Tables of keys, each key declared once: its name, where it is kept, its type, what holds where
//! a file is silent, its kind, and a sentence on it with its unit.
//!
//! From the declaration come the structure, its default, reading, writing, the list of keys, the
//! JSON Schema, and their part of the reference, `docs/ringway.toml`.

use super::kinds::Kind;

/// A key as the schema and the reference describe it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyDescription {
    /// Its name.
    pub(super) key: &'static str,
    /// What it means and what values there are, with their unit.
    pub(super) doc: String,
    /// What holds without it, as a file writes it.
    pub(super) default: toml::Value,
    /// Its values, as JSON Schema.
    pub(super) schema: serde_json::Value,
}

/// Describes a key.
pub(super) fn describe<T, K: Kind<Value = T>>(
    key: &'static str,
    doc: &str,
    kind: &K,
    default: &T,
) -> KeyDescription {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    let doc = with_words(lines.join(" ").trim(), kind.words(), kind.none_word());
    KeyDescription { key, doc, default: kind.write(default), schema: kind.schema() }
}

/// Puts the values behind the first sentence, unless all of them are named anyway. The word for
/// none goes with them, unless it is explained by a sentence of its own.
fn with_words(doc: &str, words: Option<String>, none: Option<&str>) -> String {
    let named = |words: &str| words.split('"').skip(1).step_by(2).all(|word| doc.contains(word));
    let words = words.filter(|words| !words.starts_with('"') || !named(words));
    let Some(mut words) = words else { return doc.to_owned() };
    let none = none.map(|none| format!("\"{none}\""));
    if let Some(none) = none.filter(|none| !doc.contains(&format!("{none}: "))) {
        words = format!("{words}, or {none}");
    }
    let (first, rest) = match doc.split_once(". ") {
        Some((first, rest)) => (first, format!(" {rest}")),
        None => (doc.trim_end_matches('.'), String::new()),
    };
    format!("{first}: {words}.{rest}")
}

/// Declares a structure whose fields are keys of a table: see the module.
///
/// ```ignore
/// table! {
///     /// Bytes of a thing.
///     #[derive(Debug, Clone, PartialEq)]
///     pub struct Thing {
///         /// Bytes of it.
///         "size_max" size_max: u32 = 1024, Bytes(1..=1 << 20);
///     }
/// }
/// ```
macro_rules! table {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:literal $field:ident: $type:ty = $default:expr, $kind:expr;
            )*
            $( .. {
                $(
                    $(#[$rest_meta:meta])*
                    $rest:ident: $rest_type:ty = $rest_default:expr;
                )*
            } )?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $( $( $(#[$rest_meta])* pub $rest: $rest_type, )* )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: $default, )*
                    $( $( $rest: $rest_default, )* )?
                }
            }
        }

        impl $name {
            /// Its keys, in the order of the documentation.
            pub(in crate::config) const KEYS: &'static [&'static str] = &[$( $key, )*];

            /// Reads its keys.
            pub(in crate::config) fn read(
                section: &mut $crate::config::section::Section<'_, '_>,
            ) -> Self {
                Self {
                    $( $field: section.key($key, &$kind, || $default), )*
                    $( $( $rest: $rest_default, )* )?
                }
            }

            /// Its keys with their values, in the order of the documentation.
            pub(in crate::config) fn lines(&self) -> Vec<(&'static str, toml::Value)> {
                use $crate::config::kinds::Kind as _;
                vec![$( ($key, $kind.write(&self.$field)), )*]
            }

            /// Its keys as the schema describes them.
            pub(in crate::config) fn describe() -> Vec<$crate::config::table::KeyDescription> {
                vec![$(
                    $crate::config::table::describe::<$type, _>(
                        $key, concat!($( $doc, "\n", )+), &$kind, &$default,
                    ),
                )*]
            }
        }
    };
}

pub(in crate::config) use table;

//! Tables of keys, each key declared once: its name, where it is kept, its type, what holds where
//! a file is silent, its kind, and a sentence on it with its unit.
//!
//! From the declaration come the structure, its default, reading, writing, the list of keys, and
//! the JSON Schema. `docs/ringway.toml` is written by hand; a test compares its keys and defaults.

use super::kinds::Kind;

/// A key as the schema describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyDescription {
    /// Its name.
    pub(super) key: &'static str,
    /// What it means, with its unit.
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
    let doc = lines.join(" ").trim().to_owned();
    KeyDescription { key, doc, default: kind.write(default), schema: kind.schema() }
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

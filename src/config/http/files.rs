//! Keys of a route with `files` that have a form of their own.

use serde_json::{Value as Schema, json};
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::super::accept::{Fault, parsed};
use super::super::kinds::{Custom, Kind, List};
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept::{error_status, field_value, media_type, url_path};
use super::schema::TRY_FILES_MAX;
use crate::service::http::files::attempt::Attempt;
use crate::service::http::files::path::file_name;

/// `try_files`.
pub(super) struct TryFiles;

impl TryFiles {
    const LIST: List<Custom<Attempt>> = List {
        counts: 1..=TRY_FILES_MAX,
        each: Custom {
            accept: try_file,
            write: |file| Value::from(file.to_string()),
            schema: || json!({ "type": "string" }),
        },
    };
}

impl Kind for TryFiles {
    type Value = Vec<Attempt>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Vec<Attempt>, Fault> {
        Self::LIST.accept(value)
    }

    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<Vec<Attempt>> {
        let Some(given) = section.spanned_list(key, &Self::LIST.counts, try_file) else {
            return Field::Nothing;
        };
        for (at, one) in given.iter().enumerate() {
            let is_last = at + 1 == given.len();
            if matches!(one.get_ref(), Attempt::Status(_)) && !is_last {
                let message = format!("`try_files`: nothing is tried after \"{}\"", one.get_ref());
                section.report(Mistake::new(one.span(), message, "move it to the end"));
            }
            if given.iter().take(at).any(|other| other.get_ref() == one.get_ref()) {
                let message = format!("`try_files`: \"{}\" is there already", one.get_ref());
                section.report(Mistake::new(one.span(), message, "remove it"));
            }
        }
        let files = given.into_iter().map(Spanned::into_inner).collect();
        Field::Value(Spanned::new(0..0, files))
    }

    fn write(&self, value: &Vec<Attempt>) -> Value {
        Self::LIST.write(value)
    }

    fn schema(&self) -> Schema {
        Self::LIST.schema()
    }
}

fn try_file(value: &DeValue<'_>) -> Result<Attempt, Fault> {
    const EXPECTED: &str = "\"$path\", \"$path/\", a file as in \"/index.html\", or \"=404\"";
    parsed(value, EXPECTED, |text| {
        if let Some(status) = text.strip_prefix('=') {
            return error_status(status).map(Attempt::Status);
        }
        if let Some(behind) = text.strip_prefix("$uri") {
            return Err(format!("the path is `$path` here: write \"$path{behind}\""));
        }
        match text.strip_prefix("$path") {
            Some("/") => Ok(Attempt::Folder),
            Some("") => Ok(Attempt::Path("".into())),
            Some(behind) => {
                // Behind a name it begins a new segment, or goes on with the last one.
                let path = if behind.starts_with('/') { behind } else { &format!("/x{behind}") };
                file_path(path)?;
                match behind.contains(['%', '$']) {
                    true => Err("write the end of a name, as in \"$path.html\"".to_owned()),
                    false => Ok(Attempt::Path(behind.into())),
                }
            }
            None if text.starts_with('/') => {
                file_path(text)?;
                let mut name = String::new();
                // A file that is named here may begin with a dot.
                file_name(text, true, &mut name)
                    .map_err(|_no_name| "no file can have this name".to_owned())?;
                Ok(Attempt::File(name.into()))
            }
            None => Err(format!("write {EXPECTED}")),
        }
    })
}

/// Checks that a path names a file.
fn file_path(text: &str) -> Result<(), String> {
    url_path(text)?;
    let is_odd = |segment: &str| segment.is_empty() || segment.contains("%2F");
    match text.split('/').skip(1).any(is_odd) {
        true => Err("name a file, without `//`, `%2F` or a `/` at the end".to_owned()),
        false => Ok(()),
    }
}

/// The end of the names of files that have a type.
pub(super) fn extension(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+~.".contains(&byte);
    let is_good = (1..=64).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.split('.').any(str::is_empty);
    let help = "write the end of a name without its dot, as in \"wasm\" or \"tar.gz\"";
    is_good.then(|| text.to_ascii_lowercase()).ok_or_else(|| help.to_owned())
}

/// A content type, perhaps with parameters.
pub(super) fn content_type(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "a content type", |text| {
        let kind = text.split(';').next().unwrap_or_default().trim_ascii_end();
        media_type(kind, false)
            .map_err(|_| "write a type as in \"text/html; charset=utf-8\"".to_owned())?;
        field_value(text)
    })
}

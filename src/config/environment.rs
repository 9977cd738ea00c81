//! Variables of the environment in the texts of a file: `${NAME}`, and `${NAME:-DEFAULT}` where it
//! may be missing.
//!
//! Names are of upper case, as those of variables of templates are not: `${host}` stays. Behind
//! another `$` nothing is replaced, as `$$` is a dollar in templates.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accept;
use super::report::Mistake;

/// Returns the value of a variable, if it is set.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces the variables in all texts of a file.
pub(super) fn replace(
    table: &mut DeTable<'_>,
    variables: &Variables<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    for (_, value) in table.iter_mut() {
        replace_in(value, variables, mistakes);
    }
}

fn replace_in(
    value: &mut Spanned<DeValue<'_>>,
    variables: &Variables<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => match expand(text, variables) {
            Ok(None) => {}
            Ok(Some(expanded)) => *text = expanded.into(),
            Err(Fault { message, help }) => mistakes.push(Mistake::new(span, message, help)),
        },
        DeValue::Array(values) => {
            values.iter_mut().for_each(|value| replace_in(value, variables, mistakes));
        }
        DeValue::Table(table) => replace(table, variables, mistakes),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

/// Why a variable has no value.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    message: String,
    help: String,
}

/// The text with its variables replaced; `None` if it has none.
fn expand(text: &str, variables: &Variables<'_>) -> Result<Option<String>, Fault> {
    let (mut out, mut rest) = (String::new(), text);
    let mut has_any = false;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(behind) = from.strip_prefix("$$") {
            out.push_str("$$");
            rest = behind;
            continue;
        }
        let Some(reference) = from.strip_prefix("${").filter(|inner| starts_name(inner)) else {
            out.push('$');
            rest = &from[1..];
            continue;
        };
        let end = reference.find('}').ok_or_else(|| Fault {
            message: format!("`${{{}` has no `}}` at its end", accept::shown(reference)),
            help: "write ${NAME}, or ${NAME:-DEFAULT}".to_owned(),
        })?;
        out.push_str(&value_of(&reference[..end], variables)?);
        (has_any, rest) = (true, &reference[end + 1..]);
    }
    // Most texts have none: they are not copied.
    Ok(has_any.then(|| out + rest))
}

fn starts_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
}

/// The value of what stands between the braces.
fn value_of(reference: &str, variables: &Variables<'_>) -> Result<String, Fault> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let is_sign = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.bytes().all(is_sign) {
        return Err(Fault {
            message: format!("`{}` is no name of a variable", accept::shown(name)),
            help: "a name has letters A-Z, digits and `_`; write ${NAME}, or ${NAME:-DEFAULT}"
                .to_owned(),
        });
    }
    // As in a shell, the default also replaces an empty variable.
    let value = variables(name).filter(|value| default.is_none() || !value.is_empty());
    value.or_else(|| default.map(str::to_owned)).ok_or_else(|| Fault {
        message: format!("the environment has no variable `{}`", accept::shown(name)),
        help: format!("set it, or write what holds without it: ${{{name}:-DEFAULT}}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<Option<String>, String> {
        let variables = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${PORT}".to_owned()),
            _ => None,
        };
        expand(text, &variables).map_err(|fault| fault.message)
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("127.0.0.1:${PORT}", "127.0.0.1:8080"),
            ("${PORT}${PORT}", "80808080"),
            ("${NONE:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${PORT:-x}", "8080"),
            ("${EMPTY}|", "|"),
            ("${EMPTY:-x}", "x"),
            // References in the value of a variable are not replaced.
            ("${NESTED}", "${PORT}"),
            ("$${PORT} ${PORT}", "$${PORT} 8080"),
            ("$$${PORT}", "$$8080"),
            ("${host} ${PORT} $path", "${host} 8080 $path"),
        ] {
            assert_eq!(expanded(text), Ok(Some(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn texts_without_variables_stay() {
        for text in ["", "$", "$$", "a$", "$path", "${host}", "${}", "${1}", "$${PORT}", "{PORT}"] {
            assert_eq!(expanded(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_refused() {
        for (text, word) in [
            ("${NONE}", "no variable `NONE`"),
            ("${PORT", "has no `}`"),
            ("${PO-RT}", "no name of a variable"),
            ("${PORTé}", "no name of a variable"),
            ("a ${_}", "no variable `_`"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}

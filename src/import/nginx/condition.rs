//! `if`: the conditions that a route of Ringway can have.

use super::super::convert;
use super::super::regex;
use super::parse::Directive;

/// What an `if` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whether the request came by TLS: it has to, or has not to.
    Tls(bool),
    Hosts {
        names: Vec<String>,
        is: bool,
    },
    Methods {
        names: Vec<String>,
        is: bool,
    },
    Header {
        name: String,
        value: String,
    },
    Path {
        regex: String,
    },
    Exact {
        path: String,
    },
    /// It is not understood.
    Unknown,
}

/// Reads the condition of an `if`.
pub(super) fn condition(directive: &Directive) -> Condition {
    let mut words: Vec<&str> = directive.args.iter().map(String::as_str).collect();
    if let Some(first) = words.first_mut() {
        *first = first.strip_prefix('(').unwrap_or(first);
    }
    if let Some(last) = words.last_mut() {
        *last = last.strip_suffix(')').unwrap_or(last);
    }
    let bare = |word: &&str| !word.is_empty();
    // `( $a = b )` has its parentheses as words of their own; a value may be empty.
    if words.first().is_some_and(|word| !bare(word)) {
        words.remove(0);
    }
    if words.len() > 3 && words.last().is_some_and(|word| !bare(word)) {
        words.pop();
    }
    match words.as_slice() {
        [variable, operator, value] => {
            let Some(variable) = variable.strip_prefix('$') else { return Condition::Unknown };
            compared(variable, operator, value).unwrap_or(Condition::Unknown)
        }
        ["$https"] => Condition::Tls(true),
        _ => Condition::Unknown,
    }
}

fn compared(variable: &str, operator: &str, value: &str) -> Option<Condition> {
    let is = match operator {
        "=" | "~" | "~*" => true,
        "!=" | "!~" | "!~*" => false,
        _ => return None,
    };
    let is_regex = operator.contains('~');
    match variable {
        "scheme" if !is_regex => match value {
            "http" => Some(Condition::Tls(!is)),
            "https" => Some(Condition::Tls(is)),
            _ => None,
        },
        "https" if !is_regex => match value {
            "on" => Some(Condition::Tls(is)),
            "" => Some(Condition::Tls(!is)),
            _ => None,
        },
        "host" | "http_host" => {
            let names = if is_regex { alternatives(value)? } else { vec![value.to_owned()] };
            let names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            let all_hosts = names.iter().all(|name| convert::is_host(name) && !name.contains('*'));
            all_hosts.then_some(Condition::Hosts { names, is })
        }
        "request_method" => {
            let names = if is_regex { alternatives(value)? } else { vec![value.to_owned()] };
            let is_method = |name: &String| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase())
            };
            names.iter().all(is_method).then_some(Condition::Methods { names, is })
        }
        "uri" | "request_uri" | "document_uri" if is && is_regex => {
            let regex = regex::translated(value, operator == "~*").ok()?;
            (variable != "request_uri" || is_beginning(&regex)).then_some(Condition::Path { regex })
        }
        // A query would be a part of this value, and so would be escapes.
        "request_uri" if value.contains(['?', '%']) => None,
        "uri" | "request_uri" | "document_uri" if is => {
            convert::path(value).ok().map(|path| Condition::Exact { path })
        }
        _ => {
            let name = variable.strip_prefix("http_").filter(|_| is && !is_regex)?;
            let is_value = !value.is_empty() && value.trim() == value && value.is_ascii();
            let name = name.replace('_', "-");
            (is_value && convert::is_field(&name))
                .then(|| Condition::Header { name, value: value.to_owned() })
        }
    }
}

/// Whether an expression asks for the beginning of a path alone: it means the same of a path with
/// its query.
fn is_beginning(regex: &str) -> bool {
    let bare = regex.strip_prefix("(?i)").unwrap_or(regex);
    let text = bare.strip_suffix("(.*)").or_else(|| bare.strip_suffix(".*")).unwrap_or(bare);
    let start = regex::leading_text(text);
    start.starts_with('/') && format!("^{}", regex::literal(&start)) == text
}

/// The texts that an expression such as `^(GET|HEAD)$` stands for.
fn alternatives(regex: &str) -> Option<Vec<String>> {
    let inner = regex.strip_prefix('^')?.strip_suffix('$')?;
    let group = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    let list = match group {
        Some(group) => group.strip_prefix("?:").unwrap_or(group),
        // Without a group, `^` and `$` belong to the first and last alternative alone.
        None if inner.contains('|') => return None,
        None => inner,
    };
    let texts: Vec<String> = list.split('|').map(|text| text.replace("\\.", "\0")).collect();
    let is_plain = |text: &String| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == 0)
    };
    let all_plain = texts.iter().all(is_plain);
    all_plain.then(|| texts.iter().map(|text| text.replace('\0', ".")).collect())
}

/// Whether the block of an `if` refuses requests.
pub(super) fn refuses(directive: &Directive) -> bool {
    directive.inner().iter().any(|inner| match inner.name.as_str() {
        "return" => convert::digits(inner.arg(0)).is_some_and(|status| status >= 400),
        "deny" | "auth_basic" | "limit_req" | "auth_request" => true,
        _ => false,
    })
}

/// Whether the block of an `if` keeps requests from what stands behind it.
pub(super) fn answers(directive: &Directive) -> bool {
    // A request without a file goes to another location: none is refused.
    let is_of_files = directive.args.first().is_some_and(|word| {
        let test = word.trim_start_matches(['(', '!']);
        matches!(test, "-f" | "-d" | "-e" | "-x")
    });
    let keeps = |inner: &Directive| match inner.name.as_str() {
        "return" => true,
        "rewrite" => !is_of_files || super::rewrite::redirect_status(inner).is_some(),
        _ => false,
    };
    refuses(directive) || directive.inner().iter().any(keeps)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn conditions_are_read() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let methods = Condition::Methods { names: list(&["GET", "HEAD"]), is: false };
        let header = Condition::Header { name: "x-a".to_owned(), value: "b".to_owned() };
        let table = [
            ("($scheme != https)", Condition::Tls(false)),
            ("($scheme = \"http\")", Condition::Tls(false)),
            ("( $scheme = https )", Condition::Tls(true)),
            ("($https = \"\")", Condition::Tls(false)),
            (
                "($host = www.A.example)",
                Condition::Hosts { names: list(&["www.a.example"]), is: true },
            ),
            ("($host ~ ^a\\.b$)", Condition::Hosts { names: list(&["a.b"]), is: true }),
            ("($host ~ a)", Condition::Unknown),
            ("($request_method !~ ^(GET|HEAD)$)", methods),
            ("($http_x_a = b)", header),
            ("($http_user_agent ~* bot)", Condition::Unknown),
            ("($request_uri ~* ^/a)", Condition::Path { regex: "(?i)^/a".to_owned() }),
            ("($request_uri ~ ^/a/(.*))", Condition::Path { regex: "^/a/(.*)".to_owned() }),
            ("($uri ~ x$)", Condition::Path { regex: "x$".to_owned() }),
            ("($request_uri ~ \"x|\\?cmd=\")", Condition::Unknown),
            ("($request_uri ~ ^/x$)", Condition::Unknown),
            ("($request_uri ~ ^/[^/]+/x)", Condition::Unknown),
            ("($request_uri = /n/x?y)", Condition::Unknown),
            ("($server_name = a.example)", Condition::Unknown),
            ("(-f $request_filename)", Condition::Unknown),
            ("($bad)", Condition::Unknown),
            ("", Condition::Unknown),
        ];
        for (text, expected) in table {
            let text = format!("if {text} {{ return 403; }}");
            let directives = parse("t", &text, &|_| Ok(Vec::new())).expect(&text);
            let directive = directives.first().expect("one");
            assert_eq!(condition(directive), expected, "{text}");
            assert!(refuses(directive));
        }
    }
}

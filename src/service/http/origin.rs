//! Pages of which sites may open a WebSocket (RFC 6455, section 10.2): browsers tell where a page
//! is from, and send cookies whoever has made the page.

use crate::proto::http::Fields;

/// Whether the page of a handshake may open a socket. A client that is no browser tells of no page.
/// `same` admits pages of the host that was asked, `own` is its scheme and authority; `others` are
/// origins in lower case.
#[must_use]
pub fn is_allowed(fields: &Fields, same: bool, own: (&str, &str), others: &[Box<str>]) -> bool {
    let mut origins = fields.all_named(b"origin");
    let Some(origin) = origins.next() else { return true };
    if origins.next().is_some() {
        return false;
    }
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let origin = origin.trim().to_ascii_lowercase();
    // A page by HTTP behind a proxy that ends TLS is of the same host all the same.
    let is_same = origin
        .split_once("://")
        .is_some_and(|(scheme, host)| without_port(scheme, host) == without_port(own.0, own.1));
    same && is_same || others.iter().any(|other| **other == *origin)
}

/// An authority without the port that its scheme has anyway.
fn without_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let ends = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(ends).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_same_host_and_those_that_are_listed_may() {
        let others = ["https://a.example".into()];
        let cases: [(&[&str], bool, bool); 9] = [
            (&[], true, true),
            (&["http://host:8080"], true, false),
            (&["HTTP://Host:8080"], true, false),
            (&["http://host"], false, false),
            (&["http://other:8080"], false, false),
            (&["https://a.example"], true, true),
            (&["https://a.example.evil"], false, false),
            (&["null"], false, false),
            (&["http://host:8080", "https://a.example"], false, false),
        ];
        for (lines, allowed, without_same) in cases {
            let mut fields = Fields::default();
            lines.iter().for_each(|line| fields.push(b"origin", line.as_bytes()));
            let own = ("http", "host:8080");
            assert_eq!(is_allowed(&fields, true, own, &others), allowed, "{lines:?}");
            assert_eq!(is_allowed(&fields, false, own, &others), without_same, "{lines:?}");
        }
        let mut fields = Fields::default();
        fields.push(b"origin", b"https://host");
        assert!(
            is_allowed(&fields, true, ("https", "host:443"), &[]),
            "the port goes without saying"
        );
    }
}

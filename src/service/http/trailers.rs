//! Which trailers are passed on.

use super::edit::HeaderEdits;
use super::forwarded::is_of_forwarding;
use crate::proto::http::Fields;

/// Fields that have no place in trailers (RFC 9110, section 6.5.1): a recipient acts on them before
/// the body, so that in trailers they could only mislead. By what they are about.
const FORBIDDEN: [&[u8]; 46] = [
    // Framing and the connection.
    b"connection",
    b"content-length",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    // Routing.
    b"host",
    b"max-forwards",
    b"via",
    // Modifiers and conditions of requests.
    b"cache-control",
    b"expect",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"pragma",
    b"prefer",
    b"range",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    // Authentication and identity.
    b"authorization",
    b"cookie",
    b"cookie2",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"set-cookie",
    b"set-cookie2",
    b"www-authenticate",
    // Control of answers.
    b"age",
    b"date",
    b"expires",
    b"location",
    b"retry-after",
    b"server",
    b"vary",
    b"warning",
    // The form of the content.
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-location",
    b"content-range",
    b"content-type",
];

/// What decides which trailers are passed on, besides their names.
#[derive(Debug, Clone, Copy)]
pub struct TrailerRules<'a> {
    /// The edits of heads in that direction. `None`: they are not known, and nothing is passed on.
    pub edits: Option<&'a HeaderEdits>,
    /// The name of the field with the identity of a request, if there is one.
    pub request_id: Option<&'a str>,
    /// Whether names may have a `_`.
    pub underscores: bool,
}

/// Drops the trailers that must not be passed on: those that have no place there, those that say
/// who a request is from, and those that an edit of heads sets, adds or removes, as a trailer would
/// bypass it. Returns how many went for the `_` in their names.
pub fn filter(trailers: &mut Fields, rules: TrailerRules<'_>) -> u16 {
    let Some(edits) = rules.edits else {
        trailers.clear();
        return 0;
    };
    let mut underscored = 0;
    trailers.retain(|field| {
        let name = field.name;
        if !rules.underscores && name.contains(&b'_') {
            underscored += 1;
            return false;
        }
        let is_id = rules.request_id.is_some_and(|id| id.as_bytes() == name);
        !is_id && !FORBIDDEN.contains(&name) && !is_of_forwarding(name) && !edits.names(name)
    });
    underscored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::http::template::{Purpose, Template};

    #[test]
    fn only_what_changes_nothing_is_passed_on() {
        let text = |value: &str| Template::parse(value, Purpose::Field).unwrap();
        let edits = HeaderEdits {
            remove: vec!["x-gone".into()],
            set: vec![("x-user".into(), text("$path"))],
            add: vec![("x-more".into(), text("1"))],
        };
        let mut trailers = Fields::default();
        let kept = ["grpc-status", "x-checksum", "etag", "digest", "server-timing"];
        let dropped = [
            "X-Forwarded-For",
            "Forwarded",
            "X-Forwarded-Port",
            "X-Real-IP",
            "X-Gone",
            "X-USER",
            "X-More",
            "X-Request-Id",
            "Authorization",
            "Set-Cookie",
            "Content-Length",
            "Host",
        ];
        for name in kept.iter().chain(&dropped) {
            trailers.push(name.as_bytes(), b"6.6.6.6");
        }
        let rules = TrailerRules {
            edits: Some(&edits),
            request_id: Some("x-request-id"),
            underscores: false,
        };
        trailers.push(b"x_user", b"6.6.6.6");
        assert_eq!(filter(&mut trailers, rules), 1);
        let left: Vec<_> =
            trailers.iter().map(|field| String::from_utf8_lossy(field.name)).collect();
        assert_eq!(left, kept);
        trailers.push(b"x_user", b"6.6.6.6");
        assert_eq!(filter(&mut trailers, TrailerRules { underscores: true, ..rules }), 0);
        assert_eq!(trailers.len(), kept.len() + 1);
        filter(&mut trailers, TrailerRules { edits: None, ..rules });
        assert!(trailers.is_empty());
        assert!(FORBIDDEN.iter().all(|name| name.to_ascii_lowercase() == *name));
    }
}

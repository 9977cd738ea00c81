//! Which interim answers of servers go on to a client, and what of them (RFC 9110, section 15.2).

use super::edit::HeaderEdits;
use crate::proto::http::{Fields, Version};

/// Whether an interim answer with `status` is passed on to a client that speaks `version`.
///
/// - HTTP/1.0 has no interim answers, so that a client would take one for the answer.
/// - `100 Continue` is the proxy's own: a client that waits for it has had it before the request
///   went to a server, and the server was not asked for one.
/// - `101 Switching Protocols` is not an interim answer here: it ends HTTP on the connection.
#[must_use]
pub const fn passes(status: u16, version: Version) -> bool {
    matches!(status, 102..=199) && matches!(version, Version::Http11 | Version::Http2)
}

/// Drops the fields of an interim answer that an edit of the route's answers sets, adds or removes,
/// as an interim answer would bypass it.
pub fn filter(fields: &mut Fields, edits: &HeaderEdits) {
    fields.retain(|field| !edits.names(field.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_pass_to_clients_that_know_them() {
        for (status, version, expected) in [
            (100, Version::Http11, false),
            (101, Version::Http11, false),
            (102, Version::Http11, true),
            (103, Version::Http11, true),
            (199, Version::Http11, true),
            (200, Version::Http11, false),
            (103, Version::Http10, false),
        ] {
            assert_eq!(passes(status, version), expected, "{status} {version:?}");
        }
    }

    #[test]
    fn what_an_edit_names_does_not_pass_in_a_hint() {
        let mut fields = Fields::default();
        fields.push(b"link", b"</a.css>; rel=preload");
        fields.push(b"x-inner", b"1");
        let edits = HeaderEdits { remove: vec!["x-inner".into()], ..HeaderEdits::default() };
        filter(&mut fields, &edits);
        assert_eq!((fields.len(), fields.get_named(b"x-inner")), (1, None));
    }
}

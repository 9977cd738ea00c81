//! The page that tries WebSockets: an endpoint of echo and one of topics, which it finds below its
//! own path as `echo` and `topics`.
//!
//! The page has a script, unlike the others. Browsers run that one and no other, load nothing from
//! elsewhere, and connect to nothing but the host that the page is from.

use super::page;
use crate::proto::http::Fields;

/// What stands between the style sheet and the script.
const CONTENT: &str = include_str!("websocket_page/page.html");
/// The style sheet, in addition to that of all pages.
const STYLE: &str = include_str!("websocket_page/style.css");
const SCRIPT: &str = include_str!("websocket_page/script.js");
/// The hash of [`STYLE`], as a policy has it (CSP Level 3, section 2.3.1).
const STYLE_HASH: &str = "sha256-By1OJy6UR/0Axs08pDonSkWztn/1sEXZMNy4uWg/9u0=";
/// The hash of [`SCRIPT`].
const SCRIPT_HASH: &str = "sha256-mUkrilKl9JkoDKFQrYLgacQD0izblhmOTWdGO5yzKgY=";

/// Fields whose values are the same in all answers.
const FIELDS: [(&[u8], &[u8]); 6] = [
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    // A page that is isolated from others gets a clock of a finer resolution from browsers, which
    // round trips on one machine need.
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
];

/// The fields of an answer whose body is the page. `scheme` and `authority` are those that were
/// asked.
pub fn describe(scheme: &str, authority: &str, fields: &mut Fields) {
    page::describe_with(policy(scheme, authority).as_bytes(), fields);
    for (name, value) in FIELDS {
        fields.push(name, value);
    }
}

/// What browsers are held to.
fn policy(scheme: &str, authority: &str) -> String {
    let own = page::STYLE_HASH;
    let mut policy = format!(
        "default-src 'none'; style-src '{own}' '{STYLE_HASH}'; script-src '{SCRIPT_HASH}'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         connect-src 'self'"
    );
    // For browsers to which `'self'` is of HTTP alone. What could end the directive is in no name
    // of a host that exists, and addresses of IPv6 cannot be written there.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if !authority.is_empty() && authority.bytes().all(is_plain) {
        let scheme = if scheme == "https" { "wss" } else { "ws" };
        policy.push_str(&format!(" {scheme}://{authority}"));
    }
    policy
}

/// Writes the page.
pub fn write(out: &mut Vec<u8>) {
    page::begin_styled("WebSocket", Some(STYLE), out);
    out.extend_from_slice(CONTENT.as_bytes());
    out.extend_from_slice(b"<script>");
    out.extend_from_slice(SCRIPT.as_bytes());
    out.extend_from_slice(b"</script>\n");
    page::end(out);
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use sha2::{Digest, Sha256};

    use super::*;

    fn hash(text: &str) -> String {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
        format!("sha256-{hash}")
    }

    /// The contents of all elements of a name.
    fn contents<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        let parts = page.split(&start).skip(1);
        parts.map(|part| part.split_once(&end).expect("it ends").0).collect()
    }

    fn page() -> String {
        let mut page = Vec::new();
        write(&mut page);
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn the_policy_has_the_hashes_of_the_styles_and_of_the_script() {
        assert_eq!(STYLE_HASH, hash(STYLE), "STYLE_HASH is that of an earlier style sheet");
        assert_eq!(SCRIPT_HASH, hash(SCRIPT), "SCRIPT_HASH is that of an earlier script");
        let (page, policy) = (page(), policy("http", "a:1"));
        for (name, count) in [("style", 2), ("script", 1)] {
            let found = contents(&page, name);
            assert_eq!(found.len(), count, "{name}");
            assert_eq!(page.matches(&format!("<{name}")).count(), count, "{name}");
            let hashes: Vec<String> =
                found.iter().map(|text| format!("'{}'", hash(text))).collect();
            let directive = format!("; {name}-src {};", hashes.join(" "));
            assert!(policy.contains(&directive), "{directive} is not in {policy}");
        }
    }

    #[test]
    fn sockets_go_to_the_host_that_was_asked_and_it_writes_no_policy() {
        for (scheme, authority, sources) in [
            ("http", "127.0.0.1:8080", "'self' ws://127.0.0.1:8080"),
            ("https", "a-b.example", "'self' wss://a-b.example"),
            ("http", "[::1]:8080", "'self'"),
            ("http", "a;script-src", "'self'"),
            ("http", "a,b", "'self'"),
            ("http", "*", "'self'"),
            ("http", "", "'self'"),
        ] {
            let policy = policy(scheme, authority);
            let (_, found) = policy.split_once("; connect-src ").unwrap();
            assert_eq!(found, sources, "{authority}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_makes_no_markup_of_texts() {
        let page = page();
        assert!(page.is_ascii(), "it is read right whatever the coding");
        for gone in [
            "://",
            "url(",
            "@import",
            "import(",
            " src=",
            " href=",
            " style=",
            " action=",
            " onclick=",
            " onload=",
            " onerror=",
            " onsubmit=",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "javascript:",
            "Storage",
            "cookie",
            "fetch(",
        ] {
            let text = [STYLE, CONTENT, SCRIPT].concat();
            let line = text.lines().find(|line| line.contains(gone));
            assert_eq!(line, None, "{gone}");
        }
    }
}

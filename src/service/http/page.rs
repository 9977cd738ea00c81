//! Pages for people: of a status, of a folder, of what runs. They are one document each, with a
//! small style sheet in it: nothing from elsewhere, readable on a phone and in the dark. Only the
//! one that tries WebSockets has a script.

use std::fmt;

use super::access_log::text;
use crate::proto::http::{Fields, Known, status};

/// The field that holds browsers to what these pages are made of.
const POLICY_FIELD: &[u8] = b"content-security-policy";
/// The hash of [`STYLE`], as a policy has it.
pub(super) const STYLE_HASH: &str = "sha256-yjI8YwHPPdy4gi3nnvoXP6NjG4alR+L4qMpBGbVpp1E=";
/// Its value for pages without a script; the hash is [`STYLE_HASH`].
const POLICY: &[u8] = b"default-src 'none'; \
    style-src 'sha256-yjI8YwHPPdy4gi3nnvoXP6NjG4alR+L4qMpBGbVpp1E='; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The fields of an answer whose body is such a page.
pub fn describe(fields: &mut Fields) {
    describe_with(POLICY, fields);
}

/// The same with another policy.
pub(super) fn describe_with(policy: &[u8], fields: &mut Fields) {
    fields.push_known(Known::ContentType, b"text/html; charset=utf-8");
    fields.push(POLICY_FIELD, policy);
}

/// The style sheet of all pages.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1d2329;--dim:#586370;--back:#fff;--soft:#f3f5f7;\
--line:#dce2e7;--link:#0a5cbd}
@media(prefers-color-scheme:dark){:root{--text:#e3e7eb;--dim:#9ba6b2;--back:#14181c;\
--soft:#20272e;--line:#2e363e;--link:#7db8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:56rem;padding:2rem 1.25rem 3rem;\
font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}
h1{margin:0 0 .25rem;font-size:1.5rem;line-height:1.3;overflow-wrap:anywhere}
p{margin:.25rem 0 1.25rem;color:var(--dim)}
a{color:var(--link);text-decoration:none}
a:hover,a:focus{text-decoration:underline}
code{font:.875em/1.5 ui-monospace,monospace;overflow-wrap:anywhere;\
background:var(--soft);border-radius:.25rem;padding:.15em .4em}
table{width:100%;border-collapse:collapse}
tr{border-top:1px solid var(--line)}
td{padding:.4rem 0;vertical-align:baseline}
td:first-child{width:100%;overflow-wrap:anywhere}
td+td{padding-left:2rem;color:var(--dim);white-space:nowrap;text-align:right;\
font-variant-numeric:tabular-nums}
ul{margin:0;padding:0;list-style:none}
li{border-top:1px solid var(--line);padding:.7rem 0}
li div{display:flex;flex-wrap:wrap;gap:.15rem .75rem;align-items:baseline}
li div+div{margin-top:.2rem}
small{font-size:.9375rem;color:var(--dim)}
.end{margin-left:auto}
@media(max-width:40rem){
tr{display:flex;flex-wrap:wrap;padding:.35rem 0}
td{padding:0}
td+td{padding:0 1.25rem 0 0;font-size:.9375rem}
.end{margin-left:0;width:100%}
}
";

/// Writes the beginning of a page, up to its heading. The title is text, not markup.
pub fn begin(title: &str, out: &mut Vec<u8>) {
    begin_styled(title, None, out);
}

/// The same with a style sheet in addition to that of all pages.
pub(super) fn begin_styled(title: &str, style: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
          <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
          <link rel=\"icon\" href=\"data:,\">\n<title>",
    );
    escape_html(title, out);
    out.extend_from_slice(b"</title>\n<style>");
    out.extend_from_slice(STYLE.as_bytes());
    if let Some(style) = style {
        out.extend_from_slice(b"</style>\n<style>");
        out.extend_from_slice(style.as_bytes());
    }
    out.extend_from_slice(b"</style>\n</head>\n<body>\n");
}

/// Writes the end of a page.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</body>\n</html>\n");
}

/// Writes the page of a status, with the number of the request, if it has one.
pub fn write_page(code: u16, request_id: u64, out: &mut Vec<u8>) {
    let reason = status::reason(code);
    begin(reason, out);
    text(out, format_args!("<h1>{code} {reason}</h1>\n"));
    if let Some(sentence) = sentence(code) {
        text(out, format_args!("<p>{sentence}</p>\n"));
    }
    if request_id != 0 {
        text(out, format_args!("<p>Request <code>{request_id:016x}</code></p>\n"));
    }
    end(out);
}

/// What a status means to a visitor of a site.
const fn sentence(code: u16) -> Option<&'static str> {
    Some(match code {
        400 => "The server does not understand this request.",
        401 => "A name and a password are needed.",
        403 => "Access to this address is not allowed.",
        404 => "There is nothing at this address.",
        408 => "The request took too long to arrive.",
        413 => "The request is too large.",
        414 => "The address is too long.",
        429 => "Too many requests. Try again later.",
        431 => "The fields of the request are too large.",
        500 => "Something went wrong here.",
        502 => "The server behind this one gave no valid answer. Try again later.",
        503 => "The server is busy or being worked on. Try again later.",
        504 => "The server behind this one did not answer in time. Try again later.",
        _ => return None,
    })
}

/// Writes a text where HTML is written.
pub fn escape_html(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            byte => out.push(byte),
        }
    }
}

/// A number of bytes as a person reads it: `512 B`, `1.5 KiB`, `20 MiB`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let bytes = u128::from(self.0);
        let mut unit = 1024_u128;
        for (at, name) in UNITS.into_iter().enumerate() {
            // In tenths, rounded, so that what rounds up to 1024 is one of the next unit.
            let tenths = (bytes * 10 + unit / 2) / unit;
            let whole = (bytes + unit / 2) / unit;
            if whole < 1024 || at + 1 == UNITS.len() {
                return match (tenths / 10, tenths % 10) {
                    (whole @ 0..10, part @ 1..) => write!(f, "{whole}.{part} {name}"),
                    (_, _) => write!(f, "{whole} {name}"),
                };
            }
            unit *= 1024;
        }
        Ok(())
    }
}

/// A number with its digits in groups of three: `1,234,567`.
#[derive(Debug, Clone, Copy)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Self(self.0 / 1000), self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_page_says_its_status_and_text_is_no_markup() {
        let mut page = Vec::new();
        write_page(404, 0xab, &mut page);
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("<h1>404 Not Found</h1>"), "{page}");
        assert!(page.contains("<code>00000000000000ab</code>"), "{page}");
        let mut page = Vec::new();
        write_page(418, 0, &mut page);
        assert!(!String::from_utf8(page).unwrap().contains("<p>"));
        let mut out = Vec::new();
        escape_html("<a href=\"x\">'&", &mut out);
        assert_eq!(out, b"&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }

    #[test]
    fn the_policy_allows_the_style_sheet_and_nothing_else() {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
        let policy = std::str::from_utf8(POLICY).unwrap();
        assert_eq!(STYLE_HASH, format!("sha256-{hash}"));
        assert!(policy.contains(&format!("style-src '{STYLE_HASH}'")), "{policy}");
        for word in ["<script", "javascript:", "http", "url(", "@import", "onload", "style="] {
            assert!(!STYLE.contains(word), "{word}");
        }
    }

    #[test]
    fn sizes_and_counts_are_read_by_people() {
        for (size, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1025, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (10 * 1024 + 600, "11 KiB"),
            (1024 * 1024 - 1, "1 MiB"),
            (1024 * 1024, "1 MiB"),
            (20 << 20, "20 MiB"),
            (1 << 30, "1 GiB"),
            (5 << 39, "2.5 TiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(Size(size).to_string(), expected, "{size}");
        }
        for (count, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_002_003, "1,002,003"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Count(count).to_string(), expected);
        }
    }
}

//! A page that lists a folder.

use std::time::{Duration, UNIX_EPOCH};

use crate::service::http::page::escape_html;

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes.
    pub len: u64,
    /// When it was last changed, in seconds since 1970-01-01 UTC.
    pub modified: u64,
}

/// Writes the page of the folder that was asked for as `path`, which ends with `/`. Folders come
/// first; dot files are left out unless they are served.
pub fn write(path: &str, mut entries: Vec<Entry>, dot_files: bool, out: &mut Vec<u8>) {
    entries.retain(|entry| dot_files || !entry.name.starts_with('.'));
    entries.sort_by(|one, other| (!one.is_folder, &one.name).cmp(&(!other.is_folder, &other.name)));
    out.extend_from_slice(
        b"<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>",
    );
    escape_html(path, out);
    out.extend_from_slice(b"</title></head>\n<body>\n<h1>");
    escape_html(path, out);
    out.extend_from_slice(b"</h1>\n<table>\n");
    if path != "/" {
        out.extend_from_slice(b"<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &entries {
        out.extend_from_slice(b"<tr><td><a href=\"");
        // A name with a colon in it would be taken for a scheme.
        out.extend_from_slice(b"./");
        escape_link(&entry.name, out);
        let end = if entry.is_folder { "/" } else { "" };
        out.extend_from_slice(end.as_bytes());
        out.extend_from_slice(b"\">");
        escape_html(&entry.name, out);
        out.extend_from_slice(end.as_bytes());
        let size = if entry.is_folder { "-".to_owned() } else { entry.len.to_string() };
        let seconds = entry.modified.min(253_402_300_799);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        out.extend_from_slice(format!("</a></td><td>{size}</td><td>{date}</td></tr>\n").as_bytes());
    }
    out.extend_from_slice(b"</table>\n</body>\n</html>\n");
}

/// Writes a name as a part of a link (RFC 3986, section 2.1).
fn escape_link(name: &str, out: &mut Vec<u8>) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_names_are_neither_markup_nor_links() {
        let entry =
            |name: &str, is_folder| Entry { name: name.to_owned(), is_folder, len: 5, modified: 0 };
        let entries = vec![
            entry("b<i>", false),
            entry("a:b&\"", false),
            entry("z", true),
            entry(".x", false),
        ];
        let mut page = Vec::new();
        write("/p<q>/", entries, false, &mut page);
        let page = String::from_utf8(page).unwrap();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} in {page}"));
        assert!(at("href=\"./z/\"") < at("href=\"./a%3Ab%26%22\""));
        assert!(at("b%3Ci%3E") < at("b&lt;i&gt;"));
        assert!(page.contains("/p&lt;q&gt;/") && page.contains("../") && !page.contains(".x"));
    }
}

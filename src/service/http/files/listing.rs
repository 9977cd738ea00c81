//! A page that lists a folder.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::service::date::Rfc3339;
use crate::service::http::access_log::text;
use crate::service::http::page::{self, Count, Size, escape_html};

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

/// Names of one folder that are listed.
pub const ENTRIES_MAX: usize = 10_000;

/// Writes the page of the folder that was asked for as `path`, which ends with `/`. Folders come
/// first; dot files are left out unless they are served.
pub fn write(path: &str, mut entries: Vec<Entry>, dot_files: bool, out: &mut Vec<u8>) {
    let is_cut = entries.len() >= ENTRIES_MAX;
    entries.retain(|entry| dot_files || !entry.name.starts_with('.'));
    entries.sort_by(|one, other| (!one.is_folder, &one.name).cmp(&(!other.is_folder, &other.name)));
    let path = &*readable(path);
    page::begin(path, out);
    out.extend_from_slice(b"<h1>");
    write_trail(path, out);
    out.extend_from_slice(b"</h1>\n<p>");
    write_summary(&entries, is_cut, out);
    out.extend_from_slice(b"</p>\n<table>\n");
    if path != "/" {
        out.extend_from_slice(b"<tr><td colspan=\"3\"><a href=\"../\">../</a></td></tr>\n");
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
        let date = Rfc3339(Duration::from_secs(entry.modified)).to_string();
        let (day, minute) = (date.get(..10).unwrap_or_default(), date.get(11..16));
        let minute = minute.unwrap_or_default();
        text(out, format_args!("{end}</a></td><td>"));
        match entry.is_folder {
            true => out.extend_from_slice(b"folder"),
            false => text(out, format_args!("{}", Size(entry.len))),
        }
        text(out, format_args!("</td><td>{day} {minute}</td></tr>\n"));
    }
    out.extend_from_slice(b"</table>\n");
    page::end(out);
}

/// Writes the path with a link to each folder on the way; the links go up from the last one.
fn write_trail(path: &str, out: &mut Vec<u8>) {
    let segments = path.trim_matches('/').split('/').filter(|segment| !segment.is_empty());
    let depth = segments.clone().count();
    let up = |levels: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(b"<a href=\"");
        (0..levels).for_each(|_| out.extend_from_slice(b"../"));
        out.extend_from_slice(b"\">");
    };
    if depth == 0 {
        out.push(b'/');
        return;
    }
    up(depth, out);
    out.extend_from_slice(b"/</a>");
    for (at, segment) in segments.enumerate() {
        let levels = depth - at - 1;
        if levels > 0 {
            up(levels, out);
        }
        escape_html(segment, out);
        out.extend_from_slice(if levels > 0 { b"/</a>" } else { b"/" });
    }
}

/// A path with its escapes resolved, for people.
fn readable(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

/// Writes what there is in all.
fn write_summary(entries: &[Entry], is_cut: bool, out: &mut Vec<u8>) {
    let files = entries.iter().filter(|entry| !entry.is_folder);
    let (count, bytes) = files
        .fold((0_u64, 0_u64), |(count, bytes), entry| (count + 1, bytes.saturating_add(entry.len)));
    let folders = entries.len() as u64 - count;
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    if entries.is_empty() {
        out.extend_from_slice(b"This folder is empty.");
    } else if is_cut {
        text(
            out,
            format_args!("{} names of this folder, which has more.", Count(entries.len() as u64)),
        );
    } else {
        if folders > 0 {
            text(out, format_args!("{} folder{}", Count(folders), plural(folders)));
        }
        if folders > 0 && count > 0 {
            out.extend_from_slice(b", ");
        }
        if count > 0 {
            text(out, format_args!("{} file{}, {}", Count(count), plural(count), Size(bytes)));
        }
        out.extend_from_slice(b". Times are UTC.");
    }
}

/// Writes a name as a part of a link (RFC 3986, section 2.1).
pub(super) fn escape_link(name: &str, out: &mut Vec<u8>) {
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
        assert!(page.contains("/</a>p&lt;q&gt;/</h1>") && page.contains("../"), "{page}");
        assert!(!page.contains(".x") && !page.contains("<td></td>"));
        assert!(page.contains("1 folder, 2 files, 10 B"), "{page}");
        assert!(page.contains("<td>5 B</td><td>1970-01-01 00:00</td>"), "{page}");
    }

    #[test]
    fn each_folder_of_the_path_is_a_link_up() {
        for (path, expected) in [
            ("/", "<h1>/</h1>"),
            ("/a/", "<h1><a href=\"../\">/</a>a/</h1>"),
            ("/a%20%3Cb%C3%A9%zz/", "<h1><a href=\"../\">/</a>a &lt;bé%zz/</h1>"),
            ("/a/b/", "<h1><a href=\"../../\">/</a><a href=\"../\">a/</a>b/</h1>"),
        ] {
            let mut page = Vec::new();
            write(path, Vec::new(), false, &mut page);
            let page = String::from_utf8(page).unwrap();
            assert!(page.contains(expected), "{page}");
            assert!(page.contains("This folder is empty."));
        }
    }
}

//! Small pages for people.

use crate::proto::http::status;

/// Writes the page of a status.
pub fn write_page(code: u16, out: &mut Vec<u8>) {
    let reason = status::reason(code);
    let text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>{code} {reason}</title></head>\n<body>\n\
         <h1>{code} {reason}</h1>\n</body>\n</html>\n"
    );
    out.extend_from_slice(text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_its_status_and_text_is_no_markup() {
        let mut page = Vec::new();
        write_page(404, &mut page);
        assert!(String::from_utf8(page).unwrap().contains("<h1>404 Not Found</h1>"));
        let mut out = Vec::new();
        escape_html("<a href=\"x\">'&", &mut out);
        assert_eq!(out, b"&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}

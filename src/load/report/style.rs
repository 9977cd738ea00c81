//! What all pages of reports have: one document each, nothing from elsewhere, no script; readable
//! in light and dark, on a phone and printed.

use std::fmt::Write;

use super::format::is_direction;

/// Colours of curves, in order: `--c0` and so on. They can be told apart by those who see no red.
pub(crate) const COLOURS: usize = 6;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1d2329;--dim:#586370;--back:#fff;--soft:#f3f5f7;\
--line:#dce2e7;\
--grid:#e8ecef;--bad:#b3261e;--badsoft:#fdecea;--good:#1a7f4b;--warn:#8a5300;--warnsoft:#fff4dc;\
--c0:#0a5cbd;--c1:#c25700;--c2:#12805c;--c3:#8b3fb5;--c4:#a8326b;--c5:#5d6b1f}
@media(prefers-color-scheme:dark){:root{--text:#e3e7eb;--dim:#9ba6b2;--back:#14181c;--soft:#20272e;\
--line:#2e363e;--grid:#272e35;--bad:#ff8a80;--badsoft:#3a1d1c;--good:#63d297;--warn:#ffc561;\
--warnsoft:#33280f;--c0:#7db8ff;--c1:#ffa45c;--c2:#5fd3a8;--c3:#cf9bf0;--c4:#f28ab8;--c5:#c3d365}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem 3rem;font:1rem/1.5 system-ui,sans-serif;\
color:var(--text);background:var(--back)}
h1{margin:0 0 .25rem;font-size:1.5rem;line-height:1.3;overflow-wrap:anywhere}
h2{margin:2.25rem 0 .5rem;font-size:1.125rem}
p{margin:.25rem 0}
.dim,figcaption span,th{color:var(--dim)}
.warning{margin:1rem 0 0;padding:.6rem .9rem;border-left:4px solid var(--warn);\
background:var(--warnsoft)}
.bad{color:var(--bad)}
.good{color:var(--good)}
.tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0 0}
.tiles div{flex:1 1 8rem;padding:.6rem .9rem;background:var(--soft);border-radius:.4rem}
.tiles b{display:block;font-size:1.3rem;font-weight:600;line-height:1.3;white-space:nowrap;\
font-variant-numeric:tabular-nums}
.tiles span{color:var(--dim);font-size:.875rem}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1.75rem 2rem;\
margin-top:1.75rem}
figure{margin:0;break-inside:avoid}
figcaption{font-weight:600}
figcaption span{display:block;font-weight:400;font-size:.875rem}
svg{display:block;width:100%;height:auto;margin:.35rem 0}
svg text{font:12px system-ui,sans-serif;fill:var(--dim);font-variant-numeric:tabular-nums}
svg text.value{fill:var(--text);stroke:var(--back);stroke-width:3px;paint-order:stroke}
.grid{stroke:var(--grid);stroke-width:1}
.frame{stroke:var(--line);stroke-width:1;fill:none}
.curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.thin{stroke-width:1.25}
.dash{stroke-dasharray:5 4}
.mark{stroke:var(--dim);stroke-width:1.25;stroke-dasharray:3 3}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}\
.s4{stroke:var(--c4)}\
.s5{stroke:var(--c5)}.st{stroke:var(--text)}.sb{stroke:var(--bad)}.sd{stroke:var(--dim)}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}\
.f5{fill:var(--c5)}.fb{fill:var(--bad)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;font-size:.875rem;color:var(--dim)}
.legend span{overflow-wrap:anywhere}
.legend i{display:inline-block;width:1.2rem;height:0;margin-right:.4rem;vertical-align:.25rem;\
border-style:solid;border-width:3px 0 0}
.legend i.dash{border-style:dashed}
.b0{border-color:var(--c0)}.b1{border-color:var(--c1)}.b2{border-color:var(--c2)}\
.b3{border-color:var(--c3)}\
.b4{border-color:var(--c4)}.b5{border-color:var(--c5)}.bt{border-color:var(--text)}\
.bb{border-color:var(--bad)}\
.bd{border-color:var(--dim)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .75rem .35rem 0;text-align:left;vertical-align:baseline;\
overflow-wrap:break-word}
th{font-weight:500}
tbody tr{border-top:1px solid var(--line)}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.number:last-child{padding-right:0}
.fit td:last-child{width:100%;overflow-wrap:anywhere}
.fit tr>:not(:last-child){white-space:nowrap}
.lined th,.lined td{white-space:nowrap}
.narrow{max-width:30rem}
pre{margin:.5rem 0;padding:.6rem .9rem;background:var(--soft);border-radius:.4rem;\
white-space:pre-wrap;\
overflow-wrap:anywhere;font:.875rem/1.5 ui-monospace,monospace}
footer{margin-top:2.5rem;color:var(--dim);font-size:.875rem}
@media(max-width:48rem){body{padding:1.25rem .9rem 2rem}\
.charts{grid-template-columns:minmax(0,1fr)}\
svg text{font-size:16px}svg .minor{display:none}.tiles div{flex-basis:6.5rem;padding:.5rem .7rem}\
th,td{padding-right:.6rem;font-size:.9375rem}}
@media print{:root{color-scheme:light;--text:#000;--dim:#444;--back:#fff;--soft:#f3f5f7;\
--line:#ccc;\
--grid:#e4e4e4;--bad:#b3261e;--good:#1a7f4b;--warn:#8a5300;--warnsoft:#fff4dc;\
--c0:#0a5cbd;--c1:#c25700;--c2:#12805c;--c3:#8b3fb5;--c4:#a8326b;--c5:#5d6b1f}\
body{max-width:none;padding:0;font-size:10pt}*{print-color-adjust:exact;\
-webkit-print-color-adjust:exact}\
table,.tiles{break-inside:avoid}h2{break-after:avoid}.wide{overflow:visible}}
";

/// A page that grows. Everything that is not markup of ours goes through [`Page::text`] or
/// [`escape`].
#[derive(Debug)]
pub(crate) struct Page(String);

impl Page {
    /// The beginning, up to the heading, which is text.
    pub(crate) fn new(title: &str) -> Self {
        let mut page = Self(String::with_capacity(64 * 1024));
        page.markup(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; img-src data:\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>",
        );
        page.text(title);
        page.markup("</title>\n<style>\n");
        page.markup(STYLE);
        page.markup("</style>\n</head>\n<body>\n<h1>");
        page.text(title);
        page.markup("</h1>\n");
        page
    }

    /// Markup of ours.
    pub(crate) fn markup(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text of anybody.
    pub(crate) fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    /// An element with text of anybody.
    pub(crate) fn element(&mut self, tag: &str, class: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        // Writing to a string does not fail.
        let _infallible = write!(self.0, "<{tag}{class}>");
        self.text(text);
        let _infallible = writeln!(self.0, "</{tag}>");
    }

    /// A figure with its caption, its drawing and its legend.
    pub(crate) fn figure(&mut self, title: &str, about: &str, svg: &str, legend: &[Key<'_>]) {
        self.markup("<figure>\n<figcaption>");
        self.text(title);
        self.element("span", "", about);
        self.markup("</figcaption>\n");
        self.markup(svg);
        if !legend.is_empty() {
            self.markup("<div class=\"legend\">");
            for key in legend {
                let dash = if key.is_dashed { " dash" } else { "" };
                let _infallible = write!(self.0, "<span><i class=\"b{}{dash}\"></i>", key.colour);
                self.text(key.name);
                self.markup("</span>");
            }
            self.markup("</div>\n");
        }
        self.markup("</figure>\n");
    }

    /// A table with a head; columns but the first `texts` are numbers.
    pub(crate) fn table(&mut self, class: &str, head: &[&str], rows: &[Vec<String>], texts: usize) {
        let class_of = |column: usize| if column < texts { "" } else { "number" };
        let _infallible = writeln!(self.0, "<div class=\"wide\"><table class=\"{class}\">");
        if !head.is_empty() {
            self.markup("<thead><tr>\n");
            for (column, name) in head.iter().enumerate() {
                self.element("th", class_of(column), name);
            }
            self.markup("</tr></thead>\n");
        }
        self.markup("<tbody>\n");
        for row in rows {
            self.markup("<tr>\n");
            for (column, cell) in row.iter().enumerate() {
                self.element("td", class_of(column), cell);
            }
            self.markup("</tr>\n");
        }
        self.markup("</tbody></table></div>\n");
    }

    /// The end.
    pub(crate) fn end(mut self, footer: &str) -> String {
        self.element("footer", "", footer);
        self.markup("</body>\n</html>\n");
        self.0
    }
}

/// One entry of a legend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    /// Text of anybody.
    pub(crate) name: &'a str,
    /// `0` to `5`, `t` (text), `b` (bad) or `d` (dim).
    pub(crate) colour: &'a str,
    pub(crate) is_dashed: bool,
}

impl<'a> Key<'a> {
    pub(crate) const fn solid(name: &'a str, colour: &'a str) -> Self {
        Self { name, colour, is_dashed: false }
    }

    pub(crate) const fn dashed(name: &'a str, colour: &'a str) -> Self {
        Self { name, colour, is_dashed: true }
    }
}

/// Text as markup, in an element or a quoted attribute. Control characters become visible ones.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c if is_direction(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Checks of pages, for the tests of all that make some.
#[cfg(test)]
pub(crate) mod checks {
    /// Fails unless every element is closed, in order.
    pub(crate) fn assert_balanced(page: &str) {
        const VOID: [&str; 2] = ["meta", "link"];
        let mut open: Vec<&str> = Vec::new();
        for part in page.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("no end: {part:.60}"));
            assert!(!text.contains('>') || text.contains('}'), "a bare > behind {tag:.60}");
            let name = tag.split([' ', '/']).next().unwrap();
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "in {open:?}");
            } else if !tag.starts_with('!') && !tag.ends_with('/') && !VOID.contains(&name) {
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    /// Fails if the page loads or runs something, or shows NaN or infinity.
    pub(crate) fn assert_self_contained(page: &str) {
        for bad in ["<script", "src=", "@import", "url(", "<img", "onerror=\"", "javascript:"] {
            assert!(!page.contains(bad), "{bad}");
        }
        for odd in ["NaN", ">inf", "\"inf", " inf", "-inf"] {
            assert!(!page.contains(odd), "{odd}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut out = String::new();
        escape("<b a='\"'>&\u{0}\u{202e}x\n", &mut out);
        assert_eq!(out, "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}x\n");
    }

    #[test]
    fn a_page_is_balanced() {
        let mut page = Page::new("<title>");
        page.figure("a", "b", "<svg></svg>", &[Key::solid("x", "0"), Key::dashed("<y>", "1")]);
        page.table("", &["a", "b"], &[vec!["<1>".to_owned(), "2".to_owned()]], 1);
        let page = page.end("end");
        checks::assert_balanced(&page);
        checks::assert_self_contained(&page);
        assert!((0..COLOURS).all(|n| page.contains(&format!(".s{n}{{stroke:var(--c{n})}}"))));
    }
}

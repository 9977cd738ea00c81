//! Regular expressions of PCRE in the form that Ringway takes, as far as they mean the same there.
//!
//! Ringway compares paths in their normal form, in which bytes other than letters, digits and a few
//! signs are escaped, and its expressions have no look-around and no back-references.

/// Bytes of an expression in a configuration of Ringway.
const REGEX_MAX: usize = 1 << 10;

/// An expression as Ringway takes it, or why there is none.
pub(super) fn translated(text: &str, ignores_case: bool) -> Result<String, String> {
    if text.len() > REGEX_MAX {
        return Err("it is longer than 1 KiB".to_owned());
    }
    let (text, end) = expand_negation(text).unwrap_or((text, String::new()));
    let mut regex = String::with_capacity(text.len() + 4);
    if ignores_case && text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        regex.push_str("(?i)");
    }
    let mut reader =
        Reader { rest: text, regex, class_at: None, in_class: false, at_class_start: false };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    if reader.in_class {
        return Err("a class of characters is not closed".to_owned());
    }
    reader.regex.push_str(&end);
    match reader.regex.len() > REGEX_MAX {
        true => Err("it is longer than 1 KiB".to_owned()),
        false => Ok(reader.regex),
    }
}

const ESCAPED: &str = "it has characters that are escaped in the paths that Ringway sees";

/// Whether a character stands for itself in the normal form of a path.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(character)
}

struct Reader<'t> {
    rest: &'t str,
    regex: String,
    /// Where a class of all other characters began.
    class_at: Option<usize>,
    in_class: bool,
    /// Behind `[` or `[^`, where `]` stands for itself.
    at_class_start: bool,
}

impl Reader<'_> {
    fn step(&mut self) -> Result<(), String> {
        const ATOMIC: &[&str] = &["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?|", "(?#", "(?(", "(?R"];
        let mut characters = self.rest.chars();
        let Some(first) = characters.next() else { return Ok(()) };
        let after = characters.as_str();
        if self.in_class {
            return self.class(first, after);
        }
        if ATOMIC.iter().any(|start| self.rest.starts_with(start)) {
            return Err("it has look-around, which Ringway's expressions have not".to_owned());
        }
        match first {
            '\\' => return self.escape(after),
            '.' => return self.other(".", after),
            '[' => {
                self.class_at = after.starts_with('^').then_some(self.regex.len());
                self.regex.push('[');
                self.rest = after.strip_prefix('^').unwrap_or(after);
                if self.rest.len() < after.len() {
                    self.regex.push('^');
                }
                (self.in_class, self.at_class_start) = (true, true);
                return Ok(());
            }
            '*' | '+' | '?' | '}' if after.starts_with('+') => {
                return Err("it has a possessive repetition".to_owned());
            }
            '{' if !is_repetition(after) => return self.escaped('{', after),
            '}' if !self.closes_repetition() => return self.escaped('}', after),
            '<' | '>' if self.in_group_name() => self.regex.push(first),
            '(' | ')' | '|' | '*' | '+' | '?' | '^' | '$' | '{' | '}' => self.regex.push(first),
            c if is_plain(c) => self.regex.push(c),
            c => return self.escaped(c, after),
        }
        self.rest = after;
        Ok(())
    }

    /// A character that stands for itself, and that is escaped in the paths that Ringway sees.
    fn escaped(&mut self, character: char, after: &str) -> Result<(), String> {
        // The paths of HAProxy are compared as they were sent: there, this begins an escape.
        if !character.is_ascii() || character == '%' || character.is_ascii_control() {
            return Err(ESCAPED.to_owned());
        }
        let code = u32::from(character);
        match after.starts_with(['*', '+', '?', '{']) {
            true => self.regex.push_str(&format!("(?:%{code:02X})")),
            false => self.regex.push_str(&format!("%{code:02X}")),
        }
        self.skip_to(after.len())
    }

    /// What stands for any character but some is for one that is escaped, too: for all three signs
    /// of it. Where as many as there are may follow, or where anything may, nothing changes.
    fn other(&mut self, class: &str, after: &str) -> Result<(), String> {
        let has_escapes = class == "." || !class.bytes().any(|byte| byte.is_ascii_alphanumeric());
        let class = match has_escapes && after.starts_with(['*', '+']) || after.is_empty() {
            true => class.to_owned(),
            false => match class.strip_suffix(']') {
                Some(inner) => format!("(?:%[0-9A-F]{{2}}|{inner}%])"),
                None => "(?:%[0-9A-F]{2}|.)".to_owned(),
            },
        };
        self.regex.push_str(&class);
        self.skip_to(after.len())
    }

    /// Whether `<` or `>` belongs to the name of a group, as in `(?<name>`.
    fn in_group_name(&self) -> bool {
        let opened = self.regex.rfind("(?").and_then(|at| self.regex.get(at..)).unwrap_or_default();
        let name = opened.strip_prefix("(?P").or_else(|| opened.strip_prefix("(?"));
        match (self.rest.chars().next(), name) {
            (Some('<'), Some("")) => true,
            (Some('>'), Some(name)) => name.strip_prefix('<').is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            }),
            (_, _) => false,
        }
    }

    /// Whether a `}` ends a repetition, which has only digits and a comma.
    fn closes_repetition(&self) -> bool {
        let digits = self.regex.trim_end_matches(|c: char| c.is_ascii_digit() || c == ',');
        digits.ends_with('{') && !digits.ends_with("\\{")
    }

    /// A character of a class. What only Rust gives a meaning there is escaped.
    fn class(&mut self, first: char, after: &str) -> Result<(), String> {
        let is_start = std::mem::take(&mut self.at_class_start);
        match first {
            '\\' => return self.escape(after),
            ']' if !is_start => {
                self.in_class = false;
                self.regex.push(']');
                if let Some(at) = self.class_at.take() {
                    let class = self.regex.split_off(at);
                    return self.other(&class, after);
                }
            }
            '[' if after.starts_with(':') => {
                let Some(end) = after.find(":]") else {
                    return Err("a class of characters is not closed".to_owned());
                };
                let (name, behind) = after.split_at_checked(end + 2).unwrap_or((after, ""));
                self.regex.push('[');
                self.regex.push_str(name);
                return self.skip_to(behind.len());
            }
            '&' | '~' => {
                self.regex.push('\\');
                self.regex.push(first);
            }
            '-' if after.starts_with('-') => self.regex.push_str("\\-"),
            '-' if !is_start && !after.starts_with(']') && self.is_wide(after) => {
                return Err(ESCAPED.to_owned());
            }
            c if is_plain(c) => self.regex.push(c),
            _ => return Err(ESCAPED.to_owned()),
        }
        self.skip_to(after.len())
    }

    /// Whether a range, of which the dash was read, has characters that are escaped.
    fn is_wide(&self, after: &str) -> bool {
        let Some(first) = self.regex.chars().next_back() else { return true };
        let last = after.chars().find(|character| *character != '\\');
        let inner = last.map(|last| first..=last);
        !inner.is_some_and(|mut inner| inner.all(is_plain))
    }

    fn escape(&mut self, after: &str) -> Result<(), String> {
        self.at_class_start = false;
        let mut characters = after.chars();
        let Some(escaped) = characters.next() else {
            return Err("it ends with a backslash".to_owned());
        };
        let behind = characters.as_str();
        match escaped {
            '1'..='9' if !self.in_class => return Err("it refers back to a group".to_owned()),
            'd' | 'w' => {
                self.regex.push('\\');
                self.regex.push(escaped);
            }
            'D' if !self.in_class => return self.other("[^0-9]", behind),
            'W' if !self.in_class => return self.other("[^0-9A-Za-z_]", behind),
            'A' if !self.in_class => self.regex.push('^'),
            'z' | 'Z' if !self.in_class => self.regex.push('$'),
            c if c.is_ascii_alphanumeric() => {
                return Err(format!("it has `\\{c}`, which means something else in Ringway"));
            }
            '/' => self.regex.push('/'),
            c if !is_plain(c) => {
                return match self.in_class {
                    true => Err(ESCAPED.to_owned()),
                    false => self.escaped(c, behind),
                };
            }
            c => {
                self.regex.push('\\');
                self.regex.push(c);
            }
        }
        self.skip_to(behind.len())
    }

    /// Goes on with the last bytes of the text.
    fn skip_to(&mut self, left: usize) -> Result<(), String> {
        let at = self.rest.len().saturating_sub(left);
        self.rest = self.rest.get(at..).unwrap_or_default();
        Ok(())
    }
}

/// Whether `{` begins a repetition: `{2}`, `{2,}` or `{2,5}`.
fn is_repetition(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let is_number = |text: &str| text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

/// Writes `PREFIX(?!WORD)` without look-around, where nothing but `.*` follows: `/\.(?!well-known)`
/// is in many files. Gives the text before it and what stands for the rest. `None`: it is something
/// else.
fn expand_negation(text: &str) -> Option<(&str, String)> {
    let (prefix, rest) = text.split_once("(?!")?;
    let (word, behind) = rest.split_once(')')?;
    let word = word.strip_suffix(".*").unwrap_or(word);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_bare = (1..=32).contains(&word.len()) && word.bytes().all(is_plain);
    if !is_bare || !matches!(behind, "" | ".*" | ".*$" | "(.*)") {
        return None;
    }
    // Another character than that of the word, or the end, at each place of it.
    let mut known = String::new();
    let mut choices = Vec::new();
    for character in word.chars() {
        let class = if character == '-' { "[^-]".to_owned() } else { format!("[^{character}]") };
        choices.push(format!("{known}(?:{class}|$)"));
        known.push(character);
    }
    Some((prefix, format!("(?:{})", choices.join("|"))))
}

/// A text as an expression that is only this text.
pub(super) fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The text that all matches of an expression begin the path with, as far as it is literal: of
/// `^/a/(.*)$` it is `/a/`. Empty: there is none.
pub(super) fn leading_text(regex: &str) -> String {
    let Some(rest) = regex.strip_prefix('^') else { return String::new() };
    if rest.contains('|') {
        return String::new();
    }
    let mut text = String::new();
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => match characters.next() {
                Some(c) if !c.is_ascii_alphanumeric() => c,
                Some(_) | None => break,
            },
            '.' | '(' | '[' | '$' | '^' | '*' | '+' | '?' | '{' | ')' => break,
            c => c,
        };
        // What is repeated may be missing.
        if matches!(characters.peek(), Some('*' | '?' | '{')) {
            break;
        }
        text.push(literal);
    }
    text
}

/// What an expression says of where it is found: the text that a path begins with, or that it ends
/// with, and whether case counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) start: String,
    pub(super) end: String,
    pub(super) ignores_case: bool,
}

/// The shape of an expression: `^/a/` has a start, and `\.js$` an end that is all of it.
pub(super) fn shape(regex: &str) -> Shape {
    let (ignores_case, bare) = match regex.strip_prefix("(?i)") {
        Some(bare) => (true, bare),
        None => (false, regex),
    };
    let text = bare.strip_suffix('$').map(|text| text.replace('\\', "")).unwrap_or_default();
    let end = if format!("{}$", literal(&text)) == bare { text } else { String::new() };
    Shape { start: leading_text(bare), end, ignores_case }
}

/// How many groups an expression captures.
pub(super) fn groups(regex: &str) -> usize {
    let mut count = 0;
    let (mut is_escaped, mut in_class) = (false, false);
    for (at, byte) in regex.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class => {
                let after = regex.get(at + 1..).unwrap_or_default();
                let is_named = after.starts_with("?<") || after.starts_with("?P<");
                count += usize::from(!after.starts_with('?') || is_named);
            }
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_translated_or_refused() {
        let table = [
            (r"^/users/(\d+)$", Ok(r"^/users/(\d+)$")),
            (r"\.(jpg|png)$", Ok(r"\.(jpg|png)$")),
            (r"^\/a\/", Ok("^/a/")),
            (r"/\.(?!we).*", Ok(r"/\.(?:(?:[^w]|$)|w(?:[^e]|$))")),
            (r"^/(?<id>[0-9]{2,4})", Ok(r"^/(?<id>[0-9]{2,4})")),
            (r"[a~&b]", Ok(r"[a\~\&b]")),
            (r"[[:alpha:]]+", Ok(r"[[:alpha:]]+")),
            // What is escaped in paths is escaped here, too.
            (r"^/w/\{{2}\^ \\\[<", Ok(r"^/w/(?:%7B){2}%5E%20%5C%5B%3C")),
            (r"a{b", Ok(r"a%7Bb")),
            (r"^/[^/]+/a.b$", Ok(r"^/[^/]+/a(?:%[0-9A-F]{2}|.)b$")),
            (r"^/z[^a-z]$", Ok(r"^/z(?:%[0-9A-F]{2}|[^a-z%])$")),
            (r"^/z[^a-z]+$", Ok(r"^/z(?:%[0-9A-F]{2}|[^a-z%])+$")),
            (r"^/\D$", Ok(r"^/(?:%[0-9A-F]{2}|[^0-9%])$")),
            (r"^/a.*$", Ok(r"^/a.*$")),
            (r"[]a]", Err("escaped in the paths")),
            (r"[a{]", Err("escaped in the paths")),
            (r"[A-z]", Err("escaped in the paths")),
            (r"[\w^]", Err("escaped in the paths")),
            (r"[a", Err("not closed")),
            (r"\bx", Err("means something else")),
            (r"^/é", Err("escaped in the paths")),
            (r"a%20", Err("escaped in the paths")),
            (r"(?=x)", Err("look-around")),
            (r"^/(?!api/)x", Err("look-around")),
            (r"(a)\1", Err("refers back")),
            (r"a++", Err("possessive")),
            (r"\s", Err("means something else")),
            (r"a\", Err("backslash")),
        ];
        for (text, expected) in table {
            match (translated(text, false), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, expected) => panic!("{text}: {found:?}, {expected:?}"),
            }
        }
        assert_eq!(translated("abc", true).as_deref(), Ok("(?i)abc"));
    }

    #[test]
    fn leading_texts_and_groups_are_found() {
        for (regex, expected) in [
            ("^/a/(.*)$", "/a/"),
            (r"^/a\.b", "/a.b"),
            ("/a", ""),
            ("^/ab?", "/a"),
            ("^/a|^/b", ""),
            ("^/a$", "/a"),
        ] {
            assert_eq!(leading_text(regex), expected, "{regex}");
        }
        let ends = shape(r"(?i)\.js$");
        assert_eq!((ends.end.as_str(), ends.start.as_str(), ends.ignores_case), (".js", "", true));
        assert_eq!(shape(r"^/a/[0-9]+$").start, "/a/");
        assert_eq!(shape(r"\.(js|css)$").end, "");
        assert_eq!(groups(r"^/(a)(?:b)\(c[(](?<d>e)$"), 2);
        assert_eq!(literal("/a.b(c)"), r"/a\.b\(c\)");
    }
}

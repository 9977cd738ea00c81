//! The text of nginx as a tree of directives, with the files that it includes.

use std::rc::Rc;

use super::super::notes::Place;
use super::super::{Include, SyntaxError, TEXT_MAX};

/// Blocks within blocks, and files that include files.
const DEPTH_MAX: usize = 32;
const INCLUDE_DEPTH_MAX: usize = 16;
/// Files that are read in all.
const FILES_MAX: usize = 2_000;

/// A directive: its name, its arguments, and its block if it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) at: Place,
    pub(super) block: Option<Vec<Self>>,
}

impl Directive {
    /// An argument, or nothing.
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map(String::as_str).unwrap_or_default()
    }

    /// The directives within it.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Name and arguments as a person wrote them, for a note.
    pub(super) fn shown(&self) -> String {
        let mut shown = self.name.clone();
        for arg in self.args.iter().take(4) {
            shown.push(' ');
            shown.push_str(arg);
        }
        super::super::convert::shown(&shown)
    }
}

/// A word, or a sign between words.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
}

/// Reads a file, and all that it includes.
pub(super) fn parse(
    file: &str,
    text: &str,
    include: &Include<'_>,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut parser = Parser { include, files: 0, bytes: 0, open: Vec::new() };
    parser.file(file, text, 0)
}

struct Parser<'i> {
    include: &'i Include<'i>,
    files: usize,
    bytes: usize,
    /// The files that are being read, each included by the one before.
    open: Vec<Rc<str>>,
}

/// A block that is not closed yet: its directive, and those before it.
struct Open {
    directive: Directive,
    before: Vec<Directive>,
}

impl Parser<'_> {
    /// Reads one file that stands within so many blocks.
    fn file(
        &mut self,
        name: &str,
        text: &str,
        depth: usize,
    ) -> Result<Vec<Directive>, SyntaxError> {
        let name: Rc<str> = name.into();
        let mut lexer = Lexer { file: Rc::clone(&name), rest: text, line: 1 };
        self.files += 1;
        self.bytes = self.bytes.saturating_add(text.len());
        if self.files > FILES_MAX || self.bytes > TEXT_MAX {
            return Err(lexer.error("there are too many files, or they are too long"));
        }
        self.open.push(name);
        let mut blocks: Vec<Open> = Vec::new();
        let mut done = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut start = 1;
        while let Some(token) = lexer.token()? {
            if words.is_empty() {
                start = lexer.line;
            }
            let at = Place { file: Rc::clone(&lexer.file), line: start };
            match token {
                Token::Word(word) => words.push(word),
                Token::Semicolon => {
                    let directive = directive(&mut words, at, &lexer)?;
                    if directive.name == "include" {
                        let depth = depth + blocks.len();
                        done.extend(self.included(directive, depth, &lexer)?);
                    } else {
                        done.push(directive);
                    }
                }
                Token::Open => {
                    let mut directive = directive(&mut words, at, &lexer)?;
                    directive.block = Some(Vec::new());
                    if directive.name.ends_with("_by_lua_block") {
                        lexer.skip_code()?;
                        done.push(directive);
                        continue;
                    }
                    if depth + blocks.len() >= DEPTH_MAX {
                        return Err(lexer.error("blocks are nested too deeply"));
                    }
                    blocks.push(Open { directive, before: std::mem::take(&mut done) });
                }
                Token::Close => {
                    if !words.is_empty() {
                        return Err(lexer.error("a `;` is missing before `}`"));
                    }
                    let Some(mut open) = blocks.pop() else {
                        return Err(lexer.error("`}` closes nothing"));
                    };
                    open.directive.block = Some(std::mem::replace(&mut done, open.before));
                    done.push(open.directive);
                }
            }
        }
        self.open.pop();
        match blocks.last() {
            None if words.is_empty() => Ok(done),
            None => Err(lexer.error("a `;` is missing at the end")),
            Some(open) => Err(SyntaxError {
                file: open.directive.at.file.to_string(),
                line: open.directive.at.line,
                message: format!("the block of `{}` is not closed", open.directive.shown()),
            }),
        }
    }

    /// The directives of the files of an `include`. What has no meaning in Ringway is not read.
    fn included(
        &mut self,
        directive: Directive,
        depth: usize,
        lexer: &Lexer<'_>,
    ) -> Result<Vec<Directive>, SyntaxError> {
        const NEEDLESS: &[&str] = &[
            "mime.types",
            "fastcgi_params",
            "fastcgi.conf",
            "scgi_params",
            "uwsgi_params",
            "koi-utf",
            "koi-win",
            "win-utf",
        ];
        let pattern = directive.arg(0);
        let last = pattern.rsplit('/').next().unwrap_or_default();
        if NEEDLESS.contains(&last) {
            return Ok(Vec::new());
        }
        if self.open.len() >= INCLUDE_DEPTH_MAX {
            return Err(lexer.error("files include each other too deeply, perhaps in a circle"));
        }
        // An empty answer is right for a pattern alone.
        let is_pattern = pattern.contains(['*', '?', '[']);
        let found =
            (self.include)(pattern).and_then(|files| match files.is_empty() && !is_pattern {
                true => Err("there is no such file".to_owned()),
                false => Ok(files),
            });
        let files = match found {
            Ok(files) => files,
            // What certbot installs has ciphers and caches only.
            Err(_) if last == "options-ssl-nginx.conf" => return Ok(vec![directive]),
            Err(error) => {
                return Err(SyntaxError {
                    file: directive.at.file.to_string(),
                    line: directive.at.line,
                    message: format!("`{}` cannot be read: {error}", directive.shown()),
                });
            }
        };
        let mut found = Vec::new();
        for (name, text) in files {
            if self.open.iter().any(|open| **open == *name) {
                return Err(lexer.error(&format!("`{name}` includes itself")));
            }
            found.extend(self.file(&name, &text, depth)?);
        }
        Ok(found)
    }
}

fn directive(
    words: &mut Vec<String>,
    at: Place,
    lexer: &Lexer<'_>,
) -> Result<Directive, SyntaxError> {
    let mut words = std::mem::take(words).into_iter();
    let Some(name) = words.next() else {
        return Err(lexer.error("a directive has no name"));
    };
    Ok(Directive { name, args: words.collect(), at, block: None })
}

struct Lexer<'t> {
    file: Rc<str>,
    rest: &'t str,
    line: usize,
}

impl Lexer<'_> {
    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError { file: self.file.to_string(), line: self.line, message: message.to_owned() }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next()?;
        self.rest = characters.as_str();
        self.line += usize::from(first == '\n');
        Some(first)
    }

    /// The next token, from which on the line is that of its first character.
    fn token(&mut self) -> Result<Option<Token>, SyntaxError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some('#') => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..).unwrap_or_default();
                }
                Some(c) if c.is_ascii_whitespace() || c == '\u{feff}' => {
                    self.next();
                }
                Some(';') => return Ok(self.sign(Token::Semicolon)),
                Some('{') => return Ok(self.sign(Token::Open)),
                Some('}') => return Ok(self.sign(Token::Close)),
                Some(quote @ ('"' | '\'')) => {
                    self.next();
                    return self.quoted(quote).map(|word| Some(Token::Word(word)));
                }
                Some(_) => return Ok(Some(Token::Word(self.bare()))),
            }
        }
    }

    fn sign(&mut self, token: Token) -> Option<Token> {
        self.next();
        Some(token)
    }

    /// A word in quotes, behind the first of these.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let line = self.line;
        let mut word = String::new();
        while let Some(character) = self.next() {
            match character {
                '\\' => self.escape(&mut word),
                c if c == quote => return Ok(word),
                c => word.push(c),
            }
        }
        self.line = line;
        Err(self.error("a quote is not closed"))
    }

    /// What stands behind a backslash: nginx keeps those of regular expressions.
    fn escape(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    fn bare(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek() {
            match character {
                ';' => break,
                '{' if !word.ends_with('$') => break,
                c if c.is_ascii_whitespace() => break,
                '\\' => {
                    self.next();
                    self.escape(&mut word);
                }
                c => {
                    self.next();
                    word.push(c);
                }
            }
        }
        word
    }

    /// Goes behind a block of code, whose braces are balanced.
    fn skip_code(&mut self) -> Result<(), SyntaxError> {
        let mut depth = 1_usize;
        while let Some(character) = self.next() {
            match character {
                '{' => depth += 1,
                '}' if depth == 1 => return Ok(()),
                '}' => depth -= 1,
                _ => {}
            }
        }
        Err(self.error("a block of code is not closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<String, String> {
        let include = |pattern: &str| match pattern {
            "a.conf" => Ok(vec![("a.conf".to_owned(), "x 1;\ny { z; }".to_owned())]),
            "loop.conf" => Ok(vec![("loop.conf".to_owned(), "include loop.conf;".to_owned())]),
            "none/*" => Ok(Vec::new()),
            _ => Err("no such file".to_owned()),
        };
        let directives = parse("t", text, &include).map_err(|error| error.to_string())?;
        Ok(shown(&directives))
    }

    fn shown(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let words: Vec<_> =
                std::iter::once(&directive.name).chain(&directive.args).cloned().collect();
            let block = directive.block.as_deref().map(|block| format!("{{{}}}", shown(block)));
            format!("{}{}", words.join("|"), block.unwrap_or_else(|| ";".to_owned()))
        };
        directives.iter().map(one).collect()
    }

    #[test]
    fn texts_become_trees() {
        let table = [
            ("", ""),
            ("a b c;", "a|b|c;"),
            ("a { b; c d; } e;", "a{b;c|d;}e;"),
            ("a 'b c' \"d\\\"e\"; # x; y", "a|b c|d\"e;"),
            ("a ${b}c;", "a|${b}c;"),
            (r"a \.php$ \d;", r"a|\.php$|\d;"),
            ("if ($a = \"x\") { b; }", "if|($a|=|x|){b;}"),
            ("a#b;", "a#b;"),
            ("a_by_lua_block { if x { y } } b;", "a_by_lua_block{}b;"),
            ("include mime.types;", ""),
            ("s { include a.conf; }", "s{x|1;y{z;}}"),
            ("include none/*;", ""),
        ];
        for (text, expected) in table {
            assert_eq!(tree(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_tree_is_refused_with_its_line() {
        let table = [
            ("a", "t:1: a `;` is missing at the end"),
            ("a\n}", "t:2: a `;` is missing before `}`"),
            ("\n}", "t:2: `}` closes nothing"),
            ("a;\nb c {", "t:2: the block of `b c` is not closed"),
            ("a \"b\n", "t:1: a quote is not closed"),
            ("{", "t:1: a directive has no name"),
            (";", "t:1: a directive has no name"),
            ("include b;", "t:1: `include b` cannot be read: no such file"),
            ("include loop.conf;", "loop.conf:1: `loop.conf` includes itself"),
            ("x_by_lua_block {", "t:1: a block of code is not closed"),
        ];
        for (text, expected) in table {
            assert_eq!(tree(text), Err(expected.to_owned()), "{text}");
        }
        let deep = "a {".repeat(1_000_000);
        assert_eq!(tree(&deep), Err("t:1: blocks are nested too deeply".to_owned()));
    }
}

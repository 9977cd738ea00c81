//! The text of a configuration, as a person writes it.

use super::document::{Document, Listener, Path, Route, Server, Table, Upstream, Value};

/// Columns of a line, beyond which a list is broken.
const WIDTH: usize = 100;

/// Writes a document.
pub(super) fn text(document: &Document) -> String {
    let mut writer = Writer::default();
    for line in document.comment.lines() {
        writer.comment(line);
    }
    writer.table("", &document.top);
    for (title, lists) in [("hosts", &document.hosts), ("networks", &document.networks)] {
        if !lists.is_empty() {
            writer.title(&format!("[{title}]"));
            for (name, list) in lists {
                writer.key(name, &Value::from(list.clone()));
            }
        }
    }
    writer.table("defaults", &document.defaults);
    for listener in &document.listeners {
        writer.listener(listener);
    }
    for upstream in &document.upstreams {
        writer.upstream(upstream);
    }
    writer.text
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comment(&mut self, line: &str) {
        let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.line(format!("# {}", clean.trim_end()).trim_end());
    }

    /// An empty line and the title of a table.
    fn title(&mut self, title: &str) {
        self.text.push('\n');
        self.line(title);
    }

    fn key(&mut self, name: &str, value: &Value) {
        let line = format!("{} = {}", key(name), inline(value));
        match value {
            Value::List(items) if line.chars().count() > WIDTH => {
                self.line(&format!("{} = [", key(name)));
                self.items(items);
                self.line("]");
            }
            Value::Text(_)
            | Value::Number(_)
            | Value::Real(_)
            | Value::Flag(_)
            | Value::List(_)
            | Value::Pairs(_) => self.line(&line),
        }
    }

    /// The elements of a list, as many in a line as fit.
    fn items(&mut self, items: &[Value]) {
        let mut line = String::new();
        for item in items {
            let item = format!("{},", inline(item));
            if !line.is_empty() && line.chars().count() + item.chars().count() + 5 > WIDTH {
                self.line(&format!("    {line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&item);
        }
        self.line(&format!("    {line}"));
    }

    /// The keys of a table below its title, and its tables. Pairs that do not fit into a line
    /// become a table of their own.
    fn body(&mut self, title: &str, table: &Table) {
        let is_wide = |name: &str, value: &Value| match value {
            Value::Pairs(_) => name.len() + inline(value).chars().count() + 3 > WIDTH,
            Value::Text(_)
            | Value::Number(_)
            | Value::Real(_)
            | Value::Flag(_)
            | Value::List(_) => false,
        };
        for (name, value) in table.keys.iter().filter(|(name, value)| !is_wide(name, value)) {
            self.key(name, value);
        }
        for (name, value) in table.keys.iter().filter(|(name, value)| is_wide(name, value)) {
            self.line(&format!("[{title}.{name}]"));
            if let Value::Pairs(pairs) = value {
                for (name, value) in pairs {
                    self.key(name, value);
                }
            }
        }
        for (name, table) in &table.tables {
            let title = format!("{title}.{name}");
            self.line(&format!("[{title}]"));
            self.body(&title, table);
        }
    }

    /// The tables within a table that has no keys itself.
    fn table(&mut self, title: &str, table: &Table) {
        for (name, table) in table.tables.iter().filter(|(_, table)| !table.is_empty()) {
            let title =
                if title.is_empty() { (*name).to_owned() } else { format!("{title}.{name}") };
            self.text.push('\n');
            if !table.keys.is_empty() {
                self.line(&format!("[{title}]"));
            }
            self.body(&title, table);
        }
    }

    fn listener(&mut self, listener: &Listener) {
        self.text.push('\n');
        for line in listener.comment.iter().flat_map(|comment| comment.lines()) {
            self.comment(line);
        }
        self.line("[[listener]]");
        self.key("name", &Value::from(listener.name.as_str()));
        self.key("listen", &Value::one_or_list(&listener.listen));
        self.key("protocol", &Value::from(listener.protocol));
        self.body("listener", &listener.table);
        for route in &listener.routes {
            self.route(route);
        }
    }

    fn route(&mut self, route: &Route) {
        self.text.push('\n');
        for line in route.comment.iter().flat_map(|comment| comment.lines()) {
            self.comment(line);
        }
        self.line("[[listener.route]]");
        if !route.hosts.is_empty() {
            self.key("host", &Value::one_or_list(&route.hosts));
        }
        match &route.path {
            Path::Any => {}
            Path::Exact(path) => self.key("path", &Value::from(path.as_str())),
            Path::Prefix(path) => self.key("path_prefix", &Value::from(path.as_str())),
            Path::Regex(regex) => self.key("path_regex", &Value::from(regex.as_str())),
        }
        if !route.methods.is_empty() {
            self.key("method", &Value::one_or_list(&route.methods));
        }
        if !route.headers.is_empty() {
            let pairs = route.headers.iter().map(|(n, v)| (n.clone(), Value::from(v.as_str())));
            self.key("header", &Value::Pairs(pairs.collect()));
        }
        self.body("listener.route", &route.table);
    }

    fn upstream(&mut self, upstream: &Upstream) {
        let title = format!("upstream.{}", upstream.name);
        self.title(&format!("[{title}]"));
        let servers = upstream.servers.iter().map(server).collect::<Vec<_>>();
        let is_plain = servers.iter().all(|server| matches!(server, Value::Text(_)));
        let servers = Value::List(servers);
        if is_plain {
            self.key("servers", &servers);
        } else if let Value::List(servers) = servers {
            self.line("servers = [");
            for server in &servers {
                self.line(&format!("    {},", inline(server)));
            }
            self.line("]");
        }
        self.body(&title, &upstream.table);
    }
}

/// A server: its address, or a table if it has a share of its own.
fn server(server: &Server) -> Value {
    if server.weight == 1 && server.priority == 0 {
        return Value::from(server.address.as_str());
    }
    let mut pairs = vec![("address".to_owned(), Value::from(server.address.as_str()))];
    if server.weight != 1 {
        pairs.push(("weight".to_owned(), Value::from(server.weight)));
    }
    if server.priority != 0 {
        pairs.push(("priority".to_owned(), Value::from(server.priority)));
    }
    Value::Pairs(pairs)
}

fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Pairs(pairs) => {
            let pairs =
                pairs.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key, in quotes if it needs them.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !name.is_empty() && name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A text in quotes: in single ones, in which nothing is escaped, where there are backslashes.
fn quoted(text: &str) -> String {
    let is_literal = text.contains('\\')
        && !text.contains('\'')
        && !text.chars().any(|character| character.is_control());
    if is_literal {
        return format!("'{text}'");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        let table = [
            ("plain", "\"plain\""),
            ("a\"b", "\"a\\\"b\""),
            (r"^/\d+$", r"'^/\d+$'"),
            ("a\\'b", "\"a\\\\'b\""),
            ("a\nb\u{7f}", "\"a\\nb\\u007F\""),
        ];
        for (text, expected) in table {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(key("x-real-ip"), "x-real-ip");
        assert_eq!(key("*.example.com"), "\"*.example.com\"");
    }

    #[test]
    fn long_lists_are_broken_and_wide_pairs_become_tables() {
        let mut writer = Writer::default();
        let hosts: Vec<String> = (0..12).map(|n| format!("host-{n}.example")).collect();
        writer.key("host", &Value::from(hosts));
        assert!(writer.text.lines().all(|line| line.len() <= WIDTH), "{}", writer.text);
        assert!(writer.text.ends_with("\n]\n"));
        let mut table = Table::default();
        let pairs = (0..9).map(|n| (format!("x-{n}"), Value::from("some value"))).collect();
        table.set("set", Value::Pairs(pairs));
        table.set("remove", vec!["x".to_owned()]);
        let mut writer = Writer::default();
        writer.body("headers", &table);
        assert!(writer.text.starts_with("remove = [\"x\"]\n[headers.set]\nx-0 = \"some value\"\n"));
    }
}

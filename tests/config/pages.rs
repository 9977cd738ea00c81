//! Tables of keys in the pages of the documentation: their defaults are those of the reference.

use std::collections::HashMap;

/// The values of each key of the reference, by its name, in whatever table it stands.
fn reference() -> HashMap<String, Vec<String>> {
    let mut values: HashMap<String, Vec<String>> = HashMap::new();
    let mut comment = String::new();
    for line in include_str!("../../docs/ringway.toml").lines() {
        let key = line.split_once(" = ").filter(|(key, _)| {
            key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
        });
        if let Some((key, value)) = key {
            values.entry(key.to_owned()).or_default().push(plain(&default_of(&comment, value)));
        }
        match line.strip_prefix('#') {
            Some(text) => comment.push_str(text),
            None => comment.clear(),
        }
    }
    values
}

/// The default of a key, which is its value in the reference unless its comment says otherwise.
fn default_of(comment: &str, value: &str) -> String {
    let said = comment.split_once(", which is the default").map(|(before, _)| before);
    let word = said.and_then(|before| before.rsplit('"').nth(1));
    word.unwrap_or(value).to_owned()
}

/// A value as one is written for people and for the program, in one form: `10 s` and `"10s"`.
fn plain(value: &str) -> String {
    let value = value.split("/s").next().unwrap_or_default();
    let value = if value == "none" { "[]" } else { value };
    let odd = |c: char| matches!(c, ' ' | ',' | '"' | '`' | '[' | ']');
    // "B" is written only where it is all of the unit.
    let value = value.replace(odd, "");
    value
        .strip_suffix("iB")
        .map_or_else(|| value.strip_suffix('B').unwrap_or(&value).to_owned(), |_| value.clone())
}

/// The text between backquotes, of each pair of them.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of tables that have a column of keys and one of defaults.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let mut rows = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        is_inside = line.starts_with('|') && (is_inside || cells.starts_with(&["key", "default"]));
        if let (true, [keys, defaults, ..]) = (is_inside, &cells[..])
            && keys.starts_with('`')
        {
            rows.push((*keys, *defaults));
        }
    }
    rows
}

#[test]
fn defaults_in_pages_are_those_of_the_reference() {
    let reference = reference();
    let pages = [
        ("http.md", include_str!("../../docs/http.md")),
        ("http2.md", include_str!("../../docs/http2.md")),
        ("websocket.md", include_str!("../../docs/websocket.md")),
    ];
    let mut seen = 0;
    for (page, text) in pages {
        for (keys, defaults) in rows(text) {
            // Behind a key may stand where it is.
            let keys = keys.split(" (").next().unwrap_or_default();
            let keys: Vec<&str> =
                quoted(keys).into_iter().map(|key| key.rsplit('.').next().unwrap_or(key)).collect();
            // A number may have a comma in it; a list of defaults has one and a space.
            let separator = if defaults.contains("; ") { "; " } else { ", " };
            let defaults: Vec<&str> = defaults.split(separator).collect();
            for (at, key) in keys.iter().enumerate() {
                // One default may be that of all.
                let Some(default) = defaults.get(at) else { continue };
                let known = reference.get(*key).unwrap_or_else(|| panic!("{page}: no key `{key}`"));
                // The default of one key may be the value of another.
                let is_reference =
                    default.starts_with('`') && reference.contains_key(&default.replace('`', ""));
                assert!(
                    is_reference || known.contains(&plain(default)),
                    "{page}: `{key}` is said to be {default}, and is {known:?}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} keys were found");
}

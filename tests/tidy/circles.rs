//! No circle of imports in `session` is larger than what one module and its children make: so each
//! of its rooms can be read, and tested, without all the others.

use std::collections::{BTreeMap, BTreeSet};

use super::{blank, texts_below};

/// A module by its path below `session`; the root is the empty one.
type Module = Vec<String>;

/// The modules and what each of them imports of the others. What is taken from the root, which has
/// them all as its children, is not counted.
fn imports_between() -> BTreeMap<Module, BTreeSet<Module>> {
    let files = texts_below("src/session");
    let modules: BTreeMap<Module, String> =
        files.filter_map(|(path, text)| Some((module_of(&path)?, uses(&text)))).collect();
    let names: BTreeSet<Module> = modules.keys().cloned().collect();
    let edges = modules.iter().map(|(module, uses)| {
        let to = paths(uses).into_iter().filter_map(|path| resolve(&path, module, &names));
        (module.clone(), to.filter(|to| !to.is_empty() && to != module).collect())
    });
    edges.filter(|(module, _): &(Module, _)| !module.is_empty()).collect()
}

fn module_of(path: &str) -> Option<Module> {
    let rest = path.strip_prefix("src/session/")?.strip_suffix(".rs")?;
    let mut parts: Module = rest.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    Some(parts)
}

/// The `use` declarations of a file but for those of its tests, without white space. What is made
/// public for others by `pub use` is no import.
fn uses(text: &str) -> String {
    let code = blank(text);
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let line_start = rest[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = rest[line_start..at].trim();
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        if before.is_empty() {
            found.extend(rest[at + 4..end].chars().filter(|c| !c.is_whitespace()));
            found.push(';');
        }
        rest = &rest[end..];
    }
    found
}

/// Every path that the declarations name, groups taken apart.
fn paths(uses: &str) -> Vec<Vec<String>> {
    fn walk(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
        let mut depth = 0;
        let mut start = 0;
        let mut members = Vec::new();
        for (at, c) in text.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    members.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        members.push(&text[start..]);
        for member in members.into_iter().filter(|member| !member.is_empty()) {
            let (head, group) = match member.find("::{") {
                Some(at) => (&member[..at], Some(&member[at + 3..member.len() - 1])),
                None => (member, None),
            };
            let mut path = prefix.to_vec();
            path.extend(head.split("::").map(str::to_owned));
            match group {
                Some(group) => walk(group, &path, found),
                None => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    uses.split(';').for_each(|one| walk(one, &[], &mut found));
    found
}

/// The module of `session` that a path leads to, if it does.
fn resolve(path: &[String], from: &Module, names: &BTreeSet<Module>) -> Option<Module> {
    let mut rest = path;
    let mut found = match rest.first()?.as_str() {
        "crate" => {
            rest = rest.get(2..).filter(|_| path.get(1).is_some_and(|one| one == "session"))?;
            Module::new()
        }
        "self" | "super" => from.clone(),
        _ => return None,
    };
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                found.pop()?;
            }
            name => {
                found.push(name.to_owned());
                if !names.contains(&found) {
                    found.pop();
                    break;
                }
            }
        }
        rest = tail;
    }
    Some(found)
}

/// All that can be reached from a module.
fn reach<'a>(
    from: &'a Module,
    edges: &'a BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

#[test]
fn no_circle_of_imports_in_session_leaves_one_module_and_its_children() {
    let edges = imports_between();
    assert!(edges.len() > 50, "the modules of session are found: {}", edges.len());
    let reached: BTreeMap<_, _> =
        edges.keys().map(|module| (module, reach(module, &edges))).collect();
    for (module, there) in &reached {
        for other in there.iter().filter(|other| **other != *module) {
            let back = reached.get(*other).is_some_and(|back| back.contains(*module));
            let is_of_one = module.first() == other.first();
            // Below `http` it has to be one of its rooms, and not all of them.
            let is_of_one = is_of_one && (module[0] != "http" || module.get(1) == other.get(1));
            assert!(
                !back || is_of_one,
                "{} and {} import each other, over others or not",
                module.join("::"),
                other.join("::")
            );
        }
    }
}

#[test]
fn paths_are_taken_apart_and_resolved() {
    let names: BTreeSet<Module> = ["a", "a/b", "c"]
        .map(|one| one.split('/').map(str::to_owned).collect())
        .into_iter()
        .chain([Module::new()])
        .collect();
    let from = vec!["a".to_owned(), "b".to_owned()];
    let uses = uses("use super::x::{Y, z};\nuse crate::session::{c::D, E};\npub use self::q;\n");
    assert_eq!(uses, "super::x::{Y,z};crate::session::{c::D,E};");
    let to: Vec<_> = paths(&uses).iter().filter_map(|one| resolve(one, &from, &names)).collect();
    let module = |parts: &[&str]| parts.iter().map(|one| (*one).to_owned()).collect::<Module>();
    assert_eq!(to, [module(&["a"]), module(&["a"]), module(&["c"]), module(&[])]);
}

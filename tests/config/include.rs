//! Files that a configuration includes, and variables of the environment in its texts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway::config::{self, Config, Report};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-include-{}-{number}", std::process::id());
        let this = Self(std::env::temp_dir().join(name));
        for (name, text) in files {
            let path = this.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        this
    }

    fn read(&self, main: &str) -> Result<Config, Report> {
        let path = self.0.join(main);
        let text = fs::read_to_string(&path).unwrap();
        let text = config::with_includes(&path.display().to_string(), &text, &self.0)?;
        config::parse_whole(&text, None)
    }

    /// What is wrong, each with the end of its file's name, its line and its column.
    fn mistakes(&self, main: &str) -> Vec<(String, usize, usize, String)> {
        let report = self.read(main).expect_err("it is wrong");
        let all = report.diagnostics().iter().map(|one| {
            let file = Path::new(&one.file_name).strip_prefix(&self.0).unwrap();
            (file.display().to_string(), one.line, one.column, one.message.clone())
        });
        all.collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn listener(name: &str, port: u16) -> String {
    format!("[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nprotocol = \"echo\"\n")
}

#[test]
fn files_are_joined_in_the_order_of_their_names() {
    let main =
        format!("# main\ninclude = [\"conf.d/*.toml\", \"up.toml\"] # more\n{}", listener("a", 1));
    let folder = Folder::new(&[
        ("main.toml", &main),
        ("conf.d/20.toml", &listener("c", 3)),
        ("conf.d/10.toml", &format!("\u{feff}# first\n\n{}", listener("b", 2))),
        ("conf.d/other.txt", "this is nothing"),
        ("conf.d/folder.toml/x", ""),
        ("up.toml", "include = \"deep.toml\"\n[upstream.u]\nservers = \"127.0.0.1:9\""),
        ("deep.toml", "[upstream.v]\nservers = \"127.0.0.1:8\"\n"),
    ]);
    let config = folder.read("main.toml").unwrap();
    let names: Vec<_> = config.listeners.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let names: Vec<_> = config.upstreams.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["u", "v"]);
}

#[test]
fn mistakes_are_told_with_their_files() {
    let folder = Folder::new(&[
        ("main.toml", "include = \"conf.d/*\"\n\n[runtime]\nworkers = 0\n"),
        ("conf.d/1", &format!("{}backlogg = 5\n", listener("a", 1))),
        ("conf.d/2", &format!("\n{}backlog = 0\n", listener("a", 2))),
        ("conf.d/3", "[upstream.u]\n\n  servers = 5\n"),
    ]);
    let found = folder.mistakes("main.toml");
    let places: Vec<_> =
        found.iter().map(|(file, line, column, _)| (&**file, *line, *column)).collect();
    let expected = [
        ("main.toml", 4, 11),
        ("conf.d/1", 5, 1),
        ("conf.d/2", 3, 8),
        ("conf.d/2", 6, 11),
        ("conf.d/3", 3, 13),
    ];
    assert_eq!(places, expected, "{found:?}");
    let report = folder.read("main.toml").unwrap_err().to_string();
    assert!(report.contains("conf.d/2:6:11\n"), "{report}");
    assert!(report.contains("5 mistakes in ") && report.ends_with("the files that it includes"));
}

#[test]
fn tables_of_two_files_are_told_with_the_second() {
    let folder = Folder::new(&[
        ("main.toml", &format!("include = \"b.toml\"\n[log]\naccess = true\n{}", listener("a", 1))),
        ("b.toml", "\n[log]\naccess = false\n"),
    ]);
    let found = folder.mistakes("main.toml");
    assert_eq!((&*found[0].0, found[0].1), ("b.toml", 2), "{found:?}");
}

#[test]
fn includes_that_cannot_be_carried_out_are_told() {
    let folder = Folder::new(&[
        ("self.toml", "include = \"self.toml\"\n"),
        ("circle.toml", "include = [\n  \"circle2.toml\",\n]\n"),
        ("circle2.toml", "include = \"circle.toml\"\n"),
        ("twice.toml", "include = [\"a.toml\", \"./a.toml\"]\n"),
        ("a.toml", "[log]\n"),
        ("none.toml", "include = \"none-there.toml\"\n"),
        ("kind.toml", "include = [5]\n"),
        ("pattern.toml", "include = \"a**b\"\n"),
        ("keys.toml", "include = \"bare.toml\"\n"),
        ("bare.toml", "# a comment\nworkers = 5\n[log]\n"),
        ("dotted.toml", "include = \"dots.toml\"\n"),
        ("dots.toml", "upstream.u.servers = \"a:1\"\n"),
        ("binary.toml", "include = \"bad\"\n"),
    ]);
    fs::write(folder.0.join("bad"), [0xff, 0xfe]).unwrap();
    for (main, file, line, word) in [
        ("self.toml", "self.toml", 1, "includes itself"),
        ("circle.toml", "circle2.toml", 1, "includes itself"),
        ("twice.toml", "twice.toml", 1, "a second time"),
        ("none.toml", "none.toml", 1, "there is no file \"none-there.toml\""),
        (
            "kind.toml",
            "kind.toml",
            1,
            "expected a file, a pattern, or an array of them, got an array",
        ),
        ("pattern.toml", "pattern.toml", 1, "is no pattern"),
        ("keys.toml", "bare.toml", 2, "an included file has tables only"),
        ("dotted.toml", "dots.toml", 1, "an included file has tables only"),
        ("binary.toml", "binary.toml", 1, "failed: stream did not contain valid UTF-8"),
    ] {
        let found = folder.mistakes(main);
        assert_eq!((&*found[0].0, found[0].1), (file, line), "{main}: {found:?}");
        assert!(found[0].3.contains(word), "{main}: {found:?}");
    }
}

#[test]
fn a_pattern_may_find_nothing_and_a_text_includes_nothing() {
    let text = format!("include = \"conf.d/*.toml\"\n{}", listener("a", 1));
    let folder = Folder::new(&[("main.toml", &text)]);
    assert_eq!(folder.read("main.toml").unwrap().listeners.len(), 1);
    let report = config::parse("t.toml", &text).unwrap_err().to_string();
    assert!(
        report.contains("`include` is for a configuration that is read from a file"),
        "{report}"
    );
}

#[test]
fn variables_are_replaced_in_texts_if_they_are_given() {
    let text = config::ConfigText::new(
        "t.toml",
        "[[listener]]\nname = \"${NAME:-web}\"\nlisten = [\"127.0.0.1:${PORT}\"]\n\
         protocol = \"echo\"\nidle_timeout = \"${TIME}\"\n",
    );
    let with = |name: &str| match name {
        "PORT" => Some("81".to_owned()),
        "TIME" => Some("5 s".to_owned()),
        _ => None,
    };
    let report = config::parse_whole(&text, Some(&with)).unwrap_err();
    let found = &report.diagnostics()[0];
    assert_eq!((report.errors(), found.line, found.column), (1, 5, 16));
    assert!(found.message.contains("got \"5 s\""), "{}", found.message);
    let with = |name: &str| {
        (name != "NAME").then(|| "82ms".replace("ms", if name == "TIME" { "ms" } else { "" }))
    };
    let config = config::parse_whole(&text, Some(&with)).unwrap();
    assert_eq!(
        (&*config.listeners[0].name, config.listeners[0].listen[0].to_string()),
        ("web", "127.0.0.1:82".to_owned())
    );
    let report = config::parse_whole(&text, Some(&|_: &str| None)).unwrap_err().to_string();
    assert!(report.contains("the environment has no variable `PORT`"), "{report}");
    assert!(report.contains("t.toml:3:11"), "{report}");
    // Without variables texts stay as they are.
    assert!(config::parse_whole(&text, None).unwrap_err().to_string().contains("${PORT}"));
}

#[test]
fn what_is_watched_contains_files_with_mistakes_and_the_folders_of_patterns() {
    let folder = Folder::new(&[
        ("main.toml", "include = [\"conf.d/*.toml\", \"*/deep/*\", \"none.toml\"]\n"),
        ("conf.d/a.toml", "include = \"b\"\n"),
        ("b", "no TOML"),
        ("c/deep/d", "[log]\n"),
    ]);
    let text = fs::read_to_string(folder.0.join("main.toml")).unwrap();
    let found = config::included_files("main.toml", &text, &folder.0);
    let expected = ["", "b", "c/deep", "c/deep/d", "conf.d", "conf.d/a.toml"];
    assert_eq!(found, expected.map(|one| folder.0.join(one)));
}

//! The commands of the documentation are run, and its configurations are read.
//!
//! Blocks of `sh` are run by a shell, against the servers of the built-in configuration on ports
//! that are free. A line that begins with `$ ` is a command, and what follows is its output, which
//! is compared but for its numbers. A block that cannot be run says so in the line before it:
//! `<!-- not run: WHY -->`; so does a block of `toml` that is no whole configuration, by
//! `<!-- a part -->`. What no documentation can have run is in [`NOT_RUN`].

use std::path::Path;
use std::process::Command;

use crate::support::*;

/// The beginnings of commands that are not run anywhere, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo ", "it builds or tests this program"),
    ("ringway serve", "it runs until it is stopped, on ports that others may have"),
    ("curl --cacert ca.pem", "it needs a server with the certificate of the lines before it"),
    ("ringway doctor --tls", "the same"),
    (
        "ringway check --config ringway.toml --against-running",
        "it asks a server that runs with this file",
    ),
    ("ringway reload", "the same"),
    ("ringway import", "it needs the configuration of another program"),
];
/// Tools that not every machine has: lines with them are run where they are.
const TOOLS: &[&str] = &["nc", "curl"];
const EMBEDDED: &str = include_str!("../../src/config/embedded.toml");

/// A block between fences.
#[derive(Debug)]
struct Block {
    place: String,
    language: String,
    /// The line before it.
    mark: String,
    lines: Vec<String>,
}

/// The blocks of one page.
fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut is_within, mut before) = (false, "");
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            is_within = !is_within;
            if is_within {
                blocks.push(Block {
                    place: format!("{name}:{}", number + 1),
                    language: language.to_owned(),
                    mark: before.to_owned(),
                    lines: Vec::new(),
                });
            }
        } else if let (true, Some(block)) = (is_within, blocks.last_mut()) {
            block.lines.push(line.to_owned());
        }
        before = line;
    }
    assert!(!is_within, "{name}: a block does not end");
    blocks
}

/// The pages, by name.
fn pages() -> Vec<(String, Vec<Block>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.push(root.join("README.md"));
    pages.sort();
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let blocks = blocks(&name, &std::fs::read_to_string(path).unwrap());
        (name, blocks)
    };
    pages.iter().map(|path| read(path)).collect()
}

/// The built-in configuration on free ports, its proxies before servers that listen already.
struct Demo {
    servers: Served,
    proxies: Served,
}

impl Demo {
    fn new() -> Self {
        let free = |line: &str| match line.split_once("127.0.0.1:") {
            Some((start, _)) if line.starts_with("listen") => format!("{start}127.0.0.1:0\""),
            _ => line.to_owned(),
        };
        let text: Vec<String> = EMBEDDED.lines().map(free).collect();
        let text = text.join("\n").replace("[admin]\n", "[runtime]\nworkers = 1\n[admin]\n");
        let servers = Served::new(&text);
        let mut text = text;
        for (upstream, listener, port) in
            [("echo", "echo", 7000), ("udp-echo", "udp-echo", 7000), ("frame", "frame", 7002)]
        {
            let address = address_of(&servers, listener);
            let own = format!("[upstream.{upstream}]\nservers = [\"127.0.0.1:{port}\"]");
            assert!(text.contains(&own), "{own} is not in the built-in configuration");
            text = text.replace(&own, &format!("[upstream.{upstream}]\nservers = [\"{address}\"]"));
        }
        Self { servers, proxies: Served::new(&text) }
    }

    /// A command with the addresses of the built-in configuration as they are here.
    fn translate(&self, line: &str) -> String {
        let mut line = line.replace("target/release/ringway", "ringway");
        for (scheme, port, listener) in [
            ("udp://", 7000, "udp-echo"),
            ("udp://", 7001, "udp-proxy"),
            ("", 7000, "echo"),
            ("", 7001, "proxy"),
            ("", 7002, "frame"),
            ("", 7003, "frame-proxy"),
            ("", 7004, "messages"),
            ("", 8080, "web"),
            ("", 8443, "web-tls"),
        ] {
            let address = address_of(&self.proxies, listener);
            let (_, own) = address.rsplit_once(':').unwrap();
            for between in [":", " "] {
                let there = format!("{scheme}127.0.0.1{between}{port}");
                line = line.replace(&there, &format!("{scheme}127.0.0.1{between}{own}"));
            }
        }
        let admin = self.proxies.running().admin().unwrap().to_string();
        line.replace("127.0.0.1:9901", &admin)
    }
}

fn address_of(served: &Served, listener: &str) -> String {
    served.running().address(listener).unwrap().to_string()
}

/// The commands of a block with the output that each shall have, if it is shown.
fn commands(block: &Block) -> Vec<(String, Option<String>)> {
    let mut commands: Vec<(String, Option<String>)> = Vec::new();
    let has_output = block.lines.iter().any(|line| line.starts_with("$ "));
    let mut goes_on = false;
    for line in &block.lines {
        let command = if has_output { line.strip_prefix("$ ") } else { Some(line.as_str()) };
        match (command, commands.last_mut()) {
            (_, Some((last, _))) if goes_on => {
                last.push('\n');
                last.push_str(line);
            }
            (None, Some((_, output))) => {
                let output = output.get_or_insert_default();
                output.push_str(line);
                output.push('\n');
            }
            (Some(command), _) => commands.push((command.to_owned(), has_output.then(String::new))),
            (None, None) => panic!("{}: output of no command", block.place),
        }
        goes_on = line.ends_with('\\');
    }
    commands.retain(|(command, _)| !command.trim().is_empty());
    commands
}

/// A text with every number as one `0`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match (c.is_ascii_digit(), out.ends_with('0')) {
            (true, true) => {}
            (true, false) => out.push('0'),
            (false, _) => out.push(c),
        }
    }
    out
}

fn has_tool(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(name).is_file())
}

/// Why a command is not run, if it is not.
fn reason(command: &str) -> Option<String> {
    let listed = NOT_RUN.iter().find(|(start, _)| command.starts_with(start));
    if let Some((_, why)) = listed {
        return Some((*why).to_owned());
    }
    let mut words = command.split([' ', '|']);
    let missing = words.find(|word| TOOLS.contains(word) && !has_tool(word));
    missing.map(|tool| format!("{tool} is not installed here"))
}

#[test]
fn every_command_of_the_documentation_does_what_it_says() {
    let demo = Demo::new();
    let (mut run, mut failed) = (0, Vec::new());
    for (_, blocks) in pages() {
        let folder = Folder::new();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        let bin = folder.path().join("bin");
        std::os::unix::fs::symlink(BINARY, bin.join("ringway")).unwrap();
        let tools = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{tools}", bin.display());
        for block in &blocks {
            if block.language == "toml" && !block.mark.starts_with("<!-- a part") {
                // The lines that follow name it as they like.
                for name in ["ringway.toml", "web.toml"] {
                    let text = block.lines.join("\n").replace("/srv/www", "/usr");
                    folder.file(name, &text);
                }
            }
            if block.language != "sh" || block.mark.starts_with("<!-- not run: ") {
                continue;
            }
            for (command, output) in commands(block) {
                let command = demo.translate(&command);
                if let Some(why) = reason(&command) {
                    println!("{}: not run, {why}: {command}", block.place);
                    continue;
                }
                let shell = format!("exec 2>&1\n{command}");
                let found = Command::new("timeout")
                    .args(["20", "sh", "-c", &shell])
                    .current_dir(folder.path())
                    .env("PATH", &path)
                    .output()
                    .unwrap();
                run += 1;
                let text = String::from_utf8_lossy(&found.stdout).into_owned();
                let is_right = match &output {
                    Some(output) => without_numbers(&text) == without_numbers(output),
                    None => found.status.success(),
                };
                if !is_right {
                    let status = found.status;
                    failed.push(format!("{}: {command}\n{status}\n{text}", block.place));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(run >= 10, "{run} commands were run");
    drop(demo.servers);
}

#[test]
fn every_configuration_of_the_documentation_is_valid() {
    let mut read = 0;
    for (_, blocks) in pages() {
        for block in blocks.iter().filter(|block| block.language == "toml") {
            if block.mark.starts_with("<!-- a part") {
                continue;
            }
            let text = block.lines.join("\n");
            if let Err(report) = ringway::config::parse(&block.place, &text) {
                panic!("{report}");
            }
            read += 1;
        }
    }
    assert!(read >= 4, "{read} configurations");
}

#[test]
fn every_block_of_rust_is_compiled() {
    let library = include_str!("../../src/lib.rs");
    for (page, blocks) in pages() {
        // In a page that is compiled, rustdoc takes blocks without a language for Rust.
        let is_compiled = library.contains(&format!("include_str!(\"../docs/{page}\")"));
        for block in blocks {
            let is_rust = block.language.starts_with("rust");
            assert!(!is_rust || is_compiled, "{}: src/lib.rs does not include it", block.place);
            let has_language = !block.language.is_empty();
            assert!(has_language || !is_compiled, "{}: a block without a language", block.place);
        }
    }
}

//! `ringway bench compare`: the verdict between results.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::{fail, print};
use crate::load::compare::{Comparison, Side, compare, render_html, render_text};
use crate::load::read::read_file;
use crate::load::report::{OutputError, OutputFile};

pub(super) const AFTER_HELP: &str = "Single runs are compared by blocks of time, and need 8 \
    intervals with answers; several runs of each side as a whole, which also covers what varies \
    from run to run: ringway bench compare a1.json,a2.json,a3.json b1.json,b2.json,b3.json\n\n\
    Exit status: 0 compared, whatever the verdict; 1 failure; 2 wrong usage.";

/// The arguments of the verb.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Results of `ringway bench --json`, a side each; several runs of a side are separated by
    /// commas. The first one is what the others are compared with
    #[arg(value_name = "FILE[,FILE...]", required = true, num_args = 2..)]
    sides: Vec<String>,
    /// Write a page with the curves of all sides laid over each other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &CompareArgs) -> ExitCode {
    match compared(args) {
        Ok(text) => print(text.as_bytes()),
        Err(message) => fail(&message),
    }
}

fn compared(args: &CompareArgs) -> Result<String, String> {
    if args.json && args.html.as_deref() == Some(Path::new("-")) {
        return Err("--json and --html - both write to standard output".to_owned());
    }
    let html = args.html.as_deref().map(|path| OutputFile::open("--html", path)).transpose();
    let html = html.map_err(|error| error.to_string())?;
    let sides: Vec<Side> = args.sides.iter().map(|text| side(text)).collect::<Result<_, _>>()?;
    let found = compare(&sides).map_err(|error| error.to_string())?;
    let shows_text = write_page(html, &found, &sides).map_err(|error| error.to_string())?;
    if args.json {
        let text = serde_json::to_string_pretty(&found);
        return text.map(|text| text + "\n").map_err(|error| error.to_string());
    }
    Ok(if shows_text { render_text(&found) } else { String::new() })
}

/// Writes the page if one is requested. False: it was written to standard output.
pub(super) fn write_page(
    page: Option<OutputFile>,
    found: &Comparison,
    sides: &[Side],
) -> Result<bool, OutputError> {
    let Some(file) = page else { return Ok(true) };
    let shows_text = !file.is_stdout();
    let text = render_html(found, sides);
    file.write(|out| out.write_all(text.as_bytes()))?;
    Ok(shows_text)
}

/// The files of a side. A file whose name has a comma is taken as it is.
fn side(text: &str) -> Result<Side, String> {
    let whole = Path::new(text);
    let paths = if whole.exists() { vec![whole] } else { text.split(',').map(Path::new).collect() };
    let runs = paths.into_iter().map(read_file).collect::<Result<_, _>>();
    Ok(Side { name: text.to_owned(), runs: runs.map_err(|error| error.to_string())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(sides: &[&str]) -> CompareArgs {
        let sides = sides.iter().map(|side| (*side).to_owned()).collect();
        CompareArgs { sides, html: None, json: false }
    }

    #[test]
    fn files_that_are_none_are_named() {
        let error = compared(&args(&["Cargo.toml", "b.json"])).unwrap_err();
        assert!(
            error.starts_with("Cargo.toml: the file is no result of `ringway bench"),
            "{error}"
        );
        let error = compared(&args(&["none.json,b.json", "b.json"])).unwrap_err();
        assert!(error.starts_with("none.json: reading failed: No such file"), "{error}");
    }
}

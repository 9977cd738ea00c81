//! `ringway import`: a configuration of nginx or HAProxy as one of Ringway.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{fail, print, warn};
use crate::config;
use crate::import::{self, Imported};

/// What stands below the command's options in its help.
pub(super) const AFTER_HELP: &str = "\
     The configuration goes to standard output, and a line for each directive that is not \
     translated, or that means something else here, to standard error: FILE:LINE: DIRECTIVE: why, \
     and what to do instead. Those that begin with SECURITY come first. Look at all of them, then \
     at `ringway check -c FILE`. Exit status: 0 translated, 1 failure; with --strict 1 also when \
     there is a note.";

/// The switches of the verb.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The program whose configuration it is
    from: Program,
    /// The file, such as /etc/nginx/nginx.conf. Files that it includes are looked for in its folder
    file: PathBuf,
    /// Write the configuration to this file, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail if something was not translated as it stands
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// nginx: http and stream
    Nginx,
    /// HAProxy: modes http and tcp
    Haproxy,
}

/// Runs the verb.
pub(super) fn run(args: &ImportArgs) -> ExitCode {
    let Imported { toml, notes } = match translate(args.from, &args.file) {
        Ok(imported) => imported,
        Err(message) => return fail(&message),
    };
    for note in &notes {
        warn(&format!("{note}\n"));
    }
    // What is refused is shown with its places: a few lines of hand work are likely left.
    let name =
        args.output.as_ref().map_or_else(|| "import".into(), |path| path.display().to_string());
    if let Err(report) = config::parse(&name, &toml) {
        warn(&format!("{report}\n"));
    }
    let status = match &args.output {
        None => print(toml.as_bytes()),
        Some(path) => match write_new(path, &toml) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => return fail(&format!("writing {} failed: {error}", path.display())),
        },
    };
    match notes.len() {
        0 => status,
        count if args.strict => fail(&format!("with --strict, notes are errors: {count} of them")),
        _ => status,
    }
}

fn translate(from: Program, path: &Path) -> Result<Imported, String> {
    let name = path.display().to_string();
    let text = read(path)?;
    let imported = match from {
        Program::Haproxy => import::haproxy(&name, &text),
        Program::Nginx => {
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            import::nginx(&name, &text, &|pattern| included(folder, pattern))
        }
    };
    imported.map_err(|error| error.to_string())
}

/// The files of a pattern of nginx, in the order of their names.
fn included(folder: &Path, pattern: &str) -> Result<Vec<(String, String)>, String> {
    let folder = PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy()));
    let whole = folder.join(pattern);
    let paths = glob::glob(&whole.to_string_lossy()).map_err(|error| error.to_string())?;
    let files = paths.map(|path| {
        let path = path.map_err(|error| error.to_string())?;
        Ok((path.display().to_string(), read(&path)?))
    });
    files.collect()
}

fn read(path: &Path) -> Result<String, String> {
    let bytes =
        fs::read(path).map_err(|error| format!("reading {} failed: {error}", path.display()))?;
    // Comments may be in any coding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

//! Files of results, which are opened before a run: a path that cannot be written, or a full disk,
//! is found before hours of measuring, not after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use super::{csv, hgrm, html, log};
use crate::load::result::RunResult;

/// Bytes that are kept for a file until it is written.
const RESERVE: usize = 1 << 20;
/// Stands for standard output.
const STDOUT: &str = "-";

/// Where results are written to. `-` is standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// The result itself.
    pub json: Option<PathBuf>,
    /// Its intervals as CSV.
    pub csv: Option<PathBuf>,
    /// Percentiles of the total latency.
    pub hgrm: Option<PathBuf>,
    /// The interval log.
    pub log: Option<PathBuf>,
    /// The page.
    pub html: Option<PathBuf>,
}

/// Why a file cannot be written, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{option} {}: {what} failed: {source}{}", path.display(), advice(source))]
pub struct OutputError {
    /// The option that names the file: `--json`.
    pub option: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What failed: `opening`.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// What to do about a failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others need no advice")]
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; create its folder first",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that you may write to"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room there, or choose another disk"
        }
        io::ErrorKind::IsADirectory => "; name a file in it",
        io::ErrorKind::AlreadyExists => "; give each option a file of its own",
        _ => "",
    }
}

/// The open files of a run. Those that are dropped before [`Outputs::write`] leave nothing behind.
#[derive(Debug, Default)]
pub struct Outputs {
    json: Option<OutputFile>,
    csv: Option<OutputFile>,
    hgrm: Option<OutputFile>,
    log: Option<OutputFile>,
    html: Option<OutputFile>,
}

impl Outputs {
    /// Opens all files.
    ///
    /// # Errors
    ///
    /// The first one that cannot be written.
    pub fn open(paths: &Paths) -> Result<Self, OutputError> {
        let options = [
            ("--json", &paths.json),
            ("--csv", &paths.csv),
            ("--hgrm", &paths.hgrm),
            ("--log", &paths.log),
            ("--html", &paths.html),
        ];
        for (number, (option, path)) in options.iter().enumerate() {
            let Some(path) = path else { continue };
            if options[..number].iter().any(|(_, other)| other.as_ref() == Some(path)) {
                let source = io::Error::new(io::ErrorKind::AlreadyExists, "another option has it");
                return Err(OutputError { option, path: path.clone(), what: "opening", source });
            }
        }
        let [json, csv, hgrm, log, html] = options.map(|(option, path)| {
            path.as_deref().map(|path| OutputFile::open(option, path)).transpose()
        });
        Ok(Self { json: json?, csv: csv?, hgrm: hgrm?, log: log?, html: html? })
    }

    /// Whether one of them is standard output, where then nothing else belongs.
    #[must_use]
    pub fn uses_stdout(&self) -> bool {
        let all = [&self.json, &self.csv, &self.hgrm, &self.log, &self.html];
        all.into_iter().flatten().any(OutputFile::is_stdout)
    }

    /// Writes all files. One that fails keeps none of the others from being written.
    ///
    /// # Errors
    ///
    /// All that failed.
    pub fn write(self, result: &RunResult) -> Result<(), Vec<OutputError>> {
        let written = [
            // First what the others can be made from again.
            self.json.map(|file| file.write(|mut out| result.write(&mut out))),
            self.csv.map(|file| file.write(|mut out| csv::write(result, &mut out))),
            self.hgrm.map(|file| {
                file.write(|mut out| hgrm::write(&result.latency.total.unpack(), &mut out))
            }),
            self.log.map(|file| file.write(|mut out| log::write(result, &mut out))),
            self.html.map(|file| file.write(|out| out.write_all(html::render(result).as_bytes()))),
        ];
        let failed: Vec<OutputError> =
            written.into_iter().flatten().filter_map(Result::err).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

/// A file that is written as a whole or not at all.
#[derive(Debug)]
pub struct OutputFile {
    option: &'static str,
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stdout,
    /// A device or a pipe.
    Direct(File),
    /// Renamed to the path at the end.
    Beside(Partial),
}

/// A file that is removed unless it is renamed.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: File,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Best effort: renamed, it is not there any more.
        let _gone = fs::remove_file(&self.path);
    }
}

impl OutputFile {
    /// Opens a file for writing, and keeps some room on its disk.
    ///
    /// # Errors
    ///
    /// Why it cannot be written.
    pub fn open(option: &'static str, path: &Path) -> Result<Self, OutputError> {
        let failed = |what, source| OutputError { option, path: path.to_owned(), what, source };
        if path == Path::new(STDOUT) {
            return Ok(Self { option, path: path.to_owned(), place: Place::Stdout });
        }
        // A link stays one: what it points to is written.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let place = match fs::metadata(&target) {
            Ok(there) if there.is_dir() => {
                return Err(failed("opening", io::ErrorKind::IsADirectory.into()));
            }
            Ok(there) if !there.is_file() => {
                let opened = OpenOptions::new().write(true).open(&target);
                Place::Direct(opened.map_err(|error| failed("opening", error))?)
            }
            Ok(_) | Err(_) => {
                let partial = Partial::create(&target).map_err(|error| failed("opening", error))?;
                // Dropping it removes the file if the disk is full.
                (&partial.file)
                    .write_all(&vec![b' '; RESERVE])
                    .map_err(|error| failed("keeping 1 MiB on its disk", error))?;
                Place::Beside(partial)
            }
        };
        Ok(Self { option, path: target, place })
    }

    /// Whether it is standard output.
    #[must_use]
    pub const fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Writes it as a whole.
    ///
    /// # Errors
    ///
    /// What failed. What was there under this name before is there still.
    pub fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), OutputError> {
        let Self { option, path, place } = self;
        let written = match place {
            Place::Stdout => fill(io::stdout().lock(), content).map(|_| ()),
            Place::Direct(file) => fill(file, content).map(|_| ()),
            Place::Beside(partial) => partial.finish(&path, content),
        };
        written.map_err(|source| OutputError { option, path, what: "writing", source })
    }
}

fn fill<W: Write>(to: W, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<W> {
    let mut out = BufWriter::new(to);
    content(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

impl Partial {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut partial = name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let path = target.with_file_name(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { path, file })
    }

    fn finish(
        self,
        target: &Path,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        (&self.file).rewind()?;
        self.file.set_len(0)?;
        fill(&self.file, content)?;
        // So that a name never stands for half a file, whatever happens to the machine.
        self.file.sync_all()?;
        fs::rename(&self.path, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::read::read_file;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("ringway-outputs-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_files_are_written_at_the_end() {
        let folder = Folder::new("all");
        let path = |name: &str| Some(folder.0.join(name));
        let paths = Paths {
            json: path("a.json"),
            csv: path("a.csv"),
            hgrm: path("a.hgrm"),
            log: path("a.log"),
            html: path("a.html"),
        };
        fs::write(folder.0.join("a.json"), "what was there").unwrap();
        let outputs = Outputs::open(&paths).unwrap();
        assert_eq!(folder.names().iter().filter(|name| name.ends_with(".partial")).count(), 5);
        assert_eq!(fs::read(folder.0.join("a.json")).unwrap(), b"what was there");
        drop(outputs);
        assert_eq!(folder.names(), ["a.json"]);

        let result = Example::constant(500.0).seconds(8).build();
        Outputs::open(&paths).unwrap().write(&result).unwrap();
        assert_eq!(folder.names(), ["a.csv", "a.hgrm", "a.html", "a.json", "a.log"]);
        assert_eq!(read_file(&folder.0.join("a.json")).unwrap(), result);
        for name in folder.names() {
            let text = fs::read_to_string(folder.0.join(name)).unwrap();
            assert!(text.ends_with('\n') && !text.starts_with(' '.to_string().repeat(20).as_str()));
        }
    }

    #[test]
    fn what_cannot_be_written_is_found_before_the_run() {
        let folder = Folder::new("none");
        let error = |paths: &Paths| Outputs::open(paths).unwrap_err().to_string();
        let json = |path: PathBuf| Paths { json: Some(path), ..Paths::default() };
        let text = error(&json(folder.0.join("no/a.json")));
        assert!(
            text.starts_with("--json /") && text.ends_with("; create its folder first"),
            "{text}"
        );
        let text = error(&json(folder.0.clone()));
        assert!(text.ends_with("; name a file in it"), "{text}");
        let text = error(&json(folder.0.join("..")));
        assert!(text.contains("opening failed"), "{text}");
        let same = folder.0.join("same");
        let text = error(&Paths { csv: Some(same.clone()), ..json(same) });
        assert!(text.starts_with("--csv") && text.ends_with("a file of its own"), "{text}");
        assert_eq!(folder.names(), Vec::<String>::new());
    }

    #[test]
    fn a_full_device_is_told() {
        let paths = Paths { csv: Some("/dev/full".into()), ..Paths::default() };
        let outputs = Outputs::open(&paths).unwrap();
        let result = Example::constant(500.0).seconds(8).build();
        let errors = outputs.write(&result).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.starts_with("--csv /dev/full: writing failed: No space left"), "{text}");
        assert!(text.ends_with("make room there, or choose another disk"), "{text}");
    }
}

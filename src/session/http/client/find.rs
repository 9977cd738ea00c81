//! From the path of a request to a file that is open.

use std::borrow::Cow;

use nix::errno::Errno;

use crate::proto::http::{RequestHead, ResponseHead};
use crate::ring::Driver;
use crate::service::http::files::attempt::Attempt;
use crate::service::http::files::coding;
use crate::service::http::files::path::{PathRefusal, file_name};
use crate::session::context::Context;
use crate::session::http::cache::Found;
use crate::session::http::options::FilesOptions;

/// There is no file to show; the status says why.
#[derive(Debug, Clone, Copy)]
pub(in crate::session::http) struct NotFound(pub(in crate::session::http) u16);

/// The file for a path, and its name below the root: the first one that is there of those that are
/// tried. It is a folder when that is to be listed, when its client is to be sent to the path with
/// `/` at its end, or when nothing of it is shown.
pub(in crate::session::http) fn find<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    path: &str,
    name: &mut String,
) -> Result<Found, NotFound> {
    let rewritten_path = match &files.rewrite {
        Some(rewrite) => rewrite.apply(path).ok_or(NotFound(404))?,
        None => Cow::Borrowed(path),
    };
    let is_named = match file_name(&rewritten_path, files.rules.dot_files, name) {
        Ok(()) => true,
        // No file has such a name, but some may be given for any.
        Err(PathRefusal::NotFound) => false,
        Err(PathRefusal::Dot) => return Err(NotFound(403)),
    };
    // What takes the place of a prefix may end with a slash: only the client's own tells.
    let wanted = Wanted { is_named, is_folder: path.ends_with('/'), len: name.len() };
    let mut folder = None;
    for (at, attempt) in files.attempts.iter().enumerate() {
        let is_last = at + 1 == files.attempts.len();
        let found = match attempt {
            Attempt::Status(status) => return Err(NotFound(*status)),
            Attempt::Folder => try_folder(context, files, name, wanted, is_last),
            // The route is for what is below the folder.
            Attempt::Path(_) | Attempt::File(_) if files.is_outside(path) => Ok(Tried::Nothing),
            Attempt::Path(_) | Attempt::File(_) => {
                try_file(context, files, attempt, (name, wanted.is_named))
            }
        };
        match found.map_err(|errno| refusal(context, errno, name))? {
            Tried::Found(found) => return Ok(found),
            Tried::Bare(found) => folder = Some(found),
            Tried::Nothing => {}
        }
        name.truncate(wanted.len);
    }
    folder.ok_or(NotFound(404))
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Its path names a file.
    is_named: bool,
    /// Its path is that of a folder.
    is_folder: bool,
    /// Bytes of the name.
    len: usize,
}

/// What came of an attempt.
enum Tried {
    Found(Found),
    /// A folder of which there is nothing to show.
    Bare(Found),
    Nothing,
}

fn try_file<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    attempt: &Attempt,
    (name, is_named): (&mut String, bool),
) -> Result<Tried, Errno> {
    let Some(file) = attempt.file(is_named.then_some(name.as_str())) else {
        return Ok(Tried::Nothing);
    };
    match open(context, files, &file) {
        Ok(found) if found.file.is_folder => Ok(Tried::Nothing),
        Ok(found) => {
            if *file != **name {
                *name = file.into_owned();
            }
            Ok(Tried::Found(found))
        }
        Err(errno) if is_absent(errno) => Ok(Tried::Nothing),
        Err(errno) => Err(errno),
    }
}

/// The index of a folder, whose name it becomes; without one, the folder itself.
fn try_folder<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &mut String,
    wanted: Wanted,
    is_last: bool,
) -> Result<Tried, Errno> {
    if !wanted.is_named {
        return Ok(Tried::Nothing);
    }
    if wanted.is_folder
        && let Some(found) = open_index(context, files, name)?
    {
        return Ok(Tried::Found(found));
    }
    let folder = match open(context, files, name.trim_end_matches('/')) {
        // `/file/` is no other name of `/file`.
        Ok(found) if !found.file.is_folder => return Ok(Tried::Nothing),
        Ok(found) => found,
        Err(errno) if is_absent(errno) => return Ok(Tried::Nothing),
        Err(errno) => return Err(errno),
    };
    if files.listing || is_last && !wanted.is_folder {
        return Ok(Tried::Found(folder));
    }
    if wanted.is_folder {
        return Ok(Tried::Bare(folder));
    }
    // What is tried next would be given for the folder, so there has to be something in this one.
    if !name.is_empty() && !name.ends_with('/') {
        name.push('/');
    }
    let index = open_index(context, files, name)?;
    Ok(if index.is_some() { Tried::Found(folder) } else { Tried::Nothing })
}

/// Opens a file, or takes it from those that are open.
pub(in crate::session::http) fn open<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &str,
) -> Result<Found, Errno> {
    let Context { http, reactor, .. } = context;
    http.caches.of(files).open(reactor, name)
}

/// The index of a folder, whose name it becomes.
fn open_index<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &mut String,
) -> Result<Option<Found>, Errno> {
    let len = name.len();
    for index in &files.index {
        name.push_str(index);
        match open(context, files, name) {
            Ok(found) if !found.file.is_folder => return Ok(Some(found)),
            Ok(_) => name.truncate(len),
            Err(errno) if is_absent(errno) => name.truncate(len),
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// The same file in a coding that the client takes, if it lies beside it.
pub(in crate::session::http) fn choose_coding<'a, D: Driver>(
    context: &mut Context<D>,
    head: &RequestHead,
    files: &FilesOptions,
    name: &'a str,
    found: Found,
    response: &mut ResponseHead,
) -> (Found, Cow<'a, str>, Option<coding::Coding>) {
    if files.rules.precompressed.is_empty() {
        return (found, Cow::Borrowed(name), None);
    }
    coding::add_vary(&mut response.fields);
    let mut offered = files.rules.precompressed.clone();
    while let Some(one) = coding::negotiate(&head.fields, &offered) {
        let other = format!("{name}{}", one.suffix());
        if let Ok(found) = open(context, files, &other)
            && !found.file.is_folder
        {
            return (found, Cow::Owned(other), Some(one));
        }
        offered.retain(|coding| *coding != one);
    }
    (found, Cow::Borrowed(name), None)
}

/// Whether there is no such file.
const fn is_absent(errno: Errno) -> bool {
    status_of(errno) == 404
}

fn refusal<D: Driver>(context: &mut Context<D>, errno: Errno, name: &str) -> NotFound {
    let status = status_of(errno);
    let now = context.now();
    if status == 500
        && let Some(others) = context.notices.files.due(now)
    {
        tracing::warn!(file = %name, others, %errno, "a file cannot be opened");
    }
    NotFound(status)
}

/// What a client is told of a file that cannot be opened.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
const fn status_of(errno: Errno) -> u16 {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EXDEV | Errno::ELOOP => 404,
        Errno::EACCES | Errno::EPERM => 403,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => 503,
        _ => 500,
    }
}

//! From the path of a request to a file that is open.

use std::borrow::Cow;

use nix::errno::Errno;

use super::cache::Found;
use super::forward::rewritten;
use super::options::FilesOptions;
use crate::proto::http::{RequestHead, ResponseHead};
use crate::ring::Driver;
use crate::service::http::files::coding;
use crate::service::http::files::path::{PathRefusal, file_name};
use crate::session::context::Context;

/// There is no file to show; the status says why.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotFound(pub(super) u16);

/// The file for a path, and its name below the root; for a folder its index, or the folder itself.
pub(super) fn find<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    path: &str,
    name: &mut String,
) -> Result<Found, NotFound> {
    // What takes the place of a prefix may end with a slash: only the client's own tells.
    let is_folder_form = path.ends_with('/');
    let rewritten_path = match &files.rewrite {
        Some(rewrite) => rewritten(rewrite, path),
        None => Cow::Borrowed(path),
    };
    match file_name(&rewritten_path, files.rules.dot_files, name) {
        Ok(()) => {}
        Err(PathRefusal::NotFound) => return Err(NotFound(404)),
        Err(PathRefusal::Dot) => return Err(NotFound(403)),
    }
    let found = if is_folder_form {
        open_index(context, files, name)
    } else if name.is_empty() || name.ends_with('/') {
        open_folder(context, files, name)
    } else {
        open(context, files, name)
    };
    found.map_err(|errno| {
        let status = status_of(errno);
        if status == 500 {
            tracing::warn!(file = %name, %errno, "a file can not be opened");
        }
        NotFound(status)
    })
}

/// Opens a file, or takes it from those that are open.
pub(super) fn open<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &str,
) -> Result<Found, Errno> {
    let Context { http, reactor, .. } = context;
    http.caches[files.cache].open(reactor, name)
}

/// The index of a folder, whose name it becomes; without one, the folder itself.
fn open_index<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &mut String,
) -> Result<Found, Errno> {
    let len = name.len();
    for index in &files.index {
        name.push_str(index);
        match open(context, files, name) {
            Ok(found) if !found.file.is_folder => return Ok(found),
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => name.truncate(len),
            Err(errno) => return Err(errno),
        }
    }
    open_folder(context, files, name)
}

fn open_folder<D: Driver>(
    context: &mut Context<D>,
    files: &FilesOptions,
    name: &str,
) -> Result<Found, Errno> {
    match open(context, files, name.trim_end_matches('/')) {
        // `/file/` is no other name of `/file`.
        Ok(found) if !found.file.is_folder => Err(Errno::ENOTDIR),
        found => found,
    }
}

/// The same file in a coding that the client takes, if it lies beside it.
pub(super) fn choose_coding<'a, D: Driver>(
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

/// What a client is told of a file that can not be opened.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
const fn status_of(errno: Errno) -> u16 {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EXDEV | Errno::ELOOP => 404,
        Errno::EACCES | Errno::EPERM => 403,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => 503,
        _ => 500,
    }
}

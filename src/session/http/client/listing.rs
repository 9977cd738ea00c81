//! Folders that are listed. Reading one may wait for a disk, so a thread does it that may wait.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::Http;
use super::request::{Request, Responder};
use crate::mem::Key;
use crate::proto::http::RequestHead;
use crate::ring::Driver;
use crate::runtime::Task;
use crate::service::http::files::listing::{ENTRIES_MAX, Entry, write};
use crate::service::http::page;
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::options::FilesOptions;
use crate::session::offloaded::Finished;
use crate::session::workers::WorkerMessage;

impl Http {
    /// Has a folder read. `path` is what was asked for, `name` the folder below the root.
    pub(in crate::session::http) fn begin_listing<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        head: Box<RequestHead>,
        told: RequestRecord,
        name: &str,
        files: &FilesOptions,
    ) {
        let Some(waiter) = context.http.waiting.enter((key, self.wire.stream())) else {
            return self.answer_status(context, head, told, 503, None);
        };
        let root = Arc::clone(&files.root);
        let (worker, dot_files) = (context.options.worker, files.rules.dot_files);
        let workers = Arc::clone(&context.options.workers);
        let (path, name) = (head.path().to_owned(), name.trim_end_matches('/').to_owned());
        let follow = files.follow_symlinks;
        let job = move || {
            let page = root.open_folder(&name, follow).ok().and_then(|folder| {
                let entries = read(folder.as_raw_fd()).ok()?;
                let mut page = Vec::new();
                write(&path, entries, dot_files, &mut page);
                Some(page)
            });
            let note =
                WorkerMessage::Finished { request: waiter, finished: Finished::Listed(page) };
            // A worker that has ended has no use for it.
            let _ended = workers.send(worker, note);
        };
        if context.options.workers.offload(Task::Listing, Box::new(job)).is_ok() {
            let request = Request::new(Responder::Listing(Box::new((head, told))));
            self.begin_answer(request.known_by(waiter));
        } else {
            context.http.waiting.leave(waiter);
            self.answer_status(context, head, told, 503, None);
        }
    }

    /// A folder was read.
    pub(in crate::session::http) fn listed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, told): (Box<RequestHead>, RequestRecord),
        page: Option<Vec<u8>>,
    ) {
        match page {
            Some(page) => {
                let mut response = context.http.spare_answers.take();
                response.status = 200;
                page::describe(&mut response.fields);
                self.answer(context, head, told, response, &page);
            }
            None => self.answer_status(context, head, told, 404, None),
        }
    }
}

/// The names in an open folder, as many as are listed.
fn read(folder: i32) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(format!("/proc/self/fd/{folder}"))?.take(ENTRIES_MAX) {
        let entry = entry?;
        // Links are shown as what they lead to, if that can be seen.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(found) = entry.metadata() else { continue };
        let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        entries.push(Entry {
            name,
            is_folder: found.is_dir(),
            len: found.len(),
            modified: modified.map_or(0, |since| since.as_secs()),
        });
    }
    Ok(entries)
}

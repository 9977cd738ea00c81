//! What connections of HTTP ask of what they share: the date, files, clusters that go.

use std::time::{Duration, UNIX_EPOCH};

use super::state::DATE;
use crate::proto::http2::write_date;
use crate::ring::Driver;
use crate::service::cluster::Cluster;
use crate::session::context::Context;

impl<D: Driver> Context<D> {
    /// Keeps files of these folders only.
    pub(in crate::session) fn keep_folders(&mut self, folders: &[usize]) {
        let Self { http, reactor, .. } = self;
        http.caches.keep(reactor, folders);
    }

    /// Closes files that were being sent when their folders went.
    pub(in crate::session) fn close_leaving_files(&mut self) {
        let Self { http, reactor, .. } = self;
        http.caches.close_leaving(reactor);
    }

    /// The servers of an upstream go: nothing uses them any more.
    pub(in crate::session) fn take_cluster(&mut self, upstream: usize) -> Option<Cluster> {
        if let Some((timer, _)) = self.http.cluster_timers[upstream].take() {
            self.reactor.disarm(timer);
        }
        self.http.clusters.remove(upstream)
    }

    /// Closes the files that are kept open, at the end.
    pub(in crate::session) fn close_files(&mut self) {
        let Self { http, reactor, .. } = self;
        http.caches.close(reactor);
    }

    /// Makes the date anew when a second is over.
    pub(super) fn refresh_date(&mut self) {
        let now = self.now();
        if self.http.date.until.is_some_and(|until| now < until) {
            return;
        }
        let unix = self.unix_time();
        let part = Duration::from_nanos(u64::from(unix.subsec_nanos()));
        let date = &mut self.http.date;
        date.until = Some(now + Duration::from_secs(1).saturating_sub(part));
        let text = httpdate::fmt_http_date(UNIX_EPOCH + unix);
        date.line.clear();
        date.line.extend([DATE, &text, "\r\n"]);
        date.block.clear();
        write_date(text.as_bytes(), &mut date.block);
    }
}

//! What is told of a request when it is over: counters, distributions, the line of the access log.

use std::sync::Arc;
use std::time::Duration;

use super::Http;
use crate::proto::http::{Known, RequestHead};
use crate::ring::Driver;
use crate::service::http::access_log::{Record, write_line};
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::options::RouteAction;
use crate::session::{Due, RouteStats};

/// Bytes of lines that are handed over at once.
const LINES_MAX: usize = 32 * 1024;
/// How long a line waits at most.
const LINES_WAIT: Duration = Duration::from_secs(1);

impl Http {
    /// A request is over. Its head is used again.
    pub(in crate::session::http) fn finish_request<D: Driver>(
        &self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: &RequestRecord,
    ) {
        if !told.is_told {
            self.tell_request(context, &head, told);
        }
        if let Some(inspected) = &told.inspected
            && let Some(stats) = self.inspected_stats(told.route, context.options.worker)
        {
            stats.active.decrement();
            stats.note_inspected(inspected);
        }
        context.http.spare_heads.give(head);
    }

    /// Tells of a request: it is over, or what goes on is none of HTTP.
    pub(super) fn tell_request<D: Driver>(
        &self,
        context: &mut Context<D>,
        head: &RequestHead,
        told: &RequestRecord,
    ) {
        let now = context.now();
        let duration = now.saturating_duration_since(told.began);
        if let Some(stats) = self.route_stats(told.route, context.options.worker) {
            let class = usize::from(told.status / 100).min(stats.answers.len() - 1);
            stats.answers[class].add(1);
            stats.received.add(told.received);
            stats.sent.add(told.sent);
        }
        if let Some(route) = told.route.and_then(|route| self.options.routes.get(route)) {
            context.histograms.latencies.record_route(route.counters.number(), duration);
        }
        let tried = &told.upstream;
        if let Some((upstream, _)) = tried.server {
            let phases = [tried.queued, tried.connect, tried.first_byte, tried.answered];
            context.histograms.latencies.record_upstream(upstream, phases);
        }
        if let Some(code) = told.call_status() {
            let route = told.route.and_then(|route| self.options.routes.get(route));
            let is_own = route.is_some_and(|route| matches!(route.action, RouteAction::Handler(_)));
            let method = (is_own || tried.first_byte.is_some()).then(|| head.path());
            context.histograms.latencies.calls.record(method, code, duration);
        }
        if self.options.access_log.is_some() {
            self.write_line(context, head, told, duration);
        }
    }

    fn write_line<D: Driver>(
        &self,
        context: &mut Context<D>,
        head: &RequestHead,
        told: &RequestRecord,
        duration: Duration,
    ) {
        let options = Arc::clone(&self.options);
        let Some(log) = &options.access_log else { return };
        let time = context.unix_time().saturating_sub(duration);
        let tried = &told.upstream;
        let (upstream, server) = match tried.server {
            None => ("", ""),
            Some((upstream, server)) => {
                let one = &context.plan.upstreams[upstream];
                let names = Some(&one.cluster.names);
                let server = names.zip(server).and_then(|(names, server)| names.get(server));
                (one.name.as_str(), server.map(|name| &**name).unwrap_or_default())
            }
        };
        let route = told.route.and_then(|route| options.routes.get(route));
        let offence = told.offence.as_deref();
        let is_read = offence.is_none();
        let record = Record {
            time,
            source: told.source,
            user: told.user.as_deref().unwrap_or_default(),
            method: if is_read { head.method_name() } else { "" },
            scheme: options.scheme,
            host: offence.map_or_else(|| head.host().as_bytes(), |offence| &offence.host),
            path: head.path(),
            query: head.query(),
            version: if is_read { head.version.name() } else { "" },
            status: told.status,
            call: told.call_status(),
            sent: told.sent,
            received: told.received,
            referer: head.fields.get(Known::Referer).unwrap_or_default(),
            user_agent: head.fields.get(Known::UserAgent).unwrap_or_default(),
            request_id: told.request_id,
            route: route.map(|route| &*route.name).unwrap_or_default(),
            upstream,
            server,
            tries: tried.tries,
            reason: told.reason,
            refused: offence.map(|offence| (&*offence.request_line, &*offence.line)),
            secured: self.client.as_ref().and_then(|peer| peer.secured),
            certificate: self.client.as_ref().and_then(|peer| peer.certificate.as_deref()),
            duration,
            queued: tried.queued,
            connect: tried.connect,
            first_byte: tried.first_byte,
            upstream_duration: tried.answered,
        };
        let lines = context.http.lines.of(&log.sink);
        write_line(&log.format, &record, lines);
        if lines.len() >= LINES_MAX {
            context.flush_lines();
        } else {
            context.arm_lines();
        }
    }

    /// The counters of a route, or of requests that no route takes.
    pub(in crate::session::http) fn route_stats(
        &self,
        route: Option<usize>,
        worker: usize,
    ) -> Option<&RouteStats> {
        match route {
            Some(route) => self.options.routes.get(route)?.counters.of(worker),
            None => Some(&self.io.common.listener.stats.http.unrouted),
        }
    }
}

impl<D: Driver> Context<D> {
    /// Lines wait: they are handed over before long.
    fn arm_lines(&mut self) {
        if !std::mem::replace(&mut self.http.lines.is_armed, true) {
            let at = self.now() + LINES_WAIT;
            self.reactor.arm(at, Due::Lines);
        }
    }

    /// The lines of the access logs have waited long enough.
    pub(in crate::session) fn lines_due(&mut self) {
        self.http.lines.is_armed = false;
        self.flush_lines();
    }

    /// Hands the lines of the access logs over.
    pub(in crate::session) fn flush_lines(&mut self) {
        for (sink, lines) in std::mem::take(&mut self.http.lines.waiting) {
            let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            if !sink.send(lines) {
                self.stats().lines_lost.add(count);
            }
        }
    }

    /// A number for a request, unlike that of any other.
    pub(in crate::session::http) fn next_request(&mut self) -> u64 {
        self.http.last_request += 1;
        let workers = self.options.workers.cells().len() as u64;
        let number = self.http.last_request * workers + self.options.worker as u64;
        // A bijection: numbers stay different, and say nothing of how many there were.
        let mut mixed = number ^ self.options.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

//! The books of a run: what was counted, what was logged, and what clients and servers have seen
//! are one and the same.

use std::collections::BTreeMap;

use ringway::proto::http2::Violation;
use ringway::service::CloseReason;
use ringway::service::cluster::failure::Failure;
use ringway::session::Distribution;

use super::client::Client;
use super::run::Run;
use super::setup::ROUTES;

/// A line of the access log.
#[derive(Debug)]
struct Line {
    route: Option<usize>,
    marker: String,
    status: u16,
    reason: String,
    has_upstream: bool,
    tries: u64,
    sent: u64,
    received: u64,
}

impl Line {
    fn read(line: &str) -> Self {
        let value = |key: &str| -> String {
            let Some((_, rest)) = line.split_once(&format!("\"{key}\":")) else {
                return String::new();
            };
            let rest = rest.strip_prefix('"').unwrap_or(rest);
            let end = rest.find(['"', ',', '}']).expect("the end of a value");
            rest[..end].to_owned()
        };
        let number = |key: &str| value(key).parse::<u64>().unwrap_or(0);
        let (route, path) = (value("route"), value("path"));
        assert!(path.starts_with(&route), "the route of another request: {line}");
        Self {
            route: ROUTES.iter().position(|path| *path == route),
            marker: path.rsplit('/').next().unwrap_or_default().to_owned(),
            status: value("status").parse().expect("a status"),
            reason: value("reason"),
            has_upstream: !value("upstream").is_empty(),
            tries: number("tries"),
            sent: number("bytes_sent"),
            received: number("bytes_received"),
        }
    }

    /// It does not say which request it is of.
    fn is_anonymous(&self) -> bool {
        self.marker.is_empty() || self.marker == "x"
    }

    /// The request ended because its connection did, or because it broke a rule.
    fn is_given_up(&self) -> bool {
        // Connections and failures have the name of `ClientGone`, and nothing fails with that.
        let is_failure = Failure::ALL
            .iter()
            .any(|failure| *failure != Failure::ClientGone && failure.name() == self.reason);
        !self.reason.is_empty() && !is_failure
    }
}

pub(super) fn balance(run: &mut Run) {
    let text = run.lines.lock().expect("nobody panicked with it").clone();
    let text = String::from_utf8(text).expect("lines are text");
    let lines: Vec<Line> = text.lines().map(Line::read).collect();
    balance_connections(run);
    balance_http2(run);
    balance_routes(run, &lines);
    balance_answers(run, &lines, &text);
    balance_upstream(run, &lines, &text);
    balance_pool(run);
}

/// accepted = clients = closed, over all reasons.
fn balance_connections(run: &Run) {
    let stats = &run.workers.cells()[0].stats.listeners.get(0);
    let closed: u64 = CloseReason::ALL.iter().map(|reason| run.closed(*reason)).sum();
    assert_eq!((stats.accepted.get(), closed), (run.clients.len() as u64, closed));
    assert_eq!(closed, run.clients.len() as u64, "each connection has one end");
}

/// Of HTTP/2: our clients break no rule; what they were told was done no more than it was counted,
/// and what was counted was done.
fn balance_http2(run: &Run) {
    let http2 = &run.workers.cells()[0].stats.listeners.get(0).http.http2;
    let broken: Vec<_> = Violation::NAMES.iter().zip(&http2.violations).collect();
    assert!(broken.iter().all(|(_, count)| count.get() == 0), "{broken:?}");
    let clients = || run.clients.iter().filter(|client| client.is_http2());
    let sum = |of: fn(&Client) -> usize| clients().map(of).sum::<usize>() as u64;
    assert!(http2.connections.get() <= clients().count() as u64);
    assert!(http2.resets.get() <= sum(|client| client.cancelled));
    assert!(http2.refused.get() >= sum(|client| client.refused));
}

/// For each route and class of statuses: lines = answers. For each route: the bytes of its lines
/// are those that it counts, and its histogram of durations has as many.
fn balance_routes(run: &mut Run, lines: &[Line]) {
    let workers = std::sync::Arc::clone(&run.workers);
    let stats = &workers.cells()[0].stats;
    assert_eq!(stats.lines_lost.get(), 0);
    let listener = stats.listeners.get(0);
    let routes = run.routes.clone();
    for at in 0..=ROUTES.len() {
        let own = (at < ROUTES.len()).then_some(at);
        let logged: Vec<&Line> = lines.iter().filter(|line| line.route == own).collect();
        let used = routes.get(at).map(|counters| counters.used().next());
        let Some(route) = used.unwrap_or(Some(&listener.http.unrouted)) else {
            assert!(logged.is_empty(), "{own:?}: {logged:#?}");
            continue;
        };
        for (class, answers) in route.answers.iter().enumerate() {
            let of_class = logged.iter().filter(|line| usize::from(line.status / 100) == class);
            assert_eq!(of_class.count() as u64, answers.get(), "{own:?} {class}: {logged:#?}");
        }
        let sum = |read: fn(&Line) -> u64| logged.iter().map(|line| read(line)).sum::<u64>();
        assert_eq!(sum(|line| line.sent), route.sent.get(), "{own:?}");
        assert_eq!(sum(|line| line.received), route.received.get(), "{own:?}");
        if let Some(own) = own {
            let durations = run.worker.sessions().histograms().latencies.route(own);
            let recorded = durations.map_or(0, Distribution::count);
            assert_eq!(recorded, logged.len() as u64, "{own}");
        }
    }
}

/// A request has one line at most. One whose answer has come has one, with the answer's status and
/// reason; one that a server has seen has one too.
fn balance_answers(run: &Run, lines: &[Line], text: &str) {
    let mut by_marker: BTreeMap<&str, &Line> = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.is_anonymous()) {
        let before = by_marker.insert(&line.marker, line);
        assert!(before.is_none(), "two lines: {before:?} {line:?}");
    }
    // A head that was refused, or did not come whole, has no path in its line.
    let mut without_path: Vec<&Line> = lines.iter().filter(|line| line.is_anonymous()).collect();
    for client in &run.clients {
        for (ask, answer) in client.answered() {
            let line = match by_marker.get(&*ask.marker) {
                Some(line) => line,
                None if answer.is_passed_on => panic!("{ask:?} {answer:?} has no line: {text}"),
                None => {
                    let at = without_path.iter().position(|line| line.status == answer.status);
                    let at = at.unwrap_or_else(|| panic!("{ask:?} {answer:?} no line: {text}"));
                    without_path.remove(at)
                }
            };
            assert_eq!(line.status, answer.status, "{answer:?} {line:?}");
            if let Some(reason) = &answer.reason {
                assert_eq!(*reason, line.reason);
            }
            assert!(!answer.is_passed_on || line.has_upstream, "{line:?}");
        }
    }
    for client in &run.clients {
        for ask in client.untouched.iter().map(|place| &client.asks[*place]) {
            let is_seen = run.seen.contains_key(&ask.marker);
            assert!(!is_seen && !by_marker.contains_key(&*ask.marker), "{ask:?} was looked at");
        }
    }
    for (marker, seen) in &run.seen {
        let line = by_marker.get(&**marker);
        let line = line.unwrap_or_else(|| panic!("{marker} {seen:?} has no line: {text}"));
        assert!(line.has_upstream && line.tries >= seen.tries as u64, "{line:?} {seen:?}");
    }
}

/// Of the upstream:
///
/// - lines with an upstream = begun;
/// - for each failure: lines with that reason <= failed <= the same and those that were given up,
///   as a connection may end in the turn in which its exchange fails;
/// - answered + failed <= begun <= the same and those that were given up;
/// - lines without a reason <= answered;
/// - tries = begun + retries + hedges, but for those for which there was no server (`breaker`,
///   `no_server`), that never came to it (given up, or the time was over), and hedges that none
///   could be found for.
fn balance_upstream(run: &Run, lines: &[Line], text: &str) {
    let stats = &run.workers.cells()[0].stats.upstreams.get(0);
    let http = &stats.http;
    let lines: Vec<&Line> = lines.iter().filter(|line| line.has_upstream).collect();
    let count =
        |wanted: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count() as u64;
    let given_up = count(&Line::is_given_up);
    let (begun, answered) = (http.begun.get(), http.answered.get());
    assert_eq!(lines.len() as u64, begun, "{text}");
    assert_eq!(failed_of(run, Failure::ClientGone), 0);
    for failure in Failure::ALL.into_iter().filter(|one| *one != Failure::ClientGone) {
        let failed = http.failed[failure.index()].get();
        let told = count(&|line| line.reason == failure.name());
        assert!(told <= failed && failed <= told + given_up, "{failure:?} {failed}: {text}");
    }
    let failed: u64 = http.failed.iter().map(|counter| counter.get()).sum();
    let over = answered + failed;
    assert!(over <= begun && begun <= over + given_up, "{begun} {answered} {failed}: {text}");
    let whole = count(&|line| line.reason.is_empty());
    assert!(whole <= answered, "{whole} {answered}: {text}");
    let tries: u64 = lines.iter().map(|line| line.tries).sum();
    let most = begun + stats.retries.get() + http.hedges.get();
    let untried = failed_of(run, Failure::Breaker)
        + failed_of(run, Failure::NoServer)
        + failed_of(run, Failure::TotalTimeout)
        + failed_of(run, Failure::ClientTimeout)
        + given_up;
    assert!(tries <= most && most <= tries + untried, "{tries} {most} {untried}: {text}");
}

fn failed_of(run: &Run, failure: Failure) -> u64 {
    run.workers.cells()[0].stats.upstreams.get(0).http.failed[failure.index()].get()
}

/// connected = created = closed, over all causes; hedges won <= hedges.
fn balance_pool(run: &Run) {
    let stats = &run.workers.cells()[0].stats.upstreams.get(0);
    let http = &stats.http;
    let closed: u64 = http.closed.iter().map(|counter| counter.get()).sum();
    assert_eq!((stats.connected.get(), closed), (http.created.get(), http.created.get()));
    assert!(http.hedges_won.get() <= http.hedges.get());
}

//! The page `/upstreams` of the admin interface: how the servers of each upstream are, and changes
//! of them by hand.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /upstreams` | all upstreams and their servers, as JSON |
//! | `POST /upstreams/NAME/servers/ADDRESS` | what its body says: see [`understood`] |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::admin::{PLAIN, RequestBody, page};
use super::metrics::Checks;
use super::plan::Inventory;
use super::worker::Message;
use crate::runtime::{Current, Sender, clock};
use crate::service::cluster::servers::{Change, ServerView, Standing};
use crate::session::WorkerMessage;

/// How long workers are waited for.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the body of a request may take, and how large it may be.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
const BODY_SIZE_MAX: usize = 4 * 1024;
/// The largest weight, as in the configuration.
const WEIGHT_MAX: u64 = 1_000;

/// How the servers of one worker are: by the number of the upstream's servers, and by server.
pub(super) type Views = HashMap<usize, Vec<ServerView>>;

/// What the page shows, and the workers that it notifies.
#[derive(Debug, Clone)]
pub(super) struct Upstreams {
    pub(super) workers: Arc<[Sender<Message>]>,
    pub(super) inventory: Arc<Inventory>,
    /// What there is now: a reload may come while the body of a request does.
    pub(super) newest: Arc<Current<Inventory>>,
    /// What active checks have found, by the numbers of the upstreams' servers.
    pub(super) checks: Arc<[Checks]>,
}

/// What cannot be done: the status, and why.
type Refusal = (StatusCode, String);

impl Upstreams {
    /// The page.
    pub(super) async fn show(&self) -> Response<Bytes> {
        let value = self.describe().await;
        page(StatusCode::OK, "application/json", format!("{value}\n"))
    }

    /// Changes a server by hand. The request is allowed to.
    pub(super) async fn change(&self, path: &str, body: impl RequestBody) -> Response<Bytes> {
        match self.make_change(path, body).await {
            Ok(value) => page(StatusCode::OK, "application/json", format!("{value}\n")),
            Err((status, why)) => page(status, PLAIN, format!("{why}\n")),
        }
    }

    /// All upstreams and their servers.
    async fn describe(&self) -> Value {
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in self.workers.iter() {
            let (sender, answer) = oneshot::channel();
            let _full = worker.send(Message::Upstreams(sender));
            answers.push(answer);
        }
        let mut views = Vec::with_capacity(answers.len());
        let deadline = tokio::time::Instant::now() + ANSWER_MAX;
        for answer in answers {
            let one: Option<Views> =
                tokio::time::timeout_at(deadline, answer).await.ok().and_then(Result::ok);
            views.push(one);
        }
        let missing = missing(views.iter().map(Option::is_some));
        let views: Vec<Views> = views.into_iter().flatten().collect();
        let now = (clock::now(), clock::unix_time());
        let all = self.inventory.upstreams.iter().map(|named| {
            let number = named.cluster.number();
            let servers = named.servers.iter().enumerate().map(|(server, names)| {
                let own = views.iter().filter_map(|one| one.get(&number)?.get(server));
                let own: Vec<&ServerView> = own.collect();
                let mut shown = describe(names, &own, now);
                shown.insert("last_check".to_owned(), self.last_check((number, server), now));
                Value::Object(shown)
            });
            json!({ "name": named.name, "servers": servers.collect::<Vec<_>>() })
        });
        let upstreams: Vec<Value> = all.collect();
        json!({ "upstreams": upstreams, "workers_without_answer": missing })
    }

    fn last_check(&self, (upstream, server): (usize, usize), now: (Instant, Duration)) -> Value {
        let checks = self.checks.iter().find(|(number, _)| *number == upstream);
        let last = checks.and_then(|(_, stats)| stats.get(server)?.last());
        last.map_or(Value::Null, |last| {
            json!({
                "result": last.result,
                "at": unix(last.began, now),
                "seconds": last.took.as_secs_f64(),
                "error": last.error,
            })
        })
    }

    async fn make_change(&self, path: &str, body: impl RequestBody) -> Result<Value, Refusal> {
        find(&self.inventory, path)?;
        let body = timeout(BODY_TIME_MAX, body.read(BODY_SIZE_MAX)).await;
        let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
        let body = body.map_err(|_| bad("the body did not come in time"))?;
        let body = body.map_err(|error| bad(&format!("the body cannot be read: {error}")))?;
        let change = understood(&body).map_err(|why| bad(&why))?;
        let inventory = self.newest.get();
        let (upstream, servers) = find(&inventory, path)?;
        let mut answers = Vec::with_capacity(self.workers.len());
        for worker in self.workers.iter() {
            let (sender, answer) = oneshot::channel();
            let servers = servers.clone();
            let note = WorkerMessage::Server { upstream, servers, change };
            let _full = worker.send(Message::Change(note, sender));
            answers.push(answer);
        }
        let deadline = tokio::time::Instant::now() + ANSWER_MAX;
        let mut done = Vec::with_capacity(answers.len());
        for answer in answers {
            done.push(matches!(tokio::time::timeout_at(deadline, answer).await, Ok(Ok(()))));
        }
        let missing = missing(done.iter().copied());
        let known = inventory.upstreams.iter();
        let known = known.filter(|named| named.cluster.number() == upstream);
        let name = known.map(|named| named.name.as_str()).next().unwrap_or_default();
        tracing::info!(upstream = %name, path, ?change, ?missing, "server changed by hand");
        if missing.is_empty() {
            return Ok(json!({ "workers": done.len() }));
        }
        let why = format!(
            "these workers have not answered, and may still make the change: {missing:?}; the \
             others have made it"
        );
        Err((StatusCode::SERVICE_UNAVAILABLE, why))
    }
}

/// The upstream and the servers of a path: a name may stand for several addresses.
fn find(inventory: &Inventory, path: &str) -> Result<(usize, Vec<usize>), Refusal> {
    let missing = |what: String| (StatusCode::NOT_FOUND, what);
    let parts = path.strip_prefix("/upstreams/").and_then(|rest| rest.split_once("/servers/"));
    let Some((name, address)) = parts else {
        return Err(missing("post to /upstreams/NAME/servers/ADDRESS".to_owned()));
    };
    let (name, address) = (decoded(name), decoded(address));
    let all = &inventory.upstreams;
    let Some(named) = all.iter().find(|named| named.name == name) else {
        let names: Vec<&str> = all.iter().map(|named| named.name.as_str()).collect();
        return Err(missing(format!("there is no upstream {name:?}, but {names:?}")));
    };
    let servers = named.servers.iter().enumerate();
    let servers = servers.filter(|(_, (own, at))| *own == address || *at == address);
    let servers: Vec<usize> = servers.map(|(server, _)| server).collect();
    if servers.is_empty() {
        let all: Vec<&str> = named.servers.iter().map(|(own, _)| own.as_str()).collect();
        return Err(missing(format!("upstream {name:?} has no server {address:?}, but {all:?}")));
    }
    Ok((named.cluster.number(), servers))
}

/// What a body asks for.
fn understood(body: &[u8]) -> Result<Change, String> {
    const FORMS: &str = r#"one of {"weight": N}, {"drain": true} and {"up": true}"#;
    let value: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("expected {FORMS}: {error}"))?;
    let mut entries = value.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(format!("expected {FORMS}, which stands alone"));
    };
    match (key.as_str(), value) {
        ("drain", Value::Bool(true)) => Ok(Change::Drain),
        ("up", Value::Bool(true)) => Ok(Change::Lift),
        ("drain" | "up", _) => Err(format!("`{key}` has to be true; expected {FORMS}")),
        ("weight", weight) => {
            let weight = weight.as_u64().filter(|weight| (1..=WEIGHT_MAX).contains(weight));
            let weight = weight.and_then(|weight| u32::try_from(weight).ok());
            weight.map(Change::Weight).ok_or_else(|| {
                format!(
                    "`weight` is an integer from 1 to {WEIGHT_MAX}; to use a server no more, post \
                     {{\"drain\": true}}"
                )
            })
        }
        (_, _) => Err(format!("unknown key `{key}`: expected {FORMS}")),
    }
}

/// Workers that have not answered.
fn missing(answered: impl Iterator<Item = bool>) -> Vec<usize> {
    answered.enumerate().filter(|(_, answered)| !answered).map(|(worker, _)| worker).collect()
}

/// One server, as all workers see it together.
fn describe(
    (name, address): &(String, String),
    views: &[&ServerView],
    now: (Instant, Duration),
) -> Map<String, Value> {
    let sum = |read: &dyn Fn(&ServerView) -> u64| views.iter().map(|view| read(view)).sum::<u64>();
    // Each worker ejects for itself: what most of them see is shown, of equals what is worse.
    let count = |view: &ServerView| {
        views.iter().filter(|other| other.standing.name() == view.standing.name()).count()
    };
    let shown = views.iter().max_by_key(|view| (count(view), badness(view.standing)));
    let mut by_state = Map::new();
    for view in views {
        by_state.insert(view.standing.name().to_owned(), count(view).into());
    }
    let standing = shown.map(|view| view.standing);
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("address", address.as_str().into());
    put("name", name.as_str().into());
    put("weight", shown.map(|view| view.weight).into());
    put("priority", shown.map(|view| view.priority).into());
    put("state", standing.map(Standing::name).into());
    put("reason", standing.and_then(Standing::reason).into());
    put("since", shown.and_then(|view| view.since).map(|since| unix(since, now)).into());
    if let Some(Standing::Ejected(_, until)) = standing {
        put("until", unix(until, now).into());
    }
    put("workers", Value::Object(by_state));
    put("active", sum(&|view| view.active.into()).into());
    put(
        "counters",
        json!({
            "picked": sum(&|view| view.counters.picked),
            "answered": sum(&|view| view.counters.answered),
            "errors": sum(&|view| view.counters.errors),
            "failures": sum(&|view| view.counters.failures),
        }),
    );
    all
}

const fn badness(standing: Standing) -> u8 {
    match standing {
        Standing::Up => 0,
        Standing::SlowStart => 1,
        Standing::Ejected(..) => 2,
        Standing::Down => 3,
        Standing::Drained => 4,
    }
}

/// A moment in seconds since 1970.
fn unix(at: Instant, (now, unix_now): (Instant, Duration)) -> f64 {
    let ago = now.saturating_duration_since(at).as_secs_f64();
    let ahead = at.saturating_duration_since(now).as_secs_f64();
    unix_now.as_secs_f64() - ago + ahead
}

/// A part of a path without its escapes. One that is none stands as it is.
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_asks_for_one_change() {
        let good: [(&str, Change); 4] = [
            (r#"{"weight": 7}"#, Change::Weight(7)),
            (r#"{"weight": 1000}"#, Change::Weight(1000)),
            (r#" {"drain":true} "#, Change::Drain),
            (r#"{"up": true}"#, Change::Lift),
        ];
        for (body, change) in good {
            assert_eq!(understood(body.as_bytes()), Ok(change), "{body}");
        }
        let bad = [
            ("", "expected one of"),
            ("[]", "expected one of"),
            ("{}", "stands alone"),
            (r#"{"weight": 0}"#, "from 1 to 1000"),
            (r#"{"weight": 1.5}"#, "from 1 to 1000"),
            (r#"{"weight": 1001}"#, "from 1 to 1000"),
            (r#"{"drain": false}"#, "has to be true"),
            (r#"{"drain": true, "up": true}"#, "stands alone"),
            (r#"{"down": true}"#, "unknown key `down`"),
        ];
        for (body, expected) in bad {
            let why = understood(body.as_bytes()).expect_err(body);
            assert!(why.contains(expected), "{body}: {why}");
        }
    }

    #[test]
    fn escapes_of_a_path_are_read() {
        let cases = [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("unix:%2Frun%2fx", "unix:/run/x"),
            ("%5B::1%5D:80", "[::1]:80"),
            ("100%", "100%"),
            ("%zz%", "%zz%"),
        ];
        for (part, expected) in cases {
            assert_eq!(decoded(part), expected);
        }
    }
}

//! `grpc.health.v1.Health`: how services are, as a program says it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::generated::DESCRIPTORS;
use super::generated::health::health_check_response::ServingStatus;
use super::generated::health::{HealthCheckRequest, HealthCheckResponse};
use super::outbound::{SendError, Sink};
use super::service::{Methods, Service, Services};
use super::status::Status;
use crate::service::grpc::Code;

/// Calls that watch, at least, before it is looked which of them are over.
const PRUNE_MIN: usize = 64;

/// Bytes of a service's name that is watched, or told: it is kept as long as the call.
const NAME_MAX: usize = 256;

/// Says how the services of a server are, to those who ask by `grpc.health.v1.Health`. Clones say
/// it of the same ones, from any thread; all workers see it.
///
/// The server as a whole, whose name is empty, is serving until something else is said. A service
/// of which nothing was said is unknown.
#[derive(Debug, Clone)]
pub struct HealthReporter {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    services: BTreeMap<String, ServingStatus>,
    watchers: Vec<Watcher>,
    /// So many watchers, and it is looked which of them are over.
    prune_at: usize,
}

#[derive(Debug)]
struct Watcher {
    service: String,
    sink: Sink<HealthCheckResponse>,
}

impl Default for HealthReporter {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthReporter {
    /// The server is serving.
    #[must_use]
    pub fn new() -> Self {
        let services = BTreeMap::from([(String::new(), ServingStatus::Serving)]);
        let state = State { services, watchers: Vec::new(), prune_at: PRUNE_MIN };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether a service can be used; the empty name is the server as a whole.
    pub fn set(&self, service: &str, is_serving: bool) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        let mut state = self.state();
        if state.services.insert(service.to_owned(), status) == Some(status) {
            return;
        }
        state.watchers.retain_mut(|watcher| watcher.service != service || watcher.tell(status));
    }

    fn status(&self, service: &str) -> Option<ServingStatus> {
        self.state().services.get(service).copied()
    }

    fn watch(&self, service: String, sink: Sink<HealthCheckResponse>) {
        let mut state = self.state();
        if state.watchers.len() >= state.prune_at {
            state.watchers.retain(|watcher| !watcher.sink.is_gone());
            state.prune_at = (state.watchers.len() * 2).max(PRUNE_MIN);
        }
        let status = state.services.get(&service).copied();
        let mut watcher = Watcher { service, sink };
        if watcher.tell(status.unwrap_or(ServingStatus::ServiceUnknown)) {
            state.watchers.push(watcher);
        }
    }
}

impl Watcher {
    /// Tells it; false when it is to be told no more.
    fn tell(&mut self, status: ServingStatus) -> bool {
        match self.sink.send(&HealthCheckResponse { status: status.into() }) {
            Ok(()) => true,
            // Who does not take some bytes does not care: dropped, its call ends with an error.
            Err(SendError::Full | SendError::Gone | SendError::TooLarge) => false,
        }
    }
}

struct Health {
    reporter: HealthReporter,
}

impl Service for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
    const DESCRIPTORS: &'static [u8] = DESCRIPTORS;

    fn methods(methods: &mut Methods<Self>) {
        methods.unary("Check", |this, _, request: HealthCheckRequest, reply| {
            let status = this.reporter.status(&request.service);
            let status = status.ok_or_else(|| unknown(&request.service));
            reply.give(status.map(|status| HealthCheckResponse { status: status.into() }));
        });
        methods.server_streaming("Watch", |this, _, request: HealthCheckRequest, sink| {
            if request.service.len() > NAME_MAX {
                return sink.finish(Status::new(Code::InvalidArgument, "the name is too long"));
            }
            this.reporter.watch(request.service, sink);
        });
    }
}

/// The status of a service that is not there. A long name is not given back.
fn unknown(service: &str) -> Status {
    let text = match service.len() {
        0..=NAME_MAX => format!("unknown service {service:?}"),
        _ => "unknown service".to_owned(),
    };
    Status::new(Code::NotFound, text)
}

impl Services {
    /// The same, and `grpc.health.v1.Health`.
    #[must_use]
    pub fn with_health(self, reporter: &HealthReporter) -> Self {
        self.with(Health { reporter: reporter.clone() })
    }
}

//! A server of gRPC: services whose methods answer calls, as a handler of HTTP.
//!
//! | file | job |
//! |---|---|
//! | `service` | services, their methods, and who answers a call |
//! | `inbound`, `outbound` | the messages of a call, and what is answered |
//! | `queue` | messages that are sent in their order |
//! | `metadata`, `status` | what goes with them |
//! | `coding` | how messages are compressed |
//! | `health`, `reflection` | the services that tools expect |
//! | `demo` | what `handler = "demo"` answers |
//! | `generated` | code and descriptors of `docs/proto`, which `tests/proto.rs` keeps |

mod coding;
mod demo;
mod generated;
mod health;
mod inbound;
mod metadata;
mod outbound;
mod queue;
mod reflection;
mod service;
mod status;

pub use self::coding::{CodingError, MessageCoding};
pub(super) use self::demo::demo;
pub use self::generated::{
    health as health_messages, reflection as reflection_messages, stream as demo_messages,
};
pub use self::health::HealthReporter;
pub use self::inbound::{BlockingMessages, MessageReceiver};
pub use self::metadata::CallContext;
pub use self::outbound::{Reply, SendError, Sink};
pub use self::queue::SendQueue;
pub use self::service::{MESSAGE_MAX, Methods, Service, Services};
pub use self::status::Status;
pub use crate::service::grpc::Code;

//! Sockets: listening, the sending and receiving of a stream, the mechanics of a relay.
//!
//! Knows the reactor and its operations, but no protocol and no service.

mod acceptor;
mod bind_datagrams;
mod datagram;
mod error;
mod listener;
mod pipes;
mod relay;
mod secure;
mod stream;
pub mod tls;

pub use acceptor::{Acceptor, HandOver};
pub(crate) use bind_datagrams::BUFFER_WANTED;
pub use bind_datagrams::{DatagramBindOptions, Steering, bind_datagrams, bind_datagrams_beside};
pub use datagram::{DatagramEvent, DatagramSocket};
pub use error::{NetworkError, Operation, is_local_shortage};
pub use listener::{BindError, ListenOptions, bind, bind_beside};
pub use pipes::PipePool;
pub use relay::{Broken, Direction, Pumped};
pub use stream::{Stream, StreamEvent};

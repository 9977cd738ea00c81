//! Ringway's framed protocol, versions 1 and 2; `docs/protocol.md` specifies it.
//!
//! | file | job |
//! |---|---|
//! | `header` | one frame: its fields, reading and writing it |
//! | `reader` | whole frames out of received bytes |
//! | `payload` | what is in the payloads of the protocol's own commands |
//! | `error` | what a peer can do wrong, and the codes on the wire |
//! | `server`, `client` | the two ends of a connection |

mod client;
mod error;
mod header;
mod payload;
mod reader;
mod server;

pub use self::client::{Answer, Client, ClientEvent, ClientOptions, Ready};
pub use self::error::{Code, FrameError};
pub use self::header::{
    CHECKSUM_LEN, Command, FLAG_IDEMPOTENT, FLAG_LAST, Header, PAYLOAD_MAX, Version,
    write as write_frame, write_around,
};
pub use self::payload::{
    CREDIT_LEN, CREDIT_MAX, END_LEN, End, Features, GoAway, HELLO_FLOW_LEN, HELLO_LEN, Hello,
    MAX_PAYLOAD_LEAST, NAME_MAX, PayloadError, message, parse_credit, parse_error, parse_message,
    parse_name, write_error_payload, write_message_head,
};
pub use self::reader::{Frame, Reader};
pub use self::server::{Request, Server, ServerEvent, ServerOptions};

#[cfg(test)]
mod tests;

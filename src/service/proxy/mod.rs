//! The proxies' decisions.

mod frame;
pub mod http;
mod meter;
mod socket;
mod tcp;

pub use frame::{
    CLOG_BYTES, CLOG_TIME, CREDIT_FIRST, ExchangeTally, Exchanger, ExchangerOptions, FrameAction,
};
pub use meter::{Meter, MeterOptions, Switch};
pub use socket::{LineFault, ServerEnd, SocketLink, next_line};
pub use tcp::{Action, ConnectFailure, Event, TcpExchange, is_cut};

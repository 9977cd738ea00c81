//! Carries out what the pure engines decide, on whichever connections that concerns.
//!
//! | file | job |
//! |---|---|
//! | `frame` | what frame proxies decide |
//! | `http` | what the HTTP proxy decides |
//! | `socket` | what WebSockets and their connections to servers want |
//! | `topics` | what is published |
//! | `tunnel` | two connections of HTTP become one relay |

mod frame;
mod http;
mod socket;
mod topics;
mod tunnel;

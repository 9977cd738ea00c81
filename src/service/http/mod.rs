//! What is done with requests of HTTP, whatever the version: pure decisions.
//!
//! | file | job |
//! |---|---|
//! | `route` | which route a request takes, and why |
//! | `template`, `edit` | values with variables in them, and changes to fields |
//! | `access`, `limit`, `auth` | who may ask, how often, and with which password |
//! | `certificate` | what clients show of themselves by TLS |
//! | `compression` | which answers are compressed, and in how much memory |
//! | `files` | static files: names, conditions, ranges, codings |
//! | `forwarded` | who a request is from, and what servers are told of that |
//! | `trailers`, `interim` | which trailers and interim answers are passed on |
//! | `max_forwards` | how many more proxies a request may pass |
//! | `page`, `status_page` | pages for people: of a status, of what runs |
//! | `websocket_page` | a page that tries WebSockets |
//! | `body` | bodies on their way from one connection to another |
//! | `budget` | how much memory may wait for slow peers |
//! | `record` | what is recorded of a request |
//! | `access_log` | the line of a request that is over |

pub mod access;
pub mod access_log;
pub mod auth;
pub mod body;
pub mod budget;
pub mod certificate;
pub mod compression;
pub mod edit;
pub mod files;
pub mod forwarded;
pub mod interim;
pub mod limit;
pub mod max_forwards;
pub mod origin;
pub mod page;
pub mod record;
pub mod route;
pub mod status_page;
pub mod template;
pub mod trailers;
pub mod websocket_page;

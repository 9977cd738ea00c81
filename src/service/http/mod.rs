//! What is done with requests of HTTP, whatever the version: pure decisions.
//!
//! | file | job |
//! |---|---|
//! | `route` | which route a request takes, and why |
//! | `template`, `edit` | values with variables in them, and changes to fields |
//! | `access`, `limit`, `auth` | who may ask, how often, and with which password |
//! | `compression` | which answers are compressed, and in how much memory |
//! | `files` | static files: names, conditions, ranges, codings |
//! | `forwarded` | who a request is from, and what servers are told of that |
//! | `trailers` | which trailers are passed on |
//! | `page` | small pages for statuses |
//! | `access_log` | the line of a request that is over |

pub mod access;
pub mod access_log;
pub mod auth;
pub mod certificate;
pub mod compression;
pub mod edit;
pub mod files;
pub mod forwarded;
pub mod limit;
pub mod page;
pub mod route;
pub mod template;
pub mod trailers;

//! HTTP without a version: heads, fields, targets (RFC 9110). Pure.
//!
//! One vocabulary for every version and both directions: a [`RequestHead`] or [`ResponseHead`],
//! then parts of a body, then perhaps trailers ([`Fields`]). Heads own their text and are used
//! again, so that a request costs no allocation.

mod digits;
mod fields;
mod head;
mod method;
mod name;
pub mod scan;
pub mod status;
pub mod target;

pub use digits::{Digits, read_length};
pub use fields::{Field, Fields};
pub use head::{BodySize, RequestHead, ResponseHead, Version};
pub use method::Method;
pub use name::{Known, is_secret, is_token, is_token_byte};

//! What is known of a call beside its messages.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use crate::handler::HttpRequest;
use crate::proto::http::Fields;
use crate::service::grpc::decode_binary;

/// What is known of a call beside its messages.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// The fields of its head.
    pub fields: Fields,
    /// Its client, where that is known.
    pub client: Option<SocketAddr>,
    /// The user, on routes that ask for a password.
    pub user: Option<Box<str>>,
    /// How long it may take from its beginning on: its client says so, or its route.
    pub timeout: Option<Duration>,
}

/// Contexts whose memory is used again.
#[derive(Debug, Clone, Default)]
pub(super) struct SpareContexts(Rc<RefCell<Vec<CallContext>>>);

/// So many are kept.
const SPARE_MAX: usize = 256;
/// Bytes of fields of one that is kept.
const SPARE_BYTES_MAX: usize = 16 * 1024;

/// A context that goes back to the spare ones.
#[derive(Debug)]
pub(super) struct KeptContext {
    context: CallContext,
    spare: SpareContexts,
}

impl SpareContexts {
    /// The context of a call.
    pub(super) fn of(&self, request: &HttpRequest<'_>) -> KeptContext {
        let mut context = self.0.borrow_mut().pop().unwrap_or_default();
        context.fields.clone_from(&request.head.fields);
        context.client = request.client;
        context.user = request.user.map(Into::into);
        context.timeout = request.timeout;
        KeptContext { context, spare: self.clone() }
    }
}

impl Deref for KeptContext {
    type Target = CallContext;

    fn deref(&self) -> &CallContext {
        &self.context
    }
}

impl Drop for KeptContext {
    fn drop(&mut self) {
        let mut all = self.spare.0.borrow_mut();
        if all.len() < SPARE_MAX && self.context.fields.capacity() <= SPARE_BYTES_MAX {
            let mut context = std::mem::take(&mut self.context);
            context.fields.clear();
            context.user = None;
            all.push(context);
        }
    }
}

impl CallContext {
    /// The first value of a field of metadata, whose name is in lower case; decoded if its name
    /// ends with `-bin`. `None` if there is none, or none that can be decoded.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.fields.get_named(name.as_bytes())?;
        if !name.ends_with("-bin") {
            return Some(Cow::Borrowed(value));
        }
        decode_binary(value).map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let mut fields = Fields::default();
        fields.push(b"x-text", b"a");
        fields.push(b"x-bin", b"AQID");
        fields.push(b"y-bin", b"AQ==,Ag");
        fields.push(b"z-bin", b"?");
        let context = CallContext { fields, client: None, user: None, timeout: None };
        let found = |name: &str| context.metadata(name).map(Cow::into_owned);
        assert_eq!(found("x-text"), Some(b"a".to_vec()));
        assert_eq!(found("x-bin"), Some(vec![1, 2, 3]));
        assert_eq!(found("y-bin"), Some(vec![1]));
        assert_eq!(found("z-bin"), None);
        assert_eq!(found("other"), None);
    }
}

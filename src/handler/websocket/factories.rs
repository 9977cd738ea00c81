//! The WebSocket handlers of a program, by name.

use std::fmt;
use std::sync::Arc;

use super::WebSocketHandler;

type Make = dyn Fn() -> Box<dyn WebSocketHandler> + Send + Sync;

/// Makes the WebSocket handlers of each worker.
#[derive(Clone, Default)]
pub struct WebSocketHandlers {
    /// Each with its name; in their order.
    all: Arc<Vec<(String, Arc<Make>)>>,
}

impl WebSocketHandlers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and one more: routes with `websocket = { service = "handler", handler = "NAME" }`
    /// have their sockets answered by a handler that `make` makes, one for each worker, on that
    /// worker's thread.
    #[must_use]
    pub fn with<H: WebSocketHandler + 'static>(
        self,
        name: &str,
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        let mut all = Vec::clone(&self.all);
        all.retain(|(other, _)| other != name);
        let make: Arc<Make> = Arc::new(move || Box::new(make()) as Box<dyn WebSocketHandler>);
        all.push((name.to_owned(), make));
        Self { all: Arc::new(all) }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The place of a name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.names().position(|other| other == name)
    }

    /// Makes the one at a place.
    pub(crate) fn make(&self, place: usize) -> Option<Box<dyn WebSocketHandler>> {
        self.all.get(place).map(|(_, make)| make())
    }
}

impl fmt::Debug for WebSocketHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

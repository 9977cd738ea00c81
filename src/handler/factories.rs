//! The handlers of a program, by name.

use std::fmt;
use std::sync::Arc;

use super::http::HttpHandler;
use super::websocket::WebSocketHandler;

/// A service of gRPC for those who try it out.
const DEMO: &str = "demo";

type Make<H> = dyn Fn() -> Box<H> + Send + Sync;

/// Makes handlers of a kind, by name.
struct Factories<H: ?Sized> {
    /// Each with its name; in their order.
    all: Arc<Vec<(String, Arc<Make<H>>)>>,
}

impl<H: ?Sized> Factories<H> {
    fn with(&self, name: &str, make: Arc<Make<H>>) -> Self {
        let mut all = Vec::clone(&self.all);
        all.retain(|(other, _)| other != name);
        all.push((name.to_owned(), make));
        Self { all: Arc::new(all) }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names().position(|other| other == name)
    }

    fn make(&self, place: usize) -> Option<Box<H>> {
        self.all.get(place).map(|(_, make)| make())
    }
}

impl<H: ?Sized> Clone for Factories<H> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all) }
    }
}

impl<H: ?Sized> Default for Factories<H> {
    fn default() -> Self {
        Self { all: Arc::default() }
    }
}

impl<H: ?Sized> fmt::Debug for Factories<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Makes the handlers of each worker.
#[derive(Debug, Clone, Default)]
pub struct HttpHandlers(Factories<dyn HttpHandler>);

impl HttpHandlers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and one more: routes with `handler = "NAME"` have their requests answered by a
    /// handler that `make` makes, one for each worker, on that worker's thread.
    #[must_use]
    pub fn with<H: HttpHandler + 'static>(
        self,
        name: &str,
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.with(name, Arc::new(move || Box::new(make()))))
    }

    /// The same, and those that are always there, unless the program has others of their names.
    pub(crate) fn with_built_in(self) -> Self {
        let has_own = self.place(DEMO).is_some();
        if has_own { self } else { self.with(DEMO, super::grpc::demo) }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// The place of a name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.0.place(name)
    }

    /// Makes the one at a place.
    pub(crate) fn make(&self, place: usize) -> Option<Box<dyn HttpHandler>> {
        self.0.make(place)
    }
}

/// Makes the WebSocket handlers of each worker.
#[derive(Debug, Clone, Default)]
pub struct WebSocketHandlers(Factories<dyn WebSocketHandler>);

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
        Self(self.0.with(name, Arc::new(move || Box::new(make()))))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// The place of a name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.0.place(name)
    }

    /// Makes the one at a place.
    pub(crate) fn make(&self, place: usize) -> Option<Box<dyn WebSocketHandler>> {
        self.0.make(place)
    }
}

//! The handlers of a program, by name.

use std::fmt;
use std::sync::Arc;

use super::http::HttpHandler;

/// A service of gRPC for those who try it out.
const DEMO: &str = "demo";

type Make = dyn Fn() -> Box<dyn HttpHandler> + Send + Sync;

/// Makes the handlers of each worker.
#[derive(Clone, Default)]
pub struct HttpHandlers {
    /// Each with its name; in their order.
    all: Arc<Vec<(String, Arc<Make>)>>,
}

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
        let mut all = Vec::clone(&self.all);
        all.retain(|(other, _)| other != name);
        let make: Arc<Make> = Arc::new(move || Box::new(make()) as Box<dyn HttpHandler>);
        all.push((name.to_owned(), make));
        Self { all: Arc::new(all) }
    }

    /// The same, and those that are always there, unless the program has others of their names.
    pub(crate) fn with_built_in(self) -> Self {
        let has_own = self.place(DEMO).is_some();
        if has_own { self } else { self.with(DEMO, super::grpc::demo) }
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
    pub(crate) fn make(&self, place: usize) -> Option<Box<dyn HttpHandler>> {
        self.all.get(place).map(|(_, make)| make())
    }
}

impl fmt::Debug for HttpHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

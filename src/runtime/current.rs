//! A value that the control plane may replace while workers use it.

use std::sync::{Arc, PoisonError, RwLock};

/// The present value. It is replaced seldom, and read once for each connection or request.
#[derive(Debug)]
pub struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    /// Begins with this value.
    #[must_use]
    pub const fn new(value: Arc<T>) -> Self {
        Self(RwLock::new(value))
    }

    /// The present value, which its holder keeps even if it is replaced meanwhile.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, this is the value.
    pub fn replace(&self, value: Arc<T>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, value);
        drop(current);
        // Its end may take long, and workers do not wait for it.
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_value_keeps_it() {
        let current = Current::new(Arc::new(1));
        let held = current.get();
        current.replace(Arc::new(2));
        assert_eq!((*held, *current.get()), (1, 2));
    }
}

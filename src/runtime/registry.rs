//! Values by number that the control plane adds and takes away while workers run.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Values by number. Whoever uses one often keeps the handle that [`Registry::get`] gives, so that
/// no lock is on the way of data.
#[derive(Debug)]
pub struct Registry<T>(RwLock<Vec<Option<Arc<T>>>>);

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> FromIterator<T> for Registry<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(RwLock::new(values.into_iter().map(|value| Some(Arc::new(value))).collect()))
    }
}

impl<T> Registry<T> {
    /// The value of that number.
    ///
    /// # Panics
    /// When there is none: numbers are handed out with their values.
    #[must_use]
    pub fn get(&self, number: usize) -> Arc<T> {
        self.find(number).expect("a number is handed out with its value")
    }

    /// The value of that number, if there is one.
    #[must_use]
    pub fn find(&self, number: usize) -> Option<Arc<T>> {
        self.read().get(number)?.clone()
    }

    /// All values, in the order of their numbers.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read().iter().flatten().cloned().collect()
    }

    /// From now on, the number has this value.
    pub fn put(&self, number: usize, value: Arc<T>) {
        let mut values = self.write();
        if number >= values.len() {
            values.resize_with(number + 1, || None);
        }
        values[number] = Some(value);
    }

    /// The number has no value any more. Whoever has its handle keeps it.
    pub fn remove(&self, number: usize) {
        let removed = self.write().get_mut(number).and_then(Option::take);
        // Its end may take long, and is not waited for by readers.
        drop(removed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Option<Arc<T>>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Option<Arc<T>>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go_and_handles_stay() {
        let registry: Registry<u32> = [10, 11].into_iter().collect();
        let first = registry.get(0);
        registry.put(3, Arc::new(13));
        registry.remove(0);
        registry.remove(9);
        assert_eq!(
            (*first, registry.find(0), registry.find(2), registry.find(9)),
            (10, None, None, None)
        );
        assert_eq!(registry.all().iter().map(|value| **value).collect::<Vec<_>>(), [11, 13]);
        registry.put(0, Arc::new(20));
        assert_eq!((*first, *registry.get(0)), (10, 20));
    }
}

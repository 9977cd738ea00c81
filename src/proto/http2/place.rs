//! Where something stands in a list that is in the order of its numbers.

use std::cell::Cell;

/// The place that was found last: mostly the same one is asked for again, or the next one.
#[derive(Debug, Default)]
pub(crate) struct LastPlace(Cell<usize>);

impl LastPlace {
    /// The place of a number; where it would stand, if it is not there.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn find<T>(
        &self,
        list: &[T],
        number: u32,
        of: impl Fn(&T) -> u32,
    ) -> Result<usize, usize> {
        let last = self.0.get();
        let near = [last, last + 1];
        let is_it = |place: &usize| list.get(*place).is_some_and(|one| of(one) == number);
        let found = match near.into_iter().find(is_it) {
            Some(place) => Ok(place),
            None if list.last().is_some_and(|one| of(one) < number) => Err(list.len()),
            None => list.binary_search_by_key(&number, of),
        };
        self.0.set(found.unwrap_or_else(|place| place));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_a_search_whatever_was_found_before() {
        for len in 0..6 {
            let list: Vec<u32> = (0..len).map(|at| at * 2 + 1).collect();
            for before in 0..13 {
                for number in 0..13 {
                    let last = LastPlace::default();
                    let _before = last.find(&list, before, |one| *one);
                    let found = last.find(&list, number, |one| *one);
                    assert_eq!(found, list.binary_search(&number), "{list:?} {before} {number}");
                }
            }
        }
    }
}

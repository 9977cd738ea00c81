//! The routes of each place, by their methods.

use std::ops::Range;

/// Numbers of routes by place and method. A list is in order, and has each route once.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The lists of each place.
    places: Vec<Place>,
    groups: Vec<Group>,
    numbers: Vec<u32>,
}

/// Mostly a place has one route, which has no other condition: then this is all that is looked at.
#[derive(Debug, Clone)]
enum Place {
    Sole(u32),
    Groups(Range<u32>),
}

/// Those of one method.
#[derive(Debug)]
struct Group {
    /// `None`: any. It comes first.
    method: Option<Box<str>>,
    numbers: Range<u32>,
}

/// A route at a place, with one of its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'r> {
    pub(super) place: u32,
    pub(super) method: Option<&'r str>,
    pub(super) number: u32,
}

impl Lists {
    /// Lists of so many places. `is_sole` tells whether a route has no condition besides host and
    /// path.
    pub(super) fn new(
        places: usize,
        mut entries: Vec<Entry<'_>>,
        is_sole: impl Fn(u32) -> bool,
    ) -> Self {
        let size = |size: usize| u32::try_from(size).expect("a configuration is below 4 GiB");
        entries.sort_unstable();
        entries.dedup();
        let mut lists = Self { places: Vec::with_capacity(places), ..Self::default() };
        let mut of_places = entries.chunk_by(|one, other| one.place == other.place).peekable();
        for place in 0..size(places) {
            let own = of_places.next_if(|own| own.first().is_some_and(|one| one.place == place));
            let own = own.unwrap_or_default();
            if let [Entry { method: None, number, .. }] = own
                && is_sole(*number)
            {
                lists.places.push(Place::Sole(*number));
                continue;
            }
            let start = size(lists.groups.len());
            for group in own.chunk_by(|one, other| one.method == other.method) {
                let first = size(lists.numbers.len());
                lists.numbers.extend(group.iter().map(|one| one.number));
                lists.groups.push(Group {
                    method: group.first().and_then(|one| one.method).map(Into::into),
                    numbers: first..size(lists.numbers.len()),
                });
            }
            lists.places.push(Place::Groups(start..size(lists.groups.len())));
        }
        lists
    }

    /// The first route of a place that a method may take, is below `limit`, and holds.
    pub(super) fn first(
        &self,
        place: u32,
        method: &str,
        limit: u32,
        holds: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let groups = match self.places.get(place as usize)? {
            Place::Sole(number) => return Some(*number).filter(|number| *number < limit),
            Place::Groups(groups) => self.groups.get(groups.start as usize..groups.end as usize)?,
        };
        let any = groups.first().filter(|group| group.method.is_none());
        let own = groups.binary_search_by(|group| group.method.as_deref().cmp(&Some(method)));
        let own = own.ok().and_then(|at| groups.get(at));
        let first = |group: Option<&Group>, limit: u32| {
            let Range { start, end } = group?.numbers.clone();
            let numbers = self.numbers.get(start as usize..end as usize)?;
            let below = numbers.iter().copied().take_while(|number| *number < limit);
            below.into_iter().find(|number| holds(*number))
        };
        let found = first(any, limit);
        first(own, found.unwrap_or(limit)).or(found)
    }

    /// All routes of a place.
    pub(super) fn all(&self, place: u32) -> impl Iterator<Item = u32> {
        let (sole, groups) = match self.places.get(place as usize) {
            Some(Place::Sole(number)) => (Some(*number), 0..0),
            Some(Place::Groups(groups)) => (None, groups.clone()),
            None => (None, 0..0),
        };
        let groups = self.groups.get(groups.start as usize..groups.end as usize);
        let listed = groups.into_iter().flatten().flat_map(|group| {
            let Range { start, end } = group.numbers.clone();
            self.numbers.get(start as usize..end as usize).into_iter().flatten().copied()
        });
        sole.into_iter().chain(listed)
    }
}

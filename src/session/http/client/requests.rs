//! The requests on a connection of HTTP/2, and which of them are to be looked at: those for which
//! something has come. A turn costs by these, and not by all that wait.

use std::time::Instant;

use super::request::Request;
use crate::proto::http::RequestHead;
use crate::proto::http1::RequestMeta;
use crate::proto::http2::{LastPlace, StreamId};

/// A request that waits for something, and what its client is waited for.
#[derive(Debug)]
pub(super) struct StreamRequest {
    pub(super) stream: StreamId,
    /// It is taken out while it is worked on.
    pub(super) request: Option<Request>,
    /// It has not begun, because there is no memory for its answer.
    parked: Option<Parked>,
    /// When its body began to come, and when some of it came last.
    pub(super) body_began: Option<Instant>,
    pub(super) body_progress: Instant,
    /// At the last look, it was not the client that its body waited for.
    pub(super) is_excused: bool,
    /// Bytes of the answer at the last look.
    pub(super) answered: u64,
    /// It is to be looked at.
    is_due: bool,
    /// It is to be looked at when the connection takes more.
    is_stopped: bool,
    /// Bytes of memory that what waits of its answer took at the last look.
    cost: usize,
}

impl StreamRequest {
    pub(super) const fn new(stream: StreamId, now: Instant) -> Self {
        Self {
            stream,
            request: None,
            parked: None,
            body_began: None,
            body_progress: now,
            is_excused: false,
            answered: 0,
            is_due: false,
            is_stopped: false,
            cost: 0,
        }
    }

    /// Whether it is to be looked at.
    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }
}

/// A request that has not begun.
pub(super) type Parked = Box<(Box<RequestHead>, RequestMeta)>;

/// See above.
#[derive(Debug, Default)]
pub(super) struct StreamRequests {
    /// In the order of their streams.
    list: Vec<StreamRequest>,
    /// The streams of those that are to be looked at, once each. Some may be over.
    due: Vec<StreamId>,
    /// Those that are to be looked at when the connection takes more, likewise.
    stopped: Vec<StreamId>,
    /// The sum of their costs.
    cost: usize,
    /// When the first body, and the first answer of a handler, may be late: then, or earlier.
    pub(super) bodies_from: Option<Instant>,
    pub(super) answers_from: Option<Instant>,
    /// Those that are parked, in their order. Some may be over.
    parked: Vec<StreamId>,
    /// When it was last looked whether they can begin.
    pub(super) parked_at: Option<Instant>,
    last: LastPlace,
}

impl StreamRequests {
    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of memory that what waits of answers takes, before it is the connection's.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &StreamRequest> + '_ {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut StreamRequest> + '_ {
        self.list.iter_mut()
    }

    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        self.last.find(&self.list, stream, |one| one.stream)
    }

    pub(super) fn get(&self, stream: StreamId) -> Option<&StreamRequest> {
        self.list.get(self.place(stream).ok()?)
    }

    pub(super) fn get_mut(&mut self, stream: StreamId) -> Option<&mut StreamRequest> {
        let place = self.place(stream).ok()?;
        self.list.get_mut(place)
    }

    /// The one of a stream, which is added if it is not there.
    pub(super) fn get_or_add(&mut self, stream: StreamId, now: Instant) -> &mut StreamRequest {
        let place = self.place(stream).unwrap_or_else(|place| {
            self.list.insert(place, StreamRequest::new(stream, now));
            place
        });
        &mut self.list[place]
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        if self.list.is_empty() {
            return;
        }
        if let Ok(place) = self.place(stream) {
            self.cost -= self.list.remove(place).cost;
        }
    }

    /// Something has come for a request.
    pub(super) fn mark(&mut self, stream: StreamId) {
        if let Ok(place) = self.place(stream)
            && !std::mem::replace(&mut self.list[place].is_due, true)
        {
            self.due.push(stream);
        }
    }

    /// Something has come that may be for any of them.
    pub(super) fn mark_all(&mut self) {
        // Those that were to be looked at before keep their places before the others.
        for one in self.list.iter_mut().filter(|one| !one.is_due) {
            one.is_due = true;
            self.due.push(one.stream);
        }
    }

    /// A request could go on, if the connection took more.
    pub(super) fn mark_stopped(&mut self, stream: StreamId) {
        if let Ok(place) = self.place(stream)
            && !std::mem::replace(&mut self.list[place].is_stopped, true)
        {
            self.stopped.push(stream);
        }
    }

    /// Whether requests could go on, if the connection took more.
    pub(super) const fn has_stopped(&self) -> bool {
        !self.stopped.is_empty()
    }

    /// The connection takes more.
    pub(super) fn mark_all_stopped(&mut self) {
        let mut stopped = std::mem::take(&mut self.stopped);
        for stream in stopped.drain(..) {
            if let Some(one) = self.get_mut(stream) {
                one.is_stopped = false;
                self.mark(stream);
            }
        }
        self.stopped = stopped;
    }

    /// Those that are to be looked at, `most` of them. The list is to be given back.
    pub(super) fn take_due(&mut self, most: usize) -> Vec<StreamId> {
        if self.due.len() <= most {
            return std::mem::take(&mut self.due);
        }
        let rest = self.due.split_off(most);
        std::mem::replace(&mut self.due, rest)
    }

    /// Whether more are to be looked at than were taken.
    pub(super) const fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The request of a stream, to look at it. If something comes for it meanwhile, it is marked
    /// again.
    pub(super) fn look_at(&mut self, stream: StreamId) -> Option<&mut StreamRequest> {
        let one = self.get_mut(stream)?;
        one.is_due = false;
        Some(one)
    }

    /// A request does not begin yet.
    pub(super) fn park(&mut self, stream: StreamId, parked: Parked, now: Instant) {
        self.get_or_add(stream, now).parked = Some(parked);
        self.parked_at = Some(now);
        self.parked.push(stream);
    }

    /// Of those that are parked, so many are looked at.
    pub(super) fn mark_parked(&mut self, most: usize) {
        let rest = self.parked.split_off(most.min(self.parked.len()));
        for stream in std::mem::replace(&mut self.parked, rest) {
            self.mark(stream);
        }
        if self.parked.is_empty() {
            self.parked_at = None;
        }
    }

    /// The request of a stream, if it was parked.
    pub(super) fn unpark(&mut self, stream: StreamId) -> Option<Parked> {
        self.get_mut(stream)?.parked.take()
    }

    /// How many have begun.
    pub(super) fn begun(&self) -> usize {
        self.list.iter().filter(|one| one.request.is_some()).count()
    }

    /// The list of those that were looked at: its memory is used again.
    pub(super) fn give_back(&mut self, mut due: Vec<StreamId>) {
        due.clear();
        due.append(&mut self.due);
        self.due = due;
    }

    /// Those whose requests were taken are over.
    pub(super) fn remove_taken(&mut self) {
        let cost = &mut self.cost;
        self.list.retain(|one| {
            let is_there = one.request.is_some() || one.parked.is_some();
            *cost -= if is_there { 0 } else { one.cost };
            is_there
        });
    }

    /// What waits of a request's answer takes so much memory now, and its body or its answer may be
    /// late at these times.
    pub(super) fn note(
        &mut self,
        stream: StreamId,
        cost: usize,
        (body, answer): (Option<Instant>, Option<Instant>),
    ) {
        let Ok(place) = self.place(stream) else { return };
        let before = std::mem::replace(&mut self.list[place].cost, cost);
        self.cost = self.cost + cost - before;
        self.bodies_from = [self.bodies_from, body].into_iter().flatten().min();
        self.answers_from = [self.answers_from, answer].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn due(requests: &mut StreamRequests) -> Vec<StreamId> {
        let due = requests.take_due(usize::MAX);
        for stream in &due {
            requests.look_at(*stream);
        }
        requests.give_back(due.clone());
        due
    }

    #[test]
    fn requests_are_looked_at_once_for_all_that_has_come_for_them() {
        let now = clock::now();
        let mut requests = StreamRequests::default();
        for stream in [1, 5, 3, 7] {
            requests.get_or_add(stream, now).request = None;
        }
        let streams: Vec<_> = requests.iter().map(|one| one.stream).collect();
        assert_eq!(streams, [1, 3, 5, 7]);
        assert!(due(&mut requests).is_empty());
        for stream in [5, 1, 5, 9] {
            requests.mark(stream);
        }
        assert_eq!(due(&mut requests), [5, 1]);
        assert!(due(&mut requests).is_empty());
        requests.mark(3);
        requests.mark_all();
        requests.mark(7);
        let first = requests.take_due(3);
        assert!(first == [3, 1, 5] && requests.has_due(), "what came first is looked at first");
        for stream in &first {
            requests.look_at(*stream);
        }
        requests.mark(1);
        requests.give_back(first);
        assert_eq!(due(&mut requests), [7, 1]);
    }

    #[test]
    fn requests_that_the_connection_has_stopped_are_not_looked_at_before_it_takes_more() {
        let mut requests = StreamRequests::default();
        for stream in [1, 3, 5] {
            requests.get_or_add(stream, clock::now());
        }
        for stream in [5, 1, 5] {
            requests.mark_stopped(stream);
        }
        requests.remove(1);
        assert!(due(&mut requests).is_empty() && requests.has_stopped());
        requests.mark(3);
        requests.mark_all_stopped();
        assert!(!requests.has_stopped());
        assert_eq!(due(&mut requests), [3, 5]);
    }

    #[test]
    fn parked_requests_are_looked_at_as_many_at_a_time_as_may_begin() {
        let now = clock::now();
        let mut requests = StreamRequests::default();
        let parked = || {
            let framing = crate::proto::http1::Framing::None;
            let meta = RequestMeta {
                len: 0,
                framing,
                keep_alive: true,
                expects_continue: false,
                upgrade: false,
            };
            Box::new((Box::default(), meta))
        };
        for stream in [1, 3, 5] {
            requests.park(stream, parked(), now);
        }
        assert!(due(&mut requests).is_empty() && requests.begun() == 0);
        requests.mark_parked(1);
        assert_eq!(due(&mut requests), [1]);
        assert!(requests.unpark(1).is_some() && requests.parked_at.is_some());
        requests.remove(3);
        requests.mark_parked(usize::MAX);
        assert_eq!(due(&mut requests), [5]);
        assert!(requests.unpark(5).is_some() && requests.parked_at.is_none());
    }

    #[test]
    fn what_comes_for_a_request_while_it_is_looked_at_is_for_the_next_look() {
        let mut requests = StreamRequests::default();
        requests.get_or_add(1, clock::now());
        requests.mark(1);
        let looked = requests.take_due(usize::MAX);
        requests.mark(1);
        assert!(requests.look_at(1).is_some());
        requests.mark(1);
        requests.give_back(looked);
        assert_eq!(due(&mut requests), [1]);
    }

    #[test]
    fn costs_are_those_of_the_requests_that_are_there() {
        let mut requests = StreamRequests::default();
        let now = clock::now();
        for (stream, cost) in [(1, 10), (3, 20), (5, 40)] {
            requests.get_or_add(stream, now);
            requests.note(stream, cost, (None, None));
        }
        assert_eq!(requests.cost(), 70);
        requests.note(3, 5, (None, None));
        assert_eq!(requests.cost(), 55);
        requests.remove(1);
        assert_eq!(requests.cost(), 45);
        requests.note(1, 100, (None, None));
        assert_eq!(requests.cost(), 45, "it is over");
        requests.remove_taken();
        assert_eq!((requests.cost(), requests.is_empty()), (0, true));
    }

    #[test]
    fn the_first_time_counts() {
        let now = clock::now();
        let later = now + std::time::Duration::from_secs(1);
        let mut requests = StreamRequests::default();
        for stream in [1, 3, 5] {
            requests.get_or_add(stream, now);
        }
        requests.note(1, 0, (Some(later), None));
        requests.note(3, 0, (Some(now), Some(later)));
        requests.note(5, 0, (None, None));
        assert_eq!((requests.bodies_from, requests.answers_from), (Some(now), Some(later)));
    }
}

//! Delivers what was published to the subscribers of a worker.

use crate::ring::Driver;
use crate::session::Sessions;
use crate::session::http::Delivery;
use crate::session::kind::Session;

/// Deliveries of one turn. What is left is for the next one.
const DELIVERIES_PER_TURN: usize = 32 * 1024;

impl<D: Driver> Sessions<D> {
    /// Delivers what was published to the subscribers of this worker.
    pub(in crate::session) fn deliver_topics(&mut self) {
        self.context.topics.receive_later();
        let mut left = DELIVERIES_PER_TURN;
        while left > 0
            && let Some(publication) = self.context.topics.next()
        {
            let targets = std::mem::take(&mut self.context.topics.targets);
            let mut delivery = Delivery::new(&publication);
            for (key, stream) in &targets {
                let (key, stream) = (*key, *stream);
                if let Some(Session::Http(http)) = self.slab.get_mut(key)
                    && http.deliver(&mut self.context, (key, stream), &mut delivery)
                {
                    self.note_worked(key);
                }
            }
            left = left.saturating_sub(targets.len().max(1));
            self.context.topics.targets = targets;
        }
    }
}

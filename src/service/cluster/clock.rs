//! The clocks of a server that carries an exchange: which of them runs, when it is over, and what
//! has failed then.
//!
//! A server is blamed only for time that was its own. While the client has to send more of its
//! request, or to take more of the answer, no clock of the server runs; while the server takes what
//! it is sent, if slowly, the clocks of its answer do not run either.

use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::service::pace::Pace;

/// Until it is known that a server has taken all of a request, it is looked after this part of the
/// time that it has.
const FIRST_LOOK: u32 = 4;

/// Interim answers give a server more time, but only so many times what it has without them.
const INTERIM_TIMES: u32 = 10;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the end of the request to the head of the answer, or without taking any of the request.
    pub first_byte: Duration,
    /// Without a byte of the answer's body.
    pub idle: Duration,
    /// For one try, up to the head of the answer.
    pub of_try: Option<Duration>,
}

/// The exchange that is carried, as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    /// When the present try began.
    pub tried: Instant,
    /// Whether the head of the answer has come.
    pub has_head: bool,
}

/// What is known of the bytes that went to the server, in all.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Bytes that the socket has taken.
    pub written: u64,
    /// Of these, bytes that the server's system has acknowledged.
    pub acknowledged: u64,
    /// Whether the socket takes no more.
    pub is_blocked: bool,
}

/// The clocks of one connection.
///
/// Calling order: [`ServerClock::assign`] for each exchange. Then, whenever something has happened,
/// [`ServerClock::wait_for_client`] or [`ServerClock::wait_for_server`]; at the time that the
/// latter has given, [`ServerClock::look`] and [`ServerClock::failure`].
#[derive(Debug)]
pub struct ServerClock {
    waits_for: WaitsFor,
    /// When the server last sent something, or was last sent something.
    progress: Instant,
    /// Up to when the server is excused: the client was waited for, or it took what it was sent, if
    /// slowly.
    excused_until: Option<Instant>,
    /// What had been written when the server was last seen to have taken all.
    taken_up_to: u64,
    /// How it takes what it has not.
    pace: Pace,
    /// When the first interim answer of the present exchange came.
    interim_since: Option<Instant>,
}

/// Who an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// The client: more of its request has to come, or it has to take more of the answer.
    Client,
    /// The server: it has all of the request, and the answer has to come, or it takes no more.
    Server,
}

impl ServerClock {
    /// The clocks of a connection that carries nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            waits_for: WaitsFor::Server,
            progress: now,
            excused_until: None,
            taken_up_to: 0,
            pace: Pace::default(),
            interim_since: None,
        }
    }

    /// An exchange begins. That it waited for a connection until now is not the server's doing.
    pub fn assign(&mut self, now: Instant) {
        self.waits_for = WaitsFor::Server;
        self.progress = now;
        self.excused_until = Some(now);
        self.pace.end();
        self.interim_since = None;
    }

    /// An interim answer has come, which counts as progress, but not for ever.
    pub fn note_interim(&mut self, now: Instant, patience: &Patience) {
        let since = *self.interim_since.get_or_insert(now);
        if now.saturating_duration_since(since) < patience.first_byte * INTERIM_TIMES {
            self.progress = now;
        }
    }

    /// The server has sent something, or was sent something.
    pub const fn note_progress(&mut self, now: Instant) {
        self.progress = now;
    }

    /// The client has to do something.
    pub const fn wait_for_client(&mut self) {
        self.waits_for = WaitsFor::Client;
    }

    /// If it was the client that had to do something, that time was not the server's.
    pub fn excuse_wait_for_client(&mut self, now: Instant) {
        if self.waits_for == WaitsFor::Client {
            self.excused_until = Some(now);
        }
    }

    /// Whether it is measured how the server takes what it was sent.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        self.pace.is_measured()
    }

    /// The server has to do something, and `written` bytes went to it: when to look.
    pub fn wait_for_server(
        &mut self,
        written: u64,
        patience: &Patience,
        carried: Carried,
    ) -> Instant {
        self.waits_for = WaitsFor::Server;
        let (due, _) = self.due(patience, carried);
        let wait = self.wait(patience, carried.has_head);
        if let Some(look) = self.pace.next_look(wait, None) {
            due.min(look)
        } else if !carried.has_head && written != self.taken_up_to {
            due.min(self.counts_from(self.progress) + wait / FIRST_LOOK)
        } else {
            due
        }
    }

    /// Looks what the server has taken of what it was sent.
    pub fn look(&mut self, now: Instant, sent: Sent) {
        if sent.acknowledged == sent.written && !sent.is_blocked {
            self.taken_up_to = sent.written;
            if self.pace.is_measured() {
                // It has the last of it only now.
                self.excused_until = Some(now);
                self.pace.end();
            }
        } else if !self.pace.is_measured() {
            self.pace.begin(now, sent.acknowledged);
        } else if self.pace.observe(now, sent.acknowledged) {
            self.excused_until = Some(now);
        }
    }

    /// What has failed by now, if the server is waited for and its time is over.
    #[must_use]
    pub fn failure(&self, now: Instant, patience: &Patience, carried: Carried) -> Option<Failure> {
        if self.waits_for == WaitsFor::Client {
            return None;
        }
        let (due, failure) = self.due(patience, carried);
        (due <= now).then_some(failure)
    }

    /// When the server must have done what is waited for, and what has failed if it has not.
    fn due(&self, patience: &Patience, carried: Carried) -> (Instant, Failure) {
        let wait = self.wait(patience, carried.has_head);
        if let Some(due) = self.pace.deadline(wait, None) {
            // Nothing was measured while the client was waited for.
            let excused = self.excused_until.map_or(due, |excused| excused + wait);
            return (due.max(excused), Failure::WriteTimeout);
        }
        let due = self.counts_from(self.progress) + wait;
        if carried.has_head {
            return (due, Failure::IdleTimeout);
        }
        match patience.of_try.map(|most| self.counts_from(carried.tried) + most) {
            Some(of_try) if of_try < due => (of_try, Failure::TryTimeout),
            Some(_) | None => (due, Failure::FirstByteTimeout),
        }
    }

    /// How long the server may take nothing, or say nothing.
    fn wait(&self, patience: &Patience, has_head: bool) -> Duration {
        if has_head {
            return patience.idle;
        }
        let is_taking = self.pace.is_measured();
        let of_try = patience.of_try.filter(|_| is_taking);
        of_try.map_or(patience.first_byte, |most| most.min(patience.first_byte))
    }

    /// A time of the server counts from then, or from when it was last excused.
    fn counts_from(&self, then: Instant) -> Instant {
        self.excused_until.map_or(then, |excused| excused.max(then))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first_byte: Duration::from_secs(8),
        idle: Duration::from_secs(20),
        of_try: None,
    };
    const WITH_TRY: Patience = Patience { of_try: Some(Duration::from_secs(4)), ..PATIENCE };

    struct Scene {
        begin: Instant,
        clock: ServerClock,
    }

    impl Scene {
        fn new() -> Self {
            let begin = Instant::now();
            let mut clock = ServerClock::new(begin);
            clock.assign(begin);
            Self { begin, clock }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.begin + Duration::from_secs(seconds)
        }

        fn carried(&self, has_head: bool) -> Carried {
            Carried { tried: self.begin, has_head }
        }

        fn look(&mut self, seconds: u64, written: u64, acknowledged: u64) {
            let sent = Sent { written, acknowledged, is_blocked: false };
            self.clock.look(self.at(seconds), sent);
        }

        fn failure(&self, seconds: u64, patience: &Patience, has_head: bool) -> Option<Failure> {
            self.clock.failure(self.at(seconds), patience, self.carried(has_head))
        }
    }

    #[test]
    fn a_server_that_has_the_request_has_its_time_for_the_head_and_then_for_each_byte() {
        let mut scene = Scene::new();
        let carried = scene.carried(false);
        let look = scene.clock.wait_for_server(100, &PATIENCE, carried);
        assert_eq!(look, scene.at(2), "whether it has taken the request is not known");
        scene.look(2, 100, 100);
        let due = scene.clock.wait_for_server(100, &PATIENCE, carried);
        assert_eq!(due, scene.at(8));
        assert_eq!(scene.failure(7, &PATIENCE, false), None);
        assert_eq!(scene.failure(8, &PATIENCE, false), Some(Failure::FirstByteTimeout));
        assert_eq!(scene.failure(4, &WITH_TRY, false), Some(Failure::TryTimeout));
        scene.clock.note_progress(scene.at(7));
        let carried = scene.carried(true);
        assert_eq!(scene.clock.wait_for_server(100, &WITH_TRY, carried), scene.at(27));
        assert_eq!(scene.failure(27, &WITH_TRY, true), Some(Failure::IdleTimeout));
    }

    #[test]
    fn no_clock_of_the_server_runs_while_the_client_is_waited_for() {
        let mut scene = Scene::new();
        scene.clock.wait_for_client();
        assert_eq!(scene.failure(1_000, &WITH_TRY, false), None);
        scene.clock.excuse_wait_for_client(scene.at(1_000));
        scene.look(1_000, 100, 100);
        let carried = scene.carried(false);
        let due = scene.clock.wait_for_server(100, &WITH_TRY, carried);
        assert_eq!(due, scene.at(1_004));
        // That was the server's own time.
        scene.clock.excuse_wait_for_client(scene.at(1_003));
        assert_eq!(scene.failure(1_004, &WITH_TRY, false), Some(Failure::TryTimeout));
    }

    #[test]
    fn a_server_that_takes_what_it_is_sent_is_excused_and_one_that_does_not_is_not() {
        let mut scene = Scene::new();
        let carried = scene.carried(false);
        scene.look(2, 100, 10);
        assert!(scene.clock.is_measured());
        assert_eq!(scene.clock.wait_for_server(100, &PATIENCE, carried), scene.at(4));
        for second in [4, 10, 17] {
            scene.look(second, 100, 10 + second);
            assert_eq!(scene.failure(second, &PATIENCE, false), None);
        }
        assert_eq!(scene.failure(25, &PATIENCE, false), Some(Failure::WriteTimeout));
        assert_eq!(scene.failure(21, &WITH_TRY, false), Some(Failure::WriteTimeout));
        // With the last of it, the time of the answer begins.
        scene.look(24, 100, 100);
        let due = scene.clock.wait_for_server(100, &PATIENCE, carried);
        assert_eq!(due, scene.at(32));
        assert_eq!(scene.failure(32, &PATIENCE, false), Some(Failure::FirstByteTimeout));
    }

    #[test]
    fn a_pause_of_the_client_is_not_measured_as_one_of_the_server() {
        let mut scene = Scene::new();
        let blocked = Sent { written: 100, acknowledged: 10, is_blocked: true };
        scene.clock.look(scene.at(1), blocked);
        scene.clock.wait_for_client();
        scene.clock.excuse_wait_for_client(scene.at(500));
        let carried = scene.carried(true);
        let _look = scene.clock.wait_for_server(100, &PATIENCE, carried);
        assert_eq!(scene.failure(500, &PATIENCE, true), None);
        assert_eq!(scene.failure(520, &PATIENCE, true), Some(Failure::WriteTimeout));
    }

    #[test]
    fn interim_answers_give_time_but_not_for_ever() {
        let mut scene = Scene::new();
        scene.look(1, 100, 100);
        // The first comes at 7, so that the last that counts may come before 87.
        for second in (7..300).step_by(7) {
            scene.clock.note_interim(scene.at(second), &PATIENCE);
        }
        assert_eq!(scene.failure(91, &PATIENCE, false), None);
        assert_eq!(scene.failure(92, &PATIENCE, false), Some(Failure::FirstByteTimeout));
        // The next exchange has them again.
        scene.clock.assign(scene.at(400));
        scene.clock.note_interim(scene.at(407), &PATIENCE);
        assert_eq!(scene.failure(414, &PATIENCE, false), None);
    }

    #[test]
    fn the_next_exchange_begins_anew() {
        let mut scene = Scene::new();
        scene.look(2, 100, 10);
        scene.clock.assign(scene.at(100));
        assert!(!scene.clock.is_measured());
        assert_eq!(scene.failure(107, &PATIENCE, false), None);
        assert_eq!(scene.failure(108, &PATIENCE, false), Some(Failure::FirstByteTimeout));
    }
}

//! Timing of pings and timeouts while the client waits for a server. Pure. Only time spent waiting
//! counts, so that a program that is busy elsewhere does not lose its connection.

use std::time::Duration;

use super::options::WebSocketOptions;
use crate::service::pace::earned;

/// Bytes a second of a message, after its timeout, that are more than dripping.
const RATE_MIN: u32 = 1024;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A ping is to be sent.
    Ping,
    /// A ping was not answered, and nothing else came.
    Pong,
    /// Nothing came for too long.
    Idle,
    /// A message that has begun comes too slowly.
    Message,
}

/// The waits of one connection.
#[derive(Debug, Clone)]
pub(super) struct Vigil {
    ping_interval: Option<Duration>,
    pong_timeout: Duration,
    idle_timeout: Option<Duration>,
    message_timeout: Duration,
    /// Since the last ping.
    pinged: Duration,
    /// Since the last byte.
    silent: Duration,
    /// A ping has not been answered: the silence since then.
    unanswered: Option<Duration>,
    /// Of a message that has begun, and bytes since then.
    message: Option<(Duration, u64)>,
}

impl Vigil {
    pub(super) const fn new(options: &WebSocketOptions) -> Self {
        Self {
            ping_interval: options.ping_interval,
            pong_timeout: options.pong_timeout,
            idle_timeout: options.idle_timeout,
            message_timeout: options.message_timeout,
            pinged: Duration::ZERO,
            silent: Duration::ZERO,
            unanswered: None,
            message: None,
        }
    }

    pub(super) const fn pong_timeout(&self) -> Duration {
        self.pong_timeout
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.unwrap_or(Duration::MAX)
    }

    pub(super) const fn message_timeout(&self) -> Duration {
        self.message_timeout
    }

    /// What is due next, and after which time.
    pub(super) fn next(&self) -> Option<(Duration, Due)> {
        let left = |most: Duration, so_far: Duration| most.saturating_sub(so_far);
        let ping = self.ping_interval.map(|most| (left(most, self.pinged), Due::Ping));
        let pong = self.unanswered.map(|so_far| (left(self.pong_timeout, so_far), Due::Pong));
        let idle = self.idle_timeout.map(|most| (left(most, self.silent), Due::Idle));
        let message = self.message.map(|(so_far, bytes)| {
            let most = self.message_timeout.saturating_add(earned(bytes, RATE_MIN));
            (left(most, so_far), Due::Message)
        });
        [pong, idle, message, ping].into_iter().flatten().min_by_key(|(time, _)| *time)
    }

    /// Adds time that was spent waiting.
    pub(super) fn waited(&mut self, time: Duration) {
        self.pinged = self.pinged.saturating_add(time);
        self.silent = self.silent.saturating_add(time);
        if let Some(so_far) = &mut self.unanswered {
            *so_far = so_far.saturating_add(time);
        }
        if let Some((so_far, _)) = &mut self.message {
            *so_far = so_far.saturating_add(time);
        }
    }

    /// Bytes were received: the server is alive.
    pub(super) fn received(&mut self, bytes: usize) {
        self.silent = Duration::ZERO;
        self.unanswered = self.unanswered.map(|_| Duration::ZERO);
        if let Some((_, so_far)) = &mut self.message {
            *so_far = so_far.saturating_add(bytes as u64);
        }
    }

    /// Whether a message has begun and has not ended.
    pub(super) fn set_within_message(&mut self, is_within: bool) {
        self.message = self.message.or(Some((Duration::ZERO, 0))).filter(|_| is_within);
    }

    /// A ping was sent.
    pub(super) fn has_pinged(&mut self) {
        self.pinged = Duration::ZERO;
        self.unanswered.get_or_insert(Duration::ZERO);
    }

    /// The present ping cannot be sent.
    pub(super) const fn skip_ping(&mut self) {
        self.pinged = Duration::ZERO;
    }

    /// The last ping was answered.
    pub(super) const fn has_answer(&mut self) {
        self.unanswered = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn vigil(ping: Option<u64>, idle: Option<u64>) -> Vigil {
        Vigil::new(&WebSocketOptions {
            ping_interval: ping.map(seconds),
            pong_timeout: seconds(5),
            idle_timeout: idle.map(seconds),
            message_timeout: seconds(7),
            ..WebSocketOptions::default()
        })
    }

    #[test]
    fn pings_are_due_while_it_waits_and_so_are_their_answers() {
        let mut vigil = vigil(Some(20), None);
        assert_eq!(vigil.next(), Some((seconds(20), Due::Ping)));
        vigil.waited(seconds(15));
        vigil.received(1);
        assert_eq!(vigil.next(), Some((seconds(5), Due::Ping)), "whatever comes");
        vigil.waited(seconds(5));
        assert_eq!(vigil.next(), Some((seconds(0), Due::Ping)));
        vigil.has_pinged();
        assert_eq!(vigil.next(), Some((seconds(5), Due::Pong)));
        vigil.waited(seconds(4));
        vigil.received(1);
        assert_eq!(vigil.next(), Some((seconds(5), Due::Pong)), "it lives");
        vigil.waited(seconds(5));
        assert_eq!(vigil.next(), Some((seconds(0), Due::Pong)));
        vigil.has_answer();
        assert_eq!(vigil.next(), Some((seconds(11), Due::Ping)));
    }

    #[test]
    fn silence_and_slow_messages_have_an_end() {
        let mut one = vigil(None, None);
        assert_eq!(one.next(), None);
        one = vigil(None, Some(9));
        one.waited(seconds(4));
        assert_eq!(one.next(), Some((seconds(5), Due::Idle)));
        one.set_within_message(true);
        assert_eq!(one.next(), Some((seconds(5), Due::Idle)));
        one.waited(seconds(4));
        one.received(2048);
        assert_eq!(one.next(), Some((seconds(5), Due::Message)), "7 - 4 + 2 KiB");
        one.set_within_message(true);
        one.waited(seconds(5));
        assert_eq!(one.next(), Some((seconds(0), Due::Message)));
        one.set_within_message(false);
        assert_eq!(one.next(), Some((seconds(4), Due::Idle)));
    }
}

//! Active checks of one server: when, and what their results make of it.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::random::Random;

/// How much of an answer's body is looked at, in bytes.
pub const BODY_PREFIX_MAX: usize = 16 * 1024;

/// How a server is checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckOptions {
    /// From the start of a check to that of the next one.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// The share of the interval by which it is made longer or shorter at random, 0 to 1, so that
    /// the checks of many servers do not fall together.
    pub jitter: f64,
    /// Checks in a row that must succeed until a server that is down is up; at least 1.
    pub rise: u32,
    /// Checks in a row that must fail until a server is down; at least 1.
    pub fall: u32,
}

/// What a server is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No check has succeeded yet, and not enough have failed. It is used.
    Unknown,
    /// It is used.
    Up,
    /// It is not used.
    Down,
}

/// What is to be told to [`super::servers::Servers::set_health`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is usable again.
    Up,
    /// It is no longer usable.
    Down,
}

/// The checks of one server.
///
/// A server begins as [`Health::Unknown`], which is usable: a start does not wait for checks. The
/// first success makes it `Up` at once, which changes nothing for others and is no [`Change`];
/// `fall` failures in a row make it `Down`, from `Unknown` as from `Up`.
///
/// Calling order: at [`Check::next_due`], [`Check::started`]; then [`Check::finished`] with its
/// result, or with a failure at [`Check::timeout_at`].
#[derive(Debug, Clone)]
pub struct Check {
    options: CheckOptions,
    random: Random,
    health: Health,
    /// Results in a row that speak against what it is taken for.
    against: u32,
    due: Instant,
    running_since: Option<Instant>,
}

impl Check {
    /// Checks that begin within the first jitter from now.
    #[must_use]
    pub fn new(options: CheckOptions, seed: u64, now: Instant) -> Self {
        let sound = if options.jitter.is_finite() { options.jitter.clamp(0.0, 1.0) } else { 0.0 };
        let options = CheckOptions { jitter: sound, ..options };
        let mut random = Random::new(seed);
        let due = now + share_of(options.interval, options.jitter * random.unit());
        Self { options, random, health: Health::Unknown, against: 0, due, running_since: None }
    }

    /// The same for a server that is known to be down.
    #[must_use]
    pub const fn begin_down(mut self) -> Self {
        self.health = Health::Down;
        self
    }

    /// When the next check starts; `None` while one is running.
    #[must_use]
    pub const fn next_due(&self) -> Option<Instant> {
        if self.running_since.is_some() { None } else { Some(self.due) }
    }

    /// When the check that is running has failed; `None` when none is.
    #[must_use]
    pub fn timeout_at(&self) -> Option<Instant> {
        self.running_since.map(|since| since + self.options.timeout)
    }

    /// A check starts.
    pub fn started(&mut self, now: Instant) {
        self.running_since = Some(now);
        let less = share_of(self.options.interval, self.options.jitter);
        let more = share_of(less, 2.0 * self.random.unit());
        self.due = now + (self.options.interval.saturating_sub(less) + more);
    }

    /// The check that was running is over. A result that nobody waits for says nothing.
    pub fn finished(&mut self, success: bool, now: Instant) -> Option<Change> {
        self.running_since.take()?;
        // A check that took longer than the interval is not followed by another at once for ever:
        // the next one starts, and counts its own interval.
        self.due = self.due.max(now);
        let agrees = success != (self.health == Health::Down);
        if agrees {
            self.against = 0;
            if success {
                self.health = Health::Up;
            }
            return None;
        }
        self.against += 1;
        let needed = if success { self.options.rise } else { self.options.fall };
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.health = if success { Health::Up } else { Health::Down };
        Some(if success { Change::Up } else { Change::Down })
    }

    /// The check that was running could not be made, for a want of ours: it says nothing of the
    /// server, which stays what it was taken for.
    pub fn skipped(&mut self, now: Instant) {
        if self.running_since.take().is_some() {
            self.due = self.due.max(now);
        }
    }

    /// What the server is taken for.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }
}

/// A share of a span, 0 to 2.
fn share_of(span: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_secs_f64() * share).unwrap_or(span)
}

/// What the answer to a check must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its status is in one of these ranges.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Its body has these bytes in its first [`BODY_PREFIX_MAX`].
    pub body: Option<Vec<u8>>,
}

/// Why an answer does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexpected {
    /// It has another status: this one.
    Status(u16),
    /// Its body has not what it must have.
    Body,
}

impl Expected {
    /// Whether the body is looked at.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether an answer does. `body` is its body, or the beginning of that.
    ///
    /// # Errors
    /// Why it does not.
    pub fn judge(&self, status: u16, body: &[u8]) -> Result<(), Unexpected> {
        if !self.statuses.iter().any(|range| range.contains(&status)) {
            return Err(Unexpected::Status(status));
        }
        let Some(wanted) = self.body.as_deref().filter(|wanted| !wanted.is_empty()) else {
            return Ok(());
        };
        let body = body.get(..BODY_PREFIX_MAX).unwrap_or(body);
        let found = body.windows(wanted.len()).any(|window| window == wanted);
        if found { Ok(()) } else { Err(Unexpected::Body) }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    const OPTIONS: CheckOptions = CheckOptions {
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        jitter: 0.1,
        rise: 2,
        fall: 3,
    };

    #[test]
    fn a_check_that_could_not_be_made_leaves_the_server_what_it_was() {
        let now = Instant::now();
        let mut check = Check::new(CheckOptions { rise: 2, fall: 2, ..OPTIONS }, 1, now);
        check.started(now);
        assert_eq!(check.finished(false, now), None);
        for _ in 0..10 {
            check.started(now);
            check.skipped(now);
            assert!(check.next_due().is_some(), "the next one follows in its time");
            assert_ne!(check.health(), Health::Down);
        }
        check.started(now);
        assert_eq!(check.finished(false, now), Some(Change::Down), "the second in a row");
    }

    #[test]
    fn results_in_a_row_bring_a_server_down_and_up() {
        use Change::{Down, Up};
        // `+` is a success, `-` a failure; the changes by their place in the row.
        type Case = (&'static str, &'static [(usize, Change)], Health);
        let cases: [Case; 9] = [
            ("", &[], Health::Unknown),
            ("--", &[], Health::Unknown),
            ("---", &[(2, Down)], Health::Down),
            ("+", &[], Health::Up),
            ("-+", &[], Health::Up),
            ("--+--+--", &[], Health::Up),
            ("+---", &[(3, Down)], Health::Down),
            ("---+-+-+", &[(2, Down)], Health::Down),
            ("---++--+---++", &[(2, Down), (4, Up), (10, Down), (12, Up)], Health::Up),
        ];
        for (results, expected, health) in cases {
            let now = Instant::now();
            let mut check = Check::new(OPTIONS, 1, now);
            let mut changes = Vec::new();
            for (place, result) in results.bytes().enumerate() {
                check.started(now);
                changes.extend(check.finished(result == b'+', now).map(|change| (place, change)));
            }
            assert_eq!((changes.as_slice(), check.health()), (expected, health), "{results}");
        }
    }

    #[test]
    fn checks_follow_their_interval_with_its_jitter() {
        let begin = Instant::now();
        let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
        for seed in 0..200 {
            let mut check = Check::new(OPTIONS, seed, begin);
            let first = check.next_due().unwrap();
            assert!(first >= begin && first <= begin + Duration::from_millis(200));
            check.started(first);
            assert_eq!(check.next_due(), None);
            assert_eq!(check.timeout_at(), Some(first + OPTIONS.timeout));
            assert_eq!(check.finished(true, first + Duration::from_millis(5)), None);
            assert_eq!(check.timeout_at(), None);
            let rest = check.next_due().unwrap() - first;
            shortest = shortest.min(rest);
            longest = longest.max(rest);
        }
        let range = Duration::from_millis(1_800)..=Duration::from_millis(2_200);
        assert!(range.contains(&shortest) && range.contains(&longest));
        assert!(longest - shortest > Duration::from_millis(300), "they are spread");
    }

    #[test]
    fn a_slow_check_delays_the_next_one_and_a_stray_result_says_nothing() {
        let begin = Instant::now();
        let mut check = Check::new(CheckOptions { fall: 1, ..OPTIONS }, 3, begin);
        assert_eq!(check.finished(false, begin), None, "none was running");
        check.started(begin);
        let late = begin + Duration::from_secs(9);
        assert_eq!(check.finished(false, late), Some(Change::Down));
        assert_eq!(check.finished(false, late), None);
        assert_eq!(check.next_due(), Some(late));
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let now = Instant::now();
        for jitter in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            let options = CheckOptions { jitter, rise: 0, fall: 0, ..OPTIONS };
            let mut check = Check::new(options, 9, now);
            check.started(now);
            assert_eq!(check.finished(false, now), Some(Change::Down));
            check.started(now);
            assert_eq!(check.finished(true, now), Some(Change::Up));
            assert!(check.next_due().unwrap() <= now + Duration::from_secs(9));
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_status_and_its_body() {
        let expected = |body: Option<&str>| Expected {
            statuses: vec![200..=204, 301..=301],
            body: body.map(|body| body.as_bytes().to_vec()),
        };
        type Case = (Option<&'static str>, u16, &'static [u8], Result<(), Unexpected>);
        let cases: [Case; 10] = [
            (None, 200, b"", Ok(())),
            (None, 204, b"anything", Ok(())),
            (None, 301, b"", Ok(())),
            (None, 205, b"", Err(Unexpected::Status(205))),
            (None, 500, b"", Err(Unexpected::Status(500))),
            (Some("ok"), 200, b"all is ok", Ok(())),
            (Some("ok"), 200, b"o k", Err(Unexpected::Body)),
            (Some("ok"), 200, b"", Err(Unexpected::Body)),
            (Some("ok"), 503, b"ok", Err(Unexpected::Status(503))),
            (Some(""), 200, b"", Ok(())),
        ];
        for (body, status, found, result) in cases {
            assert_eq!(expected(body).judge(status, found), result, "{body:?} {status}");
        }
        let mut long = vec![b'x'; BODY_PREFIX_MAX];
        long.extend(b"ok");
        assert_eq!(expected(Some("ok")).judge(200, &long), Err(Unexpected::Body));
        assert!(expected(Some("ok")).needs_body() && !expected(None).needs_body());
    }
}

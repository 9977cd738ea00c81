//! Which parts of an open file were found in memory, so that they need not be asked about each time
//! that somebody is sent them.

use std::time::{Duration, Instant};

use crate::ring::Residence;

/// Bytes of a file that are asked about, and sent, at once.
pub(super) const WINDOW: u64 = 2 * 1024 * 1024;

/// How long what was in memory is taken to be there still: what was just sent is not what the
/// kernel takes back first.
const VALID: Duration = Duration::from_millis(100);

/// Windows of a file that are remembered at most: what lies beyond them is asked about each time.
const WINDOWS_MAX: usize = 512;

/// A part of a window that is smaller by this factor costs less to ask about than the window.
const PART: u64 = 8;

/// When each window of a file was found in memory last.
#[derive(Debug, Default)]
pub(super) struct Residency(Vec<Option<Instant>>);

impl Residency {
    /// Whether `len` bytes from `start` on, not more than a window, are in memory: as far as is
    /// known, or by asking, by their place and number. The file has `size` bytes.
    pub(super) fn covers(
        &mut self,
        now: Instant,
        (start, len, size): (u64, usize, u64),
        mut ask: impl FnMut(u64, usize) -> Residence,
    ) -> bool {
        self.covers_windows(now, (start, len, size), &mut ask)
            .unwrap_or_else(|| ask(start, len) != Residence::Missing)
    }

    /// The same by windows; none where they say nothing.
    fn covers_windows(
        &mut self,
        now: Instant,
        (start, len, size): (u64, usize, u64),
        ask: &mut impl FnMut(u64, usize) -> Residence,
    ) -> Option<bool> {
        let bytes = len as u64;
        let last = start + bytes.max(1) - 1;
        let is_part = bytes < WINDOW / PART && bytes < size;
        let first = usize::try_from(start / WINDOW).ok()?;
        let last = usize::try_from(last / WINDOW).ok()?;
        if last >= WINDOWS_MAX || is_part {
            return None;
        }
        if self.0.len() <= last {
            self.0.resize(last + 1, None);
        }
        let windows = self.0.iter_mut().enumerate().skip(first);
        for (number, found) in windows.take(last + 1 - first) {
            if found.is_some_and(|then| now.saturating_duration_since(then) < VALID) {
                continue;
            }
            let place = number as u64 * WINDOW;
            let rest = size.saturating_sub(place).min(WINDOW);
            let is_whole = ask(place, usize::try_from(rest).ok()?) == Residence::Whole;
            *found = is_whole.then_some(now);
            if !is_whole {
                // What is missing may be a part that nobody wants.
                return None;
            }
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was asked for, where the bytes of these places are not in memory, and the kernel says
    /// all that it knows.
    fn asked(
        residency: &mut Residency,
        now: Instant,
        wanted: (u64, usize, u64),
        absent: &[u64],
    ) -> (bool, Vec<(u64, usize)>) {
        let mut asked = Vec::new();
        let covers = residency.covers(now, wanted, |start, len| {
            asked.push((start, len));
            let is_missing = absent.iter().any(|place| (start..start + len as u64).contains(place));
            if is_missing { Residence::Missing } else { Residence::Whole }
        });
        (covers, asked)
    }

    #[test]
    fn what_a_kernel_does_not_tell_is_not_remembered() {
        let (mut residency, now) = (Residency::default(), crate::runtime::clock::now());
        let half = usize::try_from(WINDOW / 2).unwrap();
        for _ in 0..2 {
            let mut asked = Vec::new();
            let covers = residency.covers(now, (100, half, WINDOW), |start, len| {
                asked.push((start, len));
                Residence::Ends
            });
            assert!(covers && asked.last() == Some(&(100, half)), "its own ends: {asked:?}");
        }
    }

    #[test]
    fn a_window_is_asked_about_once_in_a_while() {
        let (mut residency, start) = (Residency::default(), crate::runtime::clock::now());
        let size = WINDOW * 2 + 100;
        let whole = usize::try_from(WINDOW).unwrap();
        assert_eq!(asked(&mut residency, start, (0, whole, size), &[]), (true, vec![(0, whole)]));
        assert_eq!(asked(&mut residency, start, (0, whole, size), &[]), (true, vec![]));
        // Over a boundary: the next window is asked about, which has all of the file's end.
        let over = (WINDOW - 10, whole, size);
        assert_eq!(asked(&mut residency, start, over, &[]), (true, vec![(WINDOW, whole)]));
        let end = (WINDOW * 2, 100, WINDOW * 2 + 100);
        assert_eq!(asked(&mut residency, start, end, &[]), (true, vec![(WINDOW * 2, 100)]));
        let later = start + VALID;
        assert_eq!(asked(&mut residency, later, over, &[]).1.len(), 2, "it is too long ago");
    }

    #[test]
    fn what_is_absent_is_never_taken_to_be_there() {
        let (mut residency, now) = (Residency::default(), crate::runtime::clock::now());
        let half = usize::try_from(WINDOW / 2).unwrap();
        let absent = [WINDOW - 1];
        let (covers, asks) = asked(&mut residency, now, (0, half, WINDOW), &absent);
        assert!(covers && asks.len() == 2, "the part that is wanted is there: {asks:?}");
        let (covers, _) = asked(&mut residency, now, (WINDOW / 2, half, WINDOW), &absent);
        assert!(!covers, "and this one is not");
        let (covers, _) = asked(&mut residency, now, (WINDOW / 2, half, WINDOW), &[]);
        assert!(covers, "it has come");
    }

    #[test]
    fn small_parts_and_far_ones_are_asked_about_alone() {
        let (mut residency, now) = (Residency::default(), crate::runtime::clock::now());
        let far = WINDOW * WINDOWS_MAX as u64;
        for wanted in [(5, 10, WINDOW), (far, 1 << 20, far * 2)] {
            let (start, len, _) = wanted;
            assert_eq!(asked(&mut residency, now, wanted, &[]), (true, vec![(start, len)]));
        }
        assert!(residency.0.is_empty(), "nothing is remembered of them");
        assert_eq!(asked(&mut residency, now, (0, 10, 10), &[]), (true, vec![(0, 10)]));
        assert_eq!(asked(&mut residency, now, (0, 10, 10), &[]), (true, vec![]), "a small file");
        assert!(asked(&mut residency, now, (0, 0, 0), &[]).0, "an empty one");
    }
}

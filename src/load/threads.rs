//! The threads of a load on this machine, each with a loop of its own.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::LoadError;
use super::generator::{Generator, Report};
use super::setup::{Control, Setup};
use crate::ring::uring::RingOptions;
use crate::ring::{DriverChoice, DriverKind, KernelDriver};

/// Receive buffers of a thread's ring: connections share them, and give them back each turn.
const RECEIVE_BUFFERS: u16 = 512;

/// Starts the threads of some places of a load. They report to `reports`.
///
/// # Errors
/// A thread or its ring cannot be made; none of them runs then.
pub(super) fn start(
    setup: &Arc<Setup>,
    places: Range<usize>,
    control: &Arc<Control>,
    reports: &Sender<Report>,
) -> Result<Vec<JoinHandle<()>>, LoadError> {
    let chosen = DriverChoice::Auto.or_environment();
    let kind = chosen.map_err(|error| LoadError::Ring(error.to_string()))?.resolve().kind;
    let mut threads = Vec::new();
    for place in places {
        match start_one(setup, (place, kind), control, reports) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                control.stop();
                for thread in threads {
                    let _ended = thread.join();
                }
                return Err(error);
            }
        }
    }
    Ok(threads)
}

fn start_one(
    setup: &Arc<Setup>,
    (place, kind): (usize, DriverKind),
    control: &Arc<Control>,
    reports: &Sender<Report>,
) -> Result<JoinHandle<()>, LoadError> {
    let (own, control, reports) = (Arc::clone(setup), Arc::clone(control), reports.clone());
    let (told, is_made) = channel();
    let thread = std::thread::Builder::new().name(format!("load-{place}"));
    let thread = thread.spawn(move || {
        precise_timers();
        // A driver belongs to the thread that made it.
        match KernelDriver::new(kind, &ring_options(&own)) {
            Ok(driver) => {
                let _told = told.send(Ok(()));
                Generator::new(driver, place, own, control, reports).run();
            }
            Err(error) => {
                let _told = told.send(Err(error.to_string()));
            }
        }
    });
    let thread = thread.map_err(|error| LoadError::Thread(error.to_string()))?;
    match is_made.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(reason)) => Err(LoadError::Ring(reason)),
        Err(_) => Err(LoadError::Thread("a thread ended at once".to_owned())),
    }
}

/// Waits for their ends.
///
/// # Errors
/// One of them panicked.
pub(super) fn join(threads: Vec<JoinHandle<()>>) -> Result<(), LoadError> {
    let ended = threads.into_iter().map(JoinHandle::join).collect::<Vec<_>>();
    match ended.iter().all(Result::is_ok) {
        true => Ok(()),
        false => Err(LoadError::Thread("a thread of the load panicked".to_owned())),
    }
}

/// A wait ends when it is to end, and not up to 50 us later. Best effort.
fn precise_timers() {
    let _set = nix::sys::prctl::set_timerslack(1);
}

fn ring_options(setup: &Setup) -> RingOptions {
    // A connection has a receive and a send in flight, and a cancel when it ends.
    let connections = setup.connections.div_ceil(setup.threads.max(1));
    let in_flight = (connections * 3 + 64).max(1024);
    let entries = u32::try_from(connections.next_power_of_two()).unwrap_or(4096).clamp(256, 4096);
    let buffer_size = if setup.is_datagram() { 64 * 1024 } else { 16 * 1024 };
    RingOptions {
        entries,
        completions: entries * 4,
        buffers: RECEIVE_BUFFERS,
        buffer_size,
        datagram_buffers: 0,
        in_flight_max: in_flight,
        ..RingOptions::default()
    }
}

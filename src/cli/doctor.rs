//! `ringway doctor`: what this kernel offers, and what is done where something is missing.

use std::fmt::Write;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::{fail, print};
use crate::net::tls::Aead;
use crate::net::tls::kernel::{self, Combination, Verdict};
use crate::proto::tls::Version;
use crate::ring::epoll::Epoll;
use crate::ring::uring::{
    Feature, FilterError, Presence, Query, REQUESTS, RingOptions, Uring, filter_connects, probe,
    query,
};
use crate::ring::{Direct, DriverChoice};

/// Locked memory that the rings of a worker with the default sizes take: 51 pages on Linux 6.18.
/// `ringway check --budget` has that of a configuration.
const LOCKED_PER_WORKER: u64 = 51 * 4096;

/// Runs the verb.
pub(super) fn run() -> ExitCode {
    let mut text = String::new();
    let mut row = |what: &str, found: &str, note: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{what:<36} {found:<22} {note}");
    };
    row("what", "found", "what we do with it");
    row("kernel", &release(), "io_uring is used from 5.19 on, 6.1 or later is better; else epoll");
    row("kernel.io_uring_disabled", &sysctl(), "0 allows everybody, 1 privileged users only");
    row("locked memory (ulimit -l)", &limit(Resource::RLIMIT_MEMLOCK), &locked_note());
    row("open files (ulimit -n)", &limit(Resource::RLIMIT_NOFILE), "two for each proxied one");
    let ring = ring(&mut row);
    let epoll = Epoll::new(&RingOptions::small());
    match &epoll {
        Ok(_) => row("epoll", "yes", "used where io_uring is not"),
        Err(error) => row("epoll", "refused", &error.to_string()),
    }
    let auto = DriverChoice::Auto.or_environment().map(DriverChoice::resolve);
    match &auto {
        Ok(chosen) => {
            row("driver = \"auto\"", chosen.kind.name(), "what workers ask the kernel by")
        }
        Err(error) => row("driver = \"auto\"", "refused", &error.to_string()),
    }
    kernel_tls(&mut row);
    let shown = print(text.as_bytes());
    match (ring, epoll, auto) {
        (_, _, Err(error)) => fail(&error.to_string()),
        (Err(reason), Err(_), Ok(_)) => fail(&format!("Ringway cannot run here: {reason}")),
        (Ok(()), ..) | (_, Ok(_), Ok(_)) => shown,
    }
}

/// What io_uring offers, or why it cannot be used.
fn ring(row: &mut impl FnMut(&str, &str, &str)) -> Result<(), String> {
    let features = probe().map_err(|error| {
        row("io_uring", "refused", &error.to_string());
        error.to_string()
    })?;
    match Uring::new(&RingOptions::default()) {
        Ok(ring) => {
            let size = ring.size();
            row("ring flags", "granted", &ring.flags().to_string());
            let note = if size.reduced { "smaller than asked for" } else { "as asked for" };
            row("ring entries", &format!("{} / {}", size.entries, size.completions), note);
        }
        Err(error) => row("ring", "refused", &error.to_string()),
    }
    match query() {
        Ok(Query { requests, register_calls, .. }) => row(
            "io_uring knows (6.18)",
            &format!("{requests} requests"),
            &format!("and {register_calls} calls to register; ours: {}", REQUESTS.len()),
        ),
        Err(errno) => {
            row("io_uring knows (6.18)", &format!("not said: {errno:?}"), "tried instead")
        }
    }
    match filters_connects() {
        Ok(()) => row("io_uring filters connects (7.2)", "yes", "used with runtime.connect_to"),
        Err(error) => row("io_uring filters connects (7.2)", "no", &error.to_string()),
    }
    for feature in &features {
        let name = format!("{} ({})", feature.name, feature.since);
        match feature.presence {
            Presence::Present => row(&name, "yes", "used"),
            Presence::Missing(errno) => {
                row(&name, &format!("no: {errno:?}"), &format!("instead: {}", feature.instead));
            }
        }
    }
    let missing: Vec<&str> = features.iter().filter(|f| is_fatal(f)).map(|f| f.name).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("io_uring has no {}", missing.join(", "))),
    }
}

/// What the kernel encrypts; one line, where it is nothing.
fn kernel_tls(row: &mut impl FnMut(&str, &str, &str)) {
    let report = kernel::probe(&mut Direct);
    if !report.is_of_use() {
        let why = report.verdict(Version::Tls13, Aead::Aes128Gcm);
        row("TLS in the kernel", "no", &format!("instead: in user space; {why}"));
        return;
    }
    for Combination { version, aead, verdict, receive } in report.combinations() {
        let version = if *version == Version::Tls13 { "1.3" } else { "1.2" };
        let name = format!("TLS {version} in the kernel, {}", aead.name());
        if *verdict == Verdict::Works {
            row(&name, "yes", "used for large files and bulk flows");
        } else {
            row(&name, "no", &format!("instead: in user space; {verdict}"));
        }
        if *receive != Verdict::Works {
            row(&format!("{name}, to decrypt"), "no", &receive.to_string());
        }
    }
    let update = report.key_update();
    let found = if update == Verdict::Works { "yes" } else { "no" };
    row("another TLS key in the kernel", found, &update.to_string());
}

/// Filters are for good: a thread that ends has them.
fn filters_connects() -> Result<(), FilterError> {
    let thread =
        std::thread::Builder::new().name("filter".to_owned()).spawn(|| filter_connects(&[]));
    let ended =
        thread.map_err(|_| Errno::EAGAIN).and_then(|thread| thread.join().map_err(|_| Errno::EIO));
    ended.unwrap_or_else(|errno| Err(FilterError::Refused(errno)))
}

fn is_fatal(feature: &Feature) -> bool {
    feature.required && feature.presence != Presence::Present
}

fn release() -> String {
    match nix::sys::utsname::uname() {
        Ok(name) => name.release().to_string_lossy().into_owned(),
        Err(error) => error.to_string(),
    }
}

fn sysctl() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled") {
        Ok(value) => value.trim().to_owned(),
        // Kernels before 6.6 have no such switch.
        Err(_) => "no such switch".to_owned(),
    }
}

fn limit(resource: Resource) -> String {
    match getrlimit(resource) {
        Ok((soft, hard)) => format!("{} / {}", amount(soft), amount(hard)),
        Err(error) => error.to_string(),
    }
}

fn amount(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

fn locked_note() -> String {
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _)) if soft != u64::MAX => {
            let workers = soft / LOCKED_PER_WORKER;
            format!("for about {workers} workers of an ordinary user; then smaller rings")
        }
        Ok(_) | Err(_) => "enough".to_owned(),
    }
}

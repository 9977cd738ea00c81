//! The machine that a run was made on.

use std::fs;
use std::io::Read;

use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// What is read of a file of the kernel.
const FILE_MAX: u64 = 64 * 1024;

/// The machine of the generator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The kernel's release.
    pub kernel: String,
    /// The model of its CPU.
    pub cpu: String,
    /// CPUs that the generator may use.
    pub cpus: u32,
    /// How the generator speaks to the kernel: `io_uring` or `epoll`.
    pub driver: String,
    /// Files that it may have open.
    pub open_files: u64,
}

impl Environment {
    /// This machine. What cannot be found out is empty or 0.
    #[must_use]
    pub fn here(driver: &str) -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu_model(&text("/proc/cpuinfo")),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            driver: driver.to_owned(),
            open_files: getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _hard)| soft),
        }
    }
}

fn text(path: &str) -> String {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut text));
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The first model that is named. Not every architecture names one.
fn cpu_model(cpuinfo: &str) -> String {
    let values = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let model = |wanted: &str| {
        let mut found = values.clone().filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim().to_owned())
    };
    let found = ["model name", "cpu model", "hardware"].into_iter().find_map(model);
    found.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_or_the_architecture_is_told() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.40GHz\n\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text), "Some CPU @ 2.40GHz");
        assert_eq!(cpu_model("processor : 0\n"), std::env::consts::ARCH);
        let here = Environment::here("io_uring");
        assert!(here.cpus > 0 && here.open_files > 0 && here.kernel.contains('.'), "{here:?}");
    }
}

//! The limits of the machine, and warnings where they are lower than what a configuration allows.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use super::show::Kind;
use super::{Budget, Item, Part};

/// What the machine allows this process. `None`: no limit is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineLimits {
    /// Descriptors: the hard limit of RLIMIT_NOFILE, to which a start raises the soft one.
    pub descriptors: Option<u64>,
    /// Bytes of locked memory: RLIMIT_MEMLOCK, of all processes of the user. None is charged to a
    /// process with CAP_IPC_LOCK.
    pub locked: Option<u64>,
    /// Bytes of memory: that of the machine, or of the cgroups around the process if it is less.
    pub memory: Option<u64>,
}

/// Reads the limits of this process and its machine. What cannot be read is none.
#[must_use]
pub fn machine_limits() -> MachineLimits {
    let limited = |limit: u64| (limit != u64::MAX).then_some(limit);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let status = read(Path::new("/proc/self/status"));
    let locked = getrlimit(Resource::RLIMIT_MEMLOCK).ok().and_then(|(soft, _)| limited(soft));
    let installed = memory_of_machine(&read(Path::new("/proc/meminfo")));
    let groups = read(Path::new("/proc/self/cgroup"));
    let allowed = memory_of_groups(&groups, |group| {
        read(&Path::new("/sys/fs/cgroup").join(group).join("memory.max"))
    });
    MachineLimits {
        descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().and_then(|(_, hard)| limited(hard)),
        locked: locked.filter(|_| !may_lock(&status)),
        memory: [installed, allowed].into_iter().flatten().min(),
    }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
pub(super) fn memory_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest `memory.max` of the cgroup (version 2) of `/proc/self/cgroup` and those around it.
pub(super) fn memory_of_groups(groups: &str, read_max: impl Fn(&Path) -> String) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limits = Path::new(own).ancestors().map(|group| read_max(group).trim().parse::<u64>().ok());
    limits.flatten().min()
}

/// Whether `/proc/self/status` says that the process has CAP_IPC_LOCK.
pub(super) fn may_lock(status: &str) -> bool {
    /// The bit of CAP_IPC_LOCK.
    const IPC_LOCK: u64 = 1 << 14;
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & IPC_LOCK != 0)
}

impl Budget {
    /// What the machine does not allow of it, and what to do about that.
    #[must_use]
    pub fn warnings(&self, machine: &MachineLimits) -> Vec<String> {
        let totals = self.totals();
        let descriptors = (Kind::Descriptors, totals.descriptors, machine.descriptors);
        let locked = (Kind::Locked, totals.locked, machine.locked);
        let memory = (Kind::Memory, totals.memory, machine.memory);
        let warnings = [
            self.warning(
                descriptors,
                |part| &part.descriptors,
                "descriptors",
                "RLIMIT_NOFILE",
                "beyond it, connections wait or are refused: raise it (`ulimit -Hn`, \
                 LimitNOFILE=)",
            ),
            self.warning(
                locked,
                |part| &part.locked,
                "locked memory",
                "RLIMIT_MEMLOCK",
                "beyond it, rings are made smaller: raise it (`ulimit -l`, LimitMEMLOCK=)",
            ),
            self.warning(
                memory,
                |part| &part.memory,
                "memory",
                "MemTotal or memory.max",
                "beyond it, the kernel kills the process: add memory (MemoryMax= of a service, \
                 `--memory` of a container)",
            ),
        ];
        warnings.into_iter().flatten().collect()
    }

    /// One warning, with the largest items and their keys.
    fn warning(
        &self,
        (kind, needed, limit): (Kind, u64, Option<u64>),
        items: fn(&Part) -> &Vec<Item>,
        what: &str,
        limited_by: &str,
        remedy: &str,
    ) -> Option<String> {
        /// So many items are named.
        const NAMED: usize = 3;
        let limit = limit.filter(|limit| *limit < needed)?;
        let parts = self.parts.iter();
        let mut all: Vec<(&str, &Item)> = parts
            .flat_map(|part| items(part).iter().map(move |item| (part.title.as_str(), item)))
            .filter(|(_, item)| item.amount > 0)
            .collect();
        all.sort_by_key(|(_, item)| std::cmp::Reverse(item.amount));
        let named = all.iter().take(NAMED).map(|(title, Item { name, formula, amount })| {
            format!("{title}: {name} {} ({formula})", kind.shown(*amount))
        });
        let named = named.collect::<Vec<_>>().join("; ");
        let (needed, limit) = (kind.shown(needed), kind.shown(limit));
        Some(format!(
            "{what}: the configuration allows {needed}, and {limited_by} {limit}; {remedy}, or \
             lower what is largest: {named}"
        ))
    }
}

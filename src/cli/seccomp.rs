//! `ringway doctor --seccomp`: a profile for container runtimes, with the system calls that Ringway
//! makes and no others. docs/ringway-seccomp.json is what this prints.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::print;
use crate::ring::uring::REQUESTS;

/// Rings. What may be sent on them passes by seccomp; Ringway restricts each ring to what it needs.
const RINGS: &[&str] = &["io_uring_enter", "io_uring_register", "io_uring_setup"];

/// Connections, datagrams, pipes between them, readiness. Making sockets is by family, below.
const NETWORK: &[&str] = &[
    "accept4",
    "bind",
    "connect",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "getpeername",
    "getsockname",
    "getsockopt",
    "ioctl",
    "listen",
    "pipe2",
    "poll",
    "ppoll",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socketpair",
    "splice",
];

/// Files that are served, and those of the server itself: configuration, certificates, logs.
const FILES: &[&str] = &[
    "access",
    "cachestat",
    "chmod",
    "close",
    "close_range",
    "dup",
    "dup3",
    "faccessat",
    "faccessat2",
    "fchmod",
    "fchmodat",
    "fcntl",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents64",
    "lseek",
    "lstat",
    "mkdir",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pread64",
    "preadv2",
    "pwrite64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "stat",
    "statfs",
    "statx",
    "unlink",
    "unlinkat",
    "write",
    "writev",
];

/// Memory, threads, signals, time, limits.
const PROCESS: &[&str] = &[
    "arch_prctl",
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "futex",
    "futex_waitv",
    "get_robust_list",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getrandom",
    "getrlimit",
    "getrusage",
    "gettid",
    "gettimeofday",
    "getuid",
    "kill",
    "madvise",
    "membarrier",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "setrlimit",
    "sigaltstack",
    "sysinfo",
    "tgkill",
    "uname",
];

/// What a container runtime does between its filter and the first instruction of the program.
const START: &[&str] = &[
    "capget",
    "capset",
    "chdir",
    "execve",
    "fchdir",
    "fchown",
    "seccomp",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "setuid",
    "umask",
];

/// Families of sockets, by their numbers: Unix, IPv4, IPv6, and netlink, by which the addresses of
/// this host are asked for.
const FAMILIES: &[(&str, i32)] = &[
    ("AF_UNIX", libc::AF_UNIX),
    ("AF_INET", libc::AF_INET),
    ("AF_INET6", libc::AF_INET6),
    ("AF_NETLINK", libc::AF_NETLINK),
];

/// The profile, as JSON text with a line end.
fn seccomp_profile() -> String {
    let requests = REQUESTS.map(|(name, _)| name.trim_start_matches("IORING_OP_"));
    let rings = format!("io_uring; each ring is restricted to: {}", requests.join(", "));
    let groups = [
        (rings.as_str(), RINGS),
        ("network", NETWORK),
        ("files", FILES),
        ("memory, threads, signals, time", PROCESS),
        ("the start of a container", START),
    ];
    let groups = groups.into_iter().map(|(comment, names)| {
        json!({ "comment": comment, "names": names, "action": "SCMP_ACT_ALLOW" })
    });
    let families = FAMILIES.iter().map(|(name, number)| {
        json!({
            "comment": format!("sockets of {name}"),
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": number, "op": "SCMP_CMP_EQ" }],
        })
    });
    let calls: Vec<Value> = groups.chain(families).collect();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        // ENOSYS: programs and libraries then do without a call that they know to be new.
        "defaultErrnoRet": libc::ENOSYS,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": calls,
    });
    // Texts and numbers can always be written.
    let mut text = serde_json::to_string_pretty(&profile).unwrap_or_default();
    text.push('\n');
    text
}

/// Runs the verb.
pub(super) fn run() -> ExitCode {
    print(seccomp_profile().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_in_the_documentation_is_that_of_the_code() {
        assert!(
            include_str!("../../docs/ringway-seccomp.json") == seccomp_profile(),
            "write it again: ringway doctor --seccomp > docs/ringway-seccomp.json"
        );
    }

    #[test]
    fn calls_are_named_once_and_in_order() {
        for names in [RINGS, NETWORK, FILES, PROCESS, START] {
            assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        }
    }
}

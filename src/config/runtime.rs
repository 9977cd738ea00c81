//! `[runtime]`: workers, what they ask the kernel by, and their memory.

use std::num::NonZeroU16;
use std::time::Duration;

use serde_json::json;
use toml::Value;

use super::accept;
use super::kinds::{Bool, Bytes, Choice, Custom, Kind, List, PowerOfTwo, Time, Whole};
use super::schema::{self, DAY, KERNEL_TLS_WORDS, SPLICE_WORDS};
use super::table::table;
use crate::ring::{ConnectTarget, DRIVER_WORDS, DriverChoice, ZeroCopySend};

table! {
    /// `[runtime]`: workers, rings and buffers.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Runtime {
        /// Workers, each with a ring of its own: "auto" for one per CPU that the process may use,
        /// or 1 to 1024.
        "workers" workers: WorkerCount = WorkerCount::Auto, WORKERS;
        /// Whether each worker is pinned to its CPU.
        "pin" pin: bool = true, Bool;
        /// How workers ask the kernel: "uring" (io_uring), "epoll", or "auto": io_uring, and epoll
        /// where that is forbidden or missing. RINGWAY_DRIVER in the environment says what "auto"
        /// is.
        "driver" driver: DriverChoice = DriverChoice::Auto, Choice(DRIVER_WORDS);
        /// Submission entries of each ring.
        "ring_entries" ring_entries: u32 = 1024, PowerOfTwo(64..=32_768);
        /// Completion entries of each ring, at least twice `ring_entries`.
        "completion_entries" completion_entries: u32 = 8192, PowerOfTwo(128..=65_536);
        /// Receive buffers of each worker. By default 4 MiB of them.
        "buffers" buffers: u32 = 256, PowerOfTwo(16..=32_768);
        /// Bytes of a receive buffer. By default the payload of one TLS record, ten full segments.
        "buffer_size" buffer_size: u32 = 16 << 10, Bytes(1 << 10..=1 << 20);
        /// Bytes that one direction of a connection may move in one turn of its worker, so that a
        /// fast one does not hold up the others.
        "turn_budget" turn_budget: u32 = 1 << 20, Bytes(16 << 10..=16 << 20);
        /// Bytes of memory that compressors of each worker may take. In the second half of it
        /// answers are compressed less well; what finds no room goes uncompressed. By default some
        /// thirty long answers at a time with full windows, or a hundred.
        "compression_memory" compression_memory: u64 = 64 << 20, Bytes(0..=64 << 30);
        /// Bytes of memory in each worker that may wait for slow peers of HTTP. In the second half
        /// of it less may wait for each of them; beyond it, one part of each body. By default a
        /// thousand of them at a time with all that may wait for one.
        "waiting_memory" waiting_memory: u64 = 256 << 20, Bytes(1 << 20..=64 << 30);
        /// Bytes of memory that WebSockets of each worker may keep for compression between messages
        /// (windows of `deflate_takeover`). Sockets beyond it compress each message by itself. By
        /// default some fifty sockets with full windows, 256 KiB to compress and 32 KiB to inflate.
        "websocket_takeover_memory" websocket_takeover_memory: u64 = 16 << 20, Bytes(0..=64 << 30);
        /// How long a shutdown waits for connections to end by themselves. By default the time that
        /// service managers grant, too.
        "shutdown_timeout" shutdown_timeout: Duration = Duration::from_secs(30),
            Time(Duration::ZERO..=DAY);
        /// A worker with more than this times the mean of active connections hands new ones over to
        /// others: 1.0 to 100.0, or "off" (or false) for never.
        "handoff_ratio" handoff_ratio: Option<f64> = Some(1.5), HANDOFF_RATIO;
        /// Whether the kernel encrypts what a connection of TLS sends, from its first large file or
        /// bulk flow on: "auto" (where it can), "both" (it also decrypts what bulk flows receive,
        /// which is then spliced, too: from Linux 6.14 on), or "off" for never.
        "kernel_tls" kernel_tls: KernelTls = KernelTls::Auto, Choice(KERNEL_TLS_WORDS);
        /// Sends that are made without a copy, by io_uring: "auto" (of 16 KiB or more, to peers on
        /// other hosts, until the kernel says that it has copied), a size from which on all are, or
        /// "off". What is sent so stays in memory until the peer has acknowledged it, up to 64 MiB
        /// for each worker; what lies in receive buffers is always copied.
        "zero_copy_send" zero_copy_send: ZeroCopySend = ZeroCopySend::Auto, ZERO_COPY_SEND;
        /// Where upstreams may be: networks and addresses, with a port if only that is meant
        /// (10.0.0.0/8, 192.0.2.1:443, fd00::/8 in brackets before a port), and "unix", up to 200.
        /// Empty for anywhere. A server elsewhere is refused, by its address or what its name
        /// resolves to; where the kernel can (Linux 7.2), it refuses to connect rings elsewhere.
        "connect_to" connect_to: Vec<ConnectTarget> = Vec::new(),
            List { counts: 0..=200, each: CONNECT_TARGET };
        /// Whether the configuration file is read again when it changes, as after SIGHUP. A
        /// half-written file is not to be read: by default a reload is asked for.
        "watch" watch: bool = false, Bool;
        .. {
            /// When bytes go through a pipe within the kernel instead of a buffer.
            splice: SpliceOptions = SpliceOptions::default();
        }
    }
}

const WORKERS: Custom<WorkerCount> = Custom {
    accept: accept::workers,
    write: |workers| match workers {
        WorkerCount::Auto => Value::from("auto"),
        WorkerCount::Fixed(count) => Value::from(u32::from(count.get())),
    },
    schema: || {
        let (least, most) = schema::WORKERS_RANGE.into_inner();
        json!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": least, "maximum": most },
        ] })
    },
};

const CONNECT_TARGET: Custom<ConnectTarget> = Custom {
    accept: accept::connect_target,
    write: |target| Value::from(target.to_string()),
    schema: || json!({ "type": "string" }),
};

const HANDOFF_RATIO: Custom<Option<f64>> = Custom {
    accept: accept::handoff_ratio,
    write: |ratio| ratio.map_or_else(|| Value::from("off"), Value::from),
    schema: || {
        let (least, most) = schema::HANDOFF_RATIO_RANGE.into_inner();
        json!({ "anyOf": [
            { "const": "off" },
            { "const": false },
            { "type": "number", "minimum": least, "maximum": most },
        ] })
    },
};

const ZERO_COPY_SEND: Custom<ZeroCopySend> = Custom {
    accept: |value| match value.as_str() {
        Some("auto") => Ok(ZeroCopySend::Auto),
        Some("off") => Ok(ZeroCopySend::Off),
        _ => ZERO_COPY_FROM.accept(value).map(ZeroCopySend::From).map_err(|fault| {
            let expected = format!("\"auto\", \"off\", or {}", fault.expected);
            accept::Fault { expected, ..fault }
        }),
    },
    write: |wanted| match wanted {
        ZeroCopySend::Auto => Value::from("auto"),
        ZeroCopySend::Off => Value::from("off"),
        ZeroCopySend::From(least) => ZERO_COPY_FROM.write(least),
    },
    schema: || json!({ "anyOf": [{ "enum": ["auto", "off"] }, ZERO_COPY_FROM.schema()] }),
};
const ZERO_COPY_FROM: Bytes<u32> = Bytes(1..=1 << 30);

/// The number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// One for each CPU that this process may use.
    Auto,
    /// So many.
    Fixed(NonZeroU16),
}

table! {
    /// When a connection's bytes are moved with `splice`: the keys `splice*`, `pipe_size` and
    /// `pipes` of `[runtime]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SpliceOptions {
        /// Whether bulk flows are moved with splice, without a copy: "auto", or "off" for never.
        "splice" mode: SpliceMode = SpliceMode::Auto, Choice(SPLICE_WORDS);
        /// Bytes that one direction has to have moved before it may be promoted to splice. By
        /// default what pays for the setup of a pipe.
        "splice_after" after: u64 = 256 << 10, Bytes(0..=1 << 30);
        /// Bytes of a mean receive from which on a flow counts as bulk. By default a full buffer.
        "splice_min_read" min_read: u32 = 16 << 10, Bytes(1 << 10..=1 << 20);
        /// Bytes of a pipe that splice goes through. The kernel grants up to
        /// /proc/sys/fs/pipe-max-size bytes. By default what it grants without privileges.
        "pipe_size" pipe_size: u32 = 1 << 20, Bytes(64 << 10..=16 << 20);
        /// Empty pipes that each worker keeps for the next flow. Each spliced direction of a
        /// connection has one of its own besides.
        "pipes" pipes: u32 = 64, Whole(0..=4096);
    }
}

/// Whether `splice` is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceMode {
    /// For flows that are found to be bulk.
    Auto,
    /// Never: bytes are always copied through a buffer.
    Off,
}

/// Whether the kernel encrypts what connections of TLS send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelTls {
    /// Where it can, so that files and bulk flows need not be copied to be sealed.
    Auto,
    /// So, and what bulk flows receive is decrypted by it, too.
    Both,
    /// Never.
    Off,
}

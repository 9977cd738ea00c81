//! The configuration in effect, as a file that says everything.

use std::fmt;

use super::schema::{
    BALANCE_WORDS, LOG_FORMAT_WORDS, LOG_LEVEL_WORDS, SEND_PROXY_PROTOCOL_WORDS, SPLICE_WORDS,
    Words,
};
use super::units::{Period, Size};
use super::{
    Admin, Config, Listener, ListenerService, Log, Runtime, SocketOptions, Upstream, Workers,
};

impl Config {
    /// The configuration as TOML text, with every key. [`parse`](super::parse()) makes the same
    /// configuration of it, if it came from there.
    #[must_use]
    pub fn to_toml(&self) -> String {
        Effective(self).to_string()
    }
}

struct Effective<'c>(&'c Config);

impl fmt::Display for Effective<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        runtime(&self.0.runtime, f)?;
        admin(&self.0.admin, f)?;
        log(&self.0.log, f)?;
        for item in &self.0.listeners {
            listener(item, &self.0.upstreams, f)?;
        }
        self.0.upstreams.iter().try_for_each(|item| upstream(item, f))
    }
}

fn runtime(runtime: &Runtime, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "[runtime]")?;
    match runtime.workers {
        Workers::Auto => writeln!(f, "workers = \"auto\"")?,
        Workers::Fixed(count) => writeln!(f, "workers = {count}")?,
    }
    writeln!(f, "pin = {}", runtime.pin)?;
    writeln!(f, "ring_entries = {}", runtime.ring_entries)?;
    writeln!(f, "completion_entries = {}", runtime.completion_entries)?;
    writeln!(f, "buffers = {}", runtime.buffers)?;
    writeln!(f, "buffer_size = \"{}\"", Size(runtime.buffer_size.into()))?;
    writeln!(f, "turn_budget = \"{}\"", Size(runtime.turn_budget.into()))?;
    writeln!(f, "shutdown_timeout = \"{}\"", Period(runtime.shutdown_timeout))?;
    match runtime.handoff_ratio {
        Some(ratio) => writeln!(f, "handoff_ratio = {ratio:?}")?,
        None => writeln!(f, "handoff_ratio = \"off\"")?,
    }
    let splice = &runtime.splice;
    writeln!(f, "splice = \"{}\"", word(SPLICE_WORDS, splice.mode))?;
    writeln!(f, "splice_after = \"{}\"", Size(splice.after))?;
    writeln!(f, "splice_min_read = \"{}\"", Size(splice.min_read.into()))?;
    writeln!(f, "pipe_size = \"{}\"", Size(splice.pipe_size.into()))?;
    writeln!(f, "pipes = {}", splice.pipes)
}

fn admin(admin: &Admin, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[admin]")?;
    writeln!(f, "enabled = {}", admin.enabled)?;
    writeln!(f, "listen = \"{}\"", admin.listen)
}

fn log(log: &Log, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[log]")?;
    writeln!(f, "format = \"{}\"", word(LOG_FORMAT_WORDS, log.format))?;
    writeln!(f, "level = \"{}\"", word(LOG_LEVEL_WORDS, log.level))?;
    writeln!(f, "access = {}", log.access)
}

fn listener(
    listener: &Listener,
    upstreams: &[Upstream],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    writeln!(f, "\n[[listener]]")?;
    writeln!(f, "name = {}", quoted(&listener.name))?;
    writeln!(f, "listen = {}", array(&listener.listen))?;
    match listener.service {
        ListenerService::Tcp { upstream } => {
            let name = upstreams.get(upstream).map(|upstream| upstream.name.as_str());
            writeln!(f, "protocol = \"tcp\"")?;
            writeln!(f, "upstream = {}", quoted(name.unwrap_or_default()))?;
        }
        ListenerService::Echo => writeln!(f, "protocol = \"echo\"")?,
    }
    writeln!(f, "max_connections = {}", listener.max_connections)?;
    writeln!(f, "idle_timeout = \"{}\"", Period(listener.idle_timeout))?;
    writeln!(f, "accept_proxy_protocol = {}", listener.accept_proxy_protocol)?;
    writeln!(f, "proxy_header_timeout = \"{}\"", Period(listener.proxy_header_timeout))?;
    socket_options(&listener.socket, f)?;
    writeln!(f, "backlog = {}", listener.backlog)?;
    writeln!(f, "unix_mode = \"{:04o}\"", listener.unix_mode)
}

fn upstream(upstream: &Upstream, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[upstream.{}]", upstream.name)?;
    writeln!(f, "servers = {}", array(&upstream.servers))?;
    writeln!(f, "balance = \"{}\"", word(BALANCE_WORDS, upstream.balance))?;
    writeln!(f, "connect_timeout = \"{}\"", Period(upstream.connect_timeout))?;
    writeln!(f, "retries = {}", upstream.retries)?;
    let header = word(SEND_PROXY_PROTOCOL_WORDS, upstream.send_proxy_protocol);
    writeln!(f, "send_proxy_protocol = \"{header}\"")?;
    socket_options(&upstream.socket, f)
}

fn socket_options(options: &SocketOptions, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let buffer = |size: Option<u32>| {
        size.map_or_else(|| "auto".to_owned(), |size| Size(size.into()).to_string())
    };
    let keepalive = options.keepalive.map(|after| Period(after).to_string());
    writeln!(f, "nodelay = {}", options.nodelay)?;
    writeln!(f, "keepalive = \"{}\"", keepalive.as_deref().unwrap_or("off"))?;
    writeln!(f, "receive_buffer = \"{}\"", buffer(options.receive_buffer))?;
    writeln!(f, "send_buffer = \"{}\"", buffer(options.send_buffer))
}

/// The word that means a choice.
fn word<T: PartialEq>(words: Words<T>, meaning: T) -> &'static str {
    let found = words.iter().find(|(_, other)| *other == meaning);
    found.map_or("", |(word, _)| word)
}

fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}

fn array<T: fmt::Display>(items: &[T]) -> toml::Value {
    items.iter().map(|item| toml::Value::from(item.to_string())).collect::<Vec<_>>().into()
}

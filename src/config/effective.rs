//! The configuration in effect, as a file that says everything.

use std::fmt;

use super::http::effective as http;
use super::schema::{
    BALANCE_WORDS, KERNEL_TLS_WORDS, LOG_FORMAT_WORDS, LOG_LEVEL_WORDS, Protocol,
    SEND_PROXY_PROTOCOL_WORDS, SPLICE_WORDS, STEERING_WORDS, proxies_of, word,
};
use super::sni;
use super::tls::{write_admin, write_listener, write_upstream};
use super::topics;
use super::units::{Period, Size};
use super::{
    Admin, Config, ExchangeOptions, Listener, ListenerService, Log, PoolOptions, Runtime,
    SocketOptions, Topics, UdpOptions, Upstream, WorkerCount,
};

impl Config {
    /// The configuration as TOML text, with every key that applies. [`parse`](super::parse())
    /// makes the same configuration of it, if it came from there.
    #[must_use]
    pub fn to_toml(&self) -> String {
        Effective(self).to_string()
    }
}

/// Writes by a function.
struct Written<W>(W);

impl<W: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Written<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// One of the tables of the process, as text.
pub(super) fn table_text(config: &Config, name: &str) -> String {
    Written(|f: &mut fmt::Formatter<'_>| match name {
        "runtime" => runtime(&config.runtime, f),
        "admin" => admin(&config.admin, f),
        _log => log(&config.log, f),
    })
    .to_string()
}

/// A listener, as text.
pub(super) fn listener_text(item: &Listener, config: &Config) -> String {
    Written(|f: &mut fmt::Formatter<'_>| listener(item, config, f)).to_string()
}

/// An upstream, as text, with the keys of every protocol.
pub(super) fn upstream_text(item: &Upstream) -> String {
    Written(|f: &mut fmt::Formatter<'_>| upstream(item, &[], f)).to_string()
}

/// Topics, as text.
pub(super) fn topics_text(item: &Topics) -> String {
    Written(|f: &mut fmt::Formatter<'_>| topics::write(item, f)).to_string()
}

struct Effective<'c>(&'c Config);

impl fmt::Display for Effective<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        runtime(&self.0.runtime, f)?;
        admin(&self.0.admin, f)?;
        log(&self.0.log, f)?;
        for item in &self.0.listeners {
            listener(item, self.0, f)?;
        }
        let services = self.0.listeners.iter().map(|listener| &listener.service);
        let users = Protocol::users(services, self.0.upstreams.len());
        for (item, users) in self.0.upstreams.iter().zip(&users) {
            upstream(item, users, f)?;
        }
        self.0.topics.iter().try_for_each(|item| topics::write(item, f))
    }
}

fn runtime(runtime: &Runtime, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "[runtime]")?;
    match runtime.workers {
        WorkerCount::Auto => writeln!(f, "workers = \"auto\"")?,
        WorkerCount::Fixed(count) => writeln!(f, "workers = {count}")?,
    }
    writeln!(f, "pin = {}", runtime.pin)?;
    writeln!(f, "ring_entries = {}", runtime.ring_entries)?;
    writeln!(f, "completion_entries = {}", runtime.completion_entries)?;
    writeln!(f, "buffers = {}", runtime.buffers)?;
    writeln!(f, "buffer_size = \"{}\"", Size(runtime.buffer_size.into()))?;
    writeln!(f, "turn_budget = \"{}\"", Size(runtime.turn_budget.into()))?;
    writeln!(f, "compression_memory = \"{}\"", Size(runtime.compression_memory))?;
    writeln!(f, "waiting_memory = \"{}\"", Size(runtime.waiting_memory))?;
    let takeover = Size(runtime.websocket_takeover_memory);
    writeln!(f, "websocket_takeover_memory = \"{takeover}\"")?;
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
    writeln!(f, "pipes = {}", splice.pipes)?;
    writeln!(f, "kernel_tls = \"{}\"", word(KERNEL_TLS_WORDS, runtime.kernel_tls))?;
    writeln!(f, "watch = {}", runtime.watch)
}

fn admin(admin: &Admin, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[admin]")?;
    writeln!(f, "enabled = {}", admin.enabled)?;
    writeln!(f, "listen = \"{}\"", admin.listen)?;
    let file = admin.token_file.as_ref().map(|path| path.display().to_string());
    writeln!(f, "token_file = {}", quoted(file.as_deref().unwrap_or("off")))?;
    admin.tls.as_ref().map_or(Ok(()), |tls| write_admin(tls, f))
}

fn log(log: &Log, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[log]")?;
    writeln!(f, "format = \"{}\"", word(LOG_FORMAT_WORDS, log.format))?;
    writeln!(f, "level = \"{}\"", word(LOG_LEVEL_WORDS, log.level))?;
    writeln!(f, "access = {}", log.access)
}

fn listener(listener: &Listener, config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let protocol = Protocol::of(&listener.service);
    writeln!(f, "\n[[listener]]")?;
    writeln!(f, "name = {}", quoted(&listener.name))?;
    writeln!(f, "listen = {}", array(&listener.listen))?;
    writeln!(f, "protocol = \"{}\"", protocol.word())?;
    if let Some(index) = listener.service.upstream() {
        let name = config.upstreams.get(index).map(|upstream| upstream.name.as_str());
        writeln!(f, "upstream = {}", quoted(name.unwrap_or_default()))?;
    }
    let header_timeout = Period(listener.proxy_header_timeout);
    let lines = [
        ("max_connections", listener.max_connections.to_string()),
        ("idle_timeout", format!("\"{}\"", Period(listener.idle_timeout))),
        ("accept_proxy_protocol", listener.accept_proxy_protocol.to_string()),
        ("proxy_header_timeout", format!("\"{header_timeout}\"")),
        ("backlog", listener.backlog.to_string()),
        ("unix_mode", format!("\"{:04o}\"", listener.unix_mode)),
    ];
    let sockets = socket_options(&listener.socket);
    write_lines(lines.into_iter().chain(sockets), |key| protocol.has(key), f)?;
    service(&listener.service, config, f)?;
    listener.tls.as_ref().map_or(Ok(()), |tls| write_listener(tls, f))
}

/// The keys that only this service has.
fn service(service: &ListenerService, config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match service {
        ListenerService::Tcp { .. } | ListenerService::Echo => Ok(()),
        ListenerService::Udp { options, max_flows, flow_timeout, .. } => {
            udp_options(options, f)?;
            writeln!(f, "max_flows = {max_flows}")?;
            writeln!(f, "flow_timeout = \"{}\"", Period(*flow_timeout))
        }
        ListenerService::UdpEcho { options } => udp_options(options, f),
        ListenerService::Frame { upstream, options } => {
            writeln!(f, "window = {}", options.window)?;
            writeln!(f, "max_payload = \"{}\"", Size(options.max_payload.into()))?;
            if upstream.is_some() {
                return Ok(());
            }
            let values = options.values.iter();
            let values = values.map(|(name, value)| (name.clone(), quoted(value)));
            let files = options.files.as_ref().map(|path| path.display().to_string());
            writeln!(f, "values = {}", toml::Value::Table(values.collect()))?;
            writeln!(f, "files = {}", quoted(files.as_deref().unwrap_or("off")))?;
            let topics = options.topics.and_then(|topics| config.topics.get(topics));
            let topics = topics.map_or("off", |topics| topics.name.as_str());
            writeln!(f, "topics = {}", quoted(topics))
        }
        ListenerService::Messages { line_limit } => {
            writeln!(f, "line_limit = \"{}\"", Size((*line_limit).into()))
        }
        ListenerService::Sni { options, .. } => sni::write(options, &config.upstreams, f),
        ListenerService::Http(options) => http::listener(options, config, f),
    }
}

fn udp_options(options: &UdpOptions, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "offload = {}", options.offload)?;
    writeln!(f, "steering = \"{}\"", word(STEERING_WORDS, options.steering))
}

/// An upstream, with the protocols of the listeners that use it.
fn upstream(upstream: &Upstream, uses: &[Protocol], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[upstream.{}]", upstream.name)?;
    // One that nothing uses may have the keys of every protocol.
    let is_unused = uses.is_empty();
    let servers = http::servers(&upstream.servers, &upstream.http.shares);
    writeln!(f, "servers = {servers}")?;
    writeln!(f, "balance = \"{}\"", word(BALANCE_WORDS, upstream.balance))?;
    let header = word(SEND_PROXY_PROTOCOL_WORDS, upstream.send_proxy_protocol);
    let lines = [
        ("connect_timeout", format!("\"{}\"", Period(upstream.connect_timeout))),
        ("retries", upstream.retries.to_string()),
        ("send_proxy_protocol", format!("\"{header}\"")),
    ];
    let pool = pool_options(&upstream.pool);
    let exchange = exchange_options(&upstream.exchange);
    let lines = lines.into_iter().chain(socket_options(&upstream.socket)).chain(pool);
    let is_used = |key: &str| {
        let proxies = proxies_of(key);
        let is_for = |proxies: &[Protocol]| proxies.iter().any(|proxy| uses.contains(proxy));
        is_unused || proxies.is_none_or(is_for)
    };
    write_lines(lines.chain(exchange), is_used, f)?;
    http::upstream(&upstream.http, is_used, f)?;
    let tls = upstream.tls.as_ref();
    tls.map_or(Ok(()), |tls| write_upstream(&upstream.name, tls, f))
}

fn pool_options(pool: &PoolOptions) -> [(&'static str, String); 7] {
    let max_age = pool.max_age.map(|age| Period(age).to_string());
    [
        ("pool_max", pool.max.to_string()),
        ("pool_min_idle", pool.min_idle.to_string()),
        ("pool_idle_timeout", format!("\"{}\"", Period(pool.idle_timeout))),
        ("pool_max_age", format!("\"{}\"", max_age.as_deref().unwrap_or("off"))),
        ("pool_queue", pool.queue.to_string()),
        ("pool_queue_timeout", format!("\"{}\"", Period(pool.queue_timeout))),
        ("streams_max", pool.streams_max.to_string()),
    ]
}

fn exchange_options(exchange: &ExchangeOptions) -> [(&'static str, String); 4] {
    [
        ("request_timeout", format!("\"{}\"", Period(exchange.timeout))),
        ("retry_backoff", format!("\"{}\"", Period(exchange.backoff))),
        ("retry_backoff_max", format!("\"{}\"", Period(exchange.backoff_max))),
        ("retry_budget", format!("{:?}", exchange.budget)),
    ]
}

fn socket_options(options: &SocketOptions) -> [(&'static str, String); 4] {
    let buffer = |size: Option<u32>| match size {
        Some(size) => format!("\"{}\"", Size(size.into())),
        None => "\"auto\"".to_owned(),
    };
    let keepalive = options.keepalive.map(|after| Period(after).to_string());
    [
        ("nodelay", options.nodelay.to_string()),
        ("keepalive", format!("\"{}\"", keepalive.as_deref().unwrap_or("off"))),
        ("receive_buffer", buffer(options.receive_buffer)),
        ("send_buffer", buffer(options.send_buffer)),
    ]
}

/// Writes the keys that apply, each with its value.
pub(super) fn write_lines(
    lines: impl IntoIterator<Item = (&'static str, String)>,
    applies: impl Fn(&str) -> bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut lines = lines.into_iter().filter(|(key, _)| applies(key));
    lines.try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}

fn array<T: fmt::Display>(items: &[T]) -> toml::Value {
    items.iter().map(|item| toml::Value::from(item.to_string())).collect::<Vec<_>>().into()
}

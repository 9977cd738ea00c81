//! The configuration in effect, as a file that says everything.

use std::fmt;

use toml::Value;

use super::http::effective as http;
use super::schema::{Protocol, proxies_of};
use super::sni;
use super::tls::{write_admin, write_listener, write_upstream};
use super::topics;
use super::{Admin, Config, Listener, ListenerService, Log, Runtime, Topics, Upstream};

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
    write_all(runtime.lines().into_iter().chain(runtime.splice.lines()), f)
}

fn admin(admin: &Admin, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[admin]")?;
    write_all(admin.lines(), f)?;
    admin.tls.as_ref().map_or(Ok(()), |tls| write_admin(tls, f))
}

fn log(log: &Log, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[log]")?;
    write_all(log.lines(), f)
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
    let lines = listener.lines().into_iter().chain(listener.socket.lines());
    write_lines(lines, |key| protocol.has(key), f)?;
    service(&listener.service, config, f)?;
    listener.tls.as_ref().map_or(Ok(()), |tls| write_listener(tls, f))
}

/// The keys that only this service has.
fn service(service: &ListenerService, config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match service {
        ListenerService::Tcp { .. } | ListenerService::Echo => Ok(()),
        ListenerService::Udp { options, flows, .. } => {
            write_all(options.lines().into_iter().chain(flows.lines()), f)
        }
        ListenerService::UdpEcho { options } => write_all(options.lines(), f),
        ListenerService::Frame { upstream, options } => {
            write_all(options.lines(), f)?;
            if upstream.is_some() {
                return Ok(());
            }
            let values = options.values.iter();
            let values = values.map(|(name, value)| (name.clone(), quoted(value)));
            let files = options.files.as_ref().map(|path| path.display().to_string());
            writeln!(f, "values = {}", Value::Table(values.collect()))?;
            writeln!(f, "files = {}", quoted(files.as_deref().unwrap_or("off")))?;
            let topics = options.topics.and_then(|topics| config.topics.get(topics));
            let topics = topics.map_or("off", |topics| topics.name.as_str());
            writeln!(f, "topics = {}", quoted(topics))
        }
        ListenerService::Messages(options) => write_all(options.lines(), f),
        ListenerService::Sni { options, .. } => sni::write(options, &config.upstreams, f),
        ListenerService::Http(options) => http::listener(options, config, f),
    }
}

/// An upstream, with the protocols of the listeners that use it.
fn upstream(upstream: &Upstream, uses: &[Protocol], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[upstream.{}]", upstream.name)?;
    // One that nothing uses may have the keys of every protocol.
    let is_unused = uses.is_empty();
    let servers = http::servers(&upstream.servers, &upstream.http.shares);
    writeln!(f, "servers = {servers}")?;
    let lines = upstream.lines().into_iter().chain(upstream.socket.lines());
    let lines = lines.chain(upstream.pool.lines()).chain(upstream.exchange.lines());
    let is_used = |key: &str| {
        let proxies = proxies_of(key);
        let is_for = |proxies: &[Protocol]| proxies.iter().any(|proxy| uses.contains(proxy));
        is_unused || proxies.is_none_or(is_for)
    };
    write_lines(lines, is_used, f)?;
    http::upstream(&upstream.http, is_used, f)?;
    let tls = upstream.tls.as_ref();
    tls.map_or(Ok(()), |tls| write_upstream(&upstream.name, tls, f))
}

/// Writes the keys that apply, each with its value.
pub(super) fn write_lines(
    lines: impl IntoIterator<Item = (&'static str, Value)>,
    applies: impl Fn(&str) -> bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut lines = lines.into_iter().filter(|(key, _)| applies(key));
    lines.try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
}

/// Writes all of some keys.
pub(super) fn write_all(
    lines: impl IntoIterator<Item = (&'static str, Value)>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write_lines(lines, |_| true, f)
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> Value {
    Value::from(text)
}

fn array<T: fmt::Display>(items: &[T]) -> Value {
    items.iter().map(|item| Value::from(item.to_string())).collect::<Vec<_>>().into()
}

//! From `[upstream.NAME]` tables to raw values.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::accept;
use super::http::upstream::{RawHttpUpstream, http, servers};
use super::report::Mistake;
use super::schema::UPSTREAM;
use super::section::{Section, of_fault};
use super::tls::{self, UPSTREAM_TLS};
use super::{ExchangeOptions, PoolOptions, ServerAddress, SocketOptions, Upstream};

/// An upstream whose servers still know their places.
#[derive(Debug)]
pub(super) struct RawUpstream {
    pub(super) name: Spanned<String>,
    pub(super) servers: Vec<Spanned<ServerAddress>>,
    /// The keys that the file has.
    pub(super) given: Vec<Spanned<&'static str>>,
    /// Where `balance` is set, if it could be read.
    pub(super) balance: Option<Range<usize>>,
    /// Where `send_proxy_protocol` is set, if it could be read.
    pub(super) send_proxy_protocol: Option<Range<usize>>,
    /// Where the sizes of the pool are set, if both could be read.
    pub(super) pool_sizes: Option<Range<usize>>,
    /// Where the pauses between tries are set, if both could be read.
    pub(super) backoffs: Option<Range<usize>>,
    /// What only HTTP proxies use.
    pub(super) http: RawHttpUpstream,
    /// The rest of it: no server yet.
    pub(super) rest: Upstream,
}

/// The upstreams, in the order of the file.
pub(super) fn upstreams(
    tables: Vec<(Spanned<DeString<'_>>, Spanned<DeValue<'_>>)>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<RawUpstream> {
    let mut upstreams = Vec::new();
    for (key, value) in tables {
        let name = Spanned::new(key.span(), key.get_ref().to_string());
        if !accept::is_name(name.get_ref()) {
            let fault = accept::bad_name(name.get_ref());
            mistakes.push(of_fault("upstream", name.span(), fault));
        }
        if !value.get_ref().is_table() && UPSTREAM.keys.contains(&name.get_ref().as_str()) {
            mistakes.push(Mistake::new(
                name.span(),
                format!("`{}` stands in [upstream], which has no name", name.get_ref()),
                "name the upstream: [upstream.NAME]",
            ));
            continue;
        }
        let title = format!("[upstream.{}]", accept::shown(name.get_ref()));
        let section = Section::open(UPSTREAM, Some(value), mistakes).titled(title);
        upstreams.push(upstream(name, section));
    }
    upstreams
}

/// Reads the defaults of upstreams, for the mistakes in them.
pub(super) fn default_upstream(table: Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) {
    let section = Section::open(UPSTREAM, Some(table), mistakes).partial();
    let name = Spanned::new(0..0, String::new());
    drop(upstream(name, section.titled("[defaults.upstream]".to_owned())));
}

fn upstream(name: Spanned<String>, mut section: Section<'_, '_>) -> RawUpstream {
    let given = section.given();
    let mut servers = servers(&mut section);
    let tls = section.table("tls", UPSTREAM_TLS).map(tls::upstream);
    let rest = Upstream {
        name: name.get_ref().clone(),
        socket: SocketOptions::read(&mut section),
        pool: PoolOptions::read(&mut section),
        exchange: ExchangeOptions::read(&mut section),
        tls: tls.map(Box::new),
        ..Upstream::read(&mut section)
    };
    let http = http(&mut section, &mut servers);
    let raw = RawUpstream {
        balance: section.place("balance"),
        send_proxy_protocol: section.place("send_proxy_protocol"),
        pool_sizes: section.later_key("pool_max", "pool_min_idle"),
        backoffs: section.later_key("retry_backoff", "retry_backoff_max"),
        rest,
        http,
        name,
        servers: servers.addresses,
        given,
    };
    section.finish();
    raw
}

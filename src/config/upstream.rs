//! From `[upstream.NAME]` tables to raw values.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::accept;
use super::http::upstream::{RawHttpUpstream, http, servers};
use super::parse::socket_options;
use super::report::Mistake;
use super::schema::{
    BALANCE_WORDS, CONNECT_TIMEOUT_RANGE, POOL_IDLE_TIMEOUT_RANGE, POOL_MAX_AGE_RANGE,
    POOL_MAX_RANGE, POOL_MIN_IDLE_RANGE, POOL_QUEUE_RANGE, POOL_QUEUE_TIMEOUT_RANGE,
    REQUEST_TIMEOUT_RANGE, RETRIES_RANGE, RETRY_BACKOFF_MAX_RANGE, RETRY_BACKOFF_RANGE,
    RETRY_BUDGET_RANGE, SEND_PROXY_PROTOCOL_WORDS, STREAMS_MAX_RANGE, UPSTREAM,
};
use super::section::{Section, later, of_fault};
use super::tls::{self, UPSTREAM_TLS};
use super::{ExchangeOptions, HttpUpstream, PoolOptions, ServerAddress, Upstream, defaults};

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

fn upstream(name: Spanned<String>, mut section: Section<'_, '_>) -> RawUpstream {
    let given = section.given();
    let mut servers = servers(&mut section);
    let balance = section.optional("balance", |v| accept::choice(v, BALANCE_WORDS)).value();
    let connect_timeout =
        section.optional("connect_timeout", |v| accept::duration(v, &CONNECT_TIMEOUT_RANGE));
    let retries = section.optional("retries", |v| accept::whole(v, &RETRIES_RANGE));
    let send_proxy_protocol =
        section.optional("send_proxy_protocol", |v| accept::choice(v, SEND_PROXY_PROTOCOL_WORDS));
    let send_proxy_protocol = send_proxy_protocol.value();
    let tls = section.table("tls", UPSTREAM_TLS).map(tls::upstream);
    let socket = socket_options(&mut section);
    let (pool, pool_sizes) = pool_options(&mut section);
    let (exchange, backoffs) = exchange_options(&mut section);
    let http = http(&mut section, &mut servers);
    section.finish();
    RawUpstream {
        balance: balance.as_ref().map(Spanned::span),
        send_proxy_protocol: send_proxy_protocol.as_ref().map(Spanned::span),
        pool_sizes,
        backoffs,
        rest: Upstream {
            name: name.get_ref().clone(),
            servers: Vec::new(),
            balance: balance.map_or(defaults::BALANCE, Spanned::into_inner),
            connect_timeout: connect_timeout.or(defaults::CONNECT_TIMEOUT),
            retries: retries.or(defaults::RETRIES),
            send_proxy_protocol: send_proxy_protocol
                .map_or(defaults::SEND_PROXY_PROTOCOL, Spanned::into_inner),
            socket,
            pool,
            exchange,
            http: HttpUpstream::default(),
            tls: tls.map(Box::new),
        },
        http,
        name,
        servers: servers.addresses,
        given,
    }
}

fn pool_options(section: &mut Section<'_, '_>) -> (PoolOptions, Option<Range<usize>>) {
    let max = section.optional("pool_max", |v| accept::whole(v, &POOL_MAX_RANGE));
    let min_idle = section.optional("pool_min_idle", |v| accept::whole(v, &POOL_MIN_IDLE_RANGE));
    let idle_timeout =
        section.optional("pool_idle_timeout", |v| accept::duration(v, &POOL_IDLE_TIMEOUT_RANGE));
    let max_age = section.optional("pool_max_age", |v| {
        accept::unless(v, "off", |v| accept::duration(v, &POOL_MAX_AGE_RANGE))
    });
    let queue = section.optional("pool_queue", |v| accept::whole(v, &POOL_QUEUE_RANGE));
    let queue_timeout =
        section.optional("pool_queue_timeout", |v| accept::duration(v, &POOL_QUEUE_TIMEOUT_RANGE));
    let streams_max = section.optional("streams_max", |v| accept::whole(v, &STREAMS_MAX_RANGE));
    let sizes = later(&max, &min_idle);
    let pool = PoolOptions {
        max: max.or(defaults::POOL_MAX),
        min_idle: min_idle.or(defaults::POOL_MIN_IDLE),
        idle_timeout: idle_timeout.or(defaults::POOL_IDLE_TIMEOUT),
        max_age: max_age.or(defaults::POOL_MAX_AGE),
        queue: queue.or(defaults::POOL_QUEUE),
        queue_timeout: queue_timeout.or(defaults::POOL_QUEUE_TIMEOUT),
        streams_max: streams_max.or(defaults::STREAMS_MAX),
    };
    (pool, sizes)
}

fn exchange_options(section: &mut Section<'_, '_>) -> (ExchangeOptions, Option<Range<usize>>) {
    let timeout =
        section.optional("request_timeout", |v| accept::duration(v, &REQUEST_TIMEOUT_RANGE));
    let backoff = section.optional("retry_backoff", |v| accept::duration(v, &RETRY_BACKOFF_RANGE));
    let backoff_max =
        section.optional("retry_backoff_max", |v| accept::duration(v, &RETRY_BACKOFF_MAX_RANGE));
    let budget = section.optional("retry_budget", |v| accept::number(v, &RETRY_BUDGET_RANGE));
    let backoffs = later(&backoff, &backoff_max);
    let exchange = ExchangeOptions {
        timeout: timeout.or(defaults::REQUEST_TIMEOUT),
        backoff: backoff.or(defaults::RETRY_BACKOFF),
        backoff_max: backoff_max.or(defaults::RETRY_BACKOFF_MAX),
        budget: budget.or(defaults::RETRY_BUDGET),
    };
    (exchange, backoffs)
}

//! From the keys of HTTP in an `[upstream.NAME]` table to raw values.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::super::ServerAddress;
use super::super::accept::{self as values, parsed};
use super::super::report::Mistake;
use super::super::schema::{SERVERS_MAX, word};
use super::super::section::{Field, Section};
use super::accept;
use super::schema::{
    CONDITIONS_MAX, CheckWord, EJECT, GRPC_HEALTH_KEYS, HEALTH, HEALTH_KIND_WORDS,
    HTTP_HEALTH_KEYS, PRIORITY_RANGE, SERVER, VALUE_SIZE_MAX, WEIGHT_RANGE,
};
use super::{
    EjectOptions, GrpcCheck, HealthKind, HealthOptions, HttpCheck, HttpUpstream, ServerShare,
};

/// What an upstream says of HTTP, whichever listeners use it.
#[derive(Debug)]
pub(in super::super) struct RawHttpUpstream {
    /// Where `hash_on` is set.
    pub(in super::super) hash_on: Option<Range<usize>>,
    /// The keys `weight` and `priority` that servers have.
    pub(in super::super) share_keys: Vec<Spanned<&'static str>>,
    /// Where `health.kind` is set.
    pub(in super::super) check_kind: Option<Range<usize>>,
    /// Whether the file leaves open what kind of checks are made.
    pub(in super::super) checks_are_open: bool,
    /// The rest of it.
    pub(in super::super) rest: HttpUpstream,
}

/// The servers of an upstream.
#[derive(Debug, Default)]
pub(in super::super) struct RawServers {
    /// Where they are.
    pub(in super::super) addresses: Vec<Spanned<ServerAddress>>,
    /// What each gets.
    shares: Vec<ServerShare>,
    share_keys: Vec<Spanned<&'static str>>,
}

/// Reads `servers`: a string or a table for each, or one alone.
pub(in super::super) fn servers(section: &mut Section<'_, '_>) -> RawServers {
    const EXAMPLE: &str = "servers = [\"10.0.0.5:6379\"]";
    let mut servers = RawServers::default();
    let Some(value) = section.take("servers") else {
        section.miss_key("servers", EXAMPLE);
        return servers;
    };
    let span = value.span();
    let elements = match value.into_inner() {
        DeValue::Array(elements) => {
            let help = format!("write {EXAMPLE}");
            let counts = 1..=SERVERS_MAX;
            section.check_count("servers", span, elements.len(), &counts, &help);
            elements.into_iter().collect()
        }
        single @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_)) => vec![Spanned::new(span, single)],
    };
    for element in elements {
        server(section, element, &mut servers);
    }
    servers
}

fn server<'i>(
    section: &mut Section<'i, '_>,
    value: Spanned<DeValue<'i>>,
    servers: &mut RawServers,
) {
    const FORMS: &str = "IP:PORT, HOST:PORT or unix:/PATH";
    let address = |v: &DeValue<'_>| values::address(v, FORMS);
    let mut share = ServerShare::default();
    let address = if value.get_ref().is_table() {
        let mut table = section.nested(SERVER, value);
        let keys = table.given().into_iter().filter(|key| *key.get_ref() != "address");
        servers.share_keys.extend(keys);
        let address = table.required("address", "address = \"10.0.0.5:80\"", address).value();
        let weight = table.optional("weight", |v| values::whole(v, &WEIGHT_RANGE));
        let priority = table.optional("priority", |v| values::whole(v, &PRIORITY_RANGE));
        table.finish();
        share =
            ServerShare { weight: weight.or(share.weight), priority: priority.or(share.priority) };
        address
    } else {
        section.accept("servers", &value, address)
    };
    if let Some(address) = address {
        servers.addresses.push(address);
        servers.shares.push(share);
    }
}

/// Reads the other keys of HTTP, and takes what servers get.
pub(in super::super) fn http(
    section: &mut Section<'_, '_>,
    servers: &mut RawServers,
) -> RawHttpUpstream {
    let mut rest =
        HttpUpstream { shares: std::mem::take(&mut servers.shares), ..HttpUpstream::read(section) };
    let checks = section.table("health", HEALTH).map(health);
    let check_kind = checks.as_ref().and_then(|checks| checks.kind.clone());
    let checks_are_open = checks.as_ref().is_some_and(|checks| checks.is_open);
    rest.health = checks.map(|checks| checks.options);
    rest.eject = section.table("eject", EJECT).map(eject);
    let hash_on = section.optional("hash_on", accept::hash_on).value();
    let place = hash_on.as_ref().map(Spanned::span);
    rest.hash_on = hash_on.map(Spanned::into_inner);
    let share_keys = std::mem::take(&mut servers.share_keys);
    RawHttpUpstream { hash_on: place, share_keys, check_kind, checks_are_open, rest }
}

/// Active checks as the file has them.
struct RawHealth {
    /// Where their kind is set.
    kind: Option<Range<usize>>,
    /// Nothing says of which kind they are.
    is_open: bool,
    options: HealthOptions,
}

/// Each key is for the kind of checks that has it.
fn check_keys(section: &mut Section<'_, '_>, given: &[Spanned<&'static str>], kind: CheckWord) {
    let kinds = [(CheckWord::Http, HTTP_HEALTH_KEYS), (CheckWord::Grpc, GRPC_HEALTH_KEYS)];
    for key in given {
        let mut takers = kinds.iter().filter(|(_, keys)| keys.contains(key.get_ref()));
        let Some((first, _)) = takers.clone().next() else { continue };
        if takers.any(|(taker, _)| *taker == kind) {
            continue;
        }
        section.report(Mistake::new(
            key.span(),
            format!("`{}` is for `kind = \"{}\"`", key.get_ref(), word(HEALTH_KIND_WORDS, *first)),
            format!("remove it: these checks have `kind = \"{}\"`", word(HEALTH_KIND_WORDS, kind)),
        ));
    }
}

fn health(mut section: Section<'_, '_>) -> RawHealth {
    let given = section.given();
    let kind = section.optional("kind", |v| values::choice(v, HEALTH_KIND_WORDS));
    let is_said = !matches!(kind, Field::Nothing);
    let kind = kind.value();
    let kind_place = kind.as_ref().map(Spanned::span);
    let word_given = kind.map_or(CheckWord::Http, Spanned::into_inner);
    let path = section.optional("path", accept::target);
    let statuses = section.list("status", &(1..=CONDITIONS_MAX), accept::statuses);
    let body =
        section.optional("body", |v| values::unless(v, "", |v| values::text(v, VALUE_SIZE_MAX)));
    let host = section.optional("host", |v| {
        values::unless(v, "server", |v| parsed(v, "a host", accept::authority))
    });
    let service = section.optional("service", |v| values::text(v, VALUE_SIZE_MAX));
    check_keys(&mut section, &given, word_given);
    let is_open = !is_said && !given.iter().any(|key| HTTP_HEALTH_KEYS.contains(key.get_ref()));
    let times = HealthOptions::read(&mut section);
    let place = section.later_key("interval", "timeout");
    let host = host.or(None);
    let health = HealthOptions {
        kind: match word_given {
            CheckWord::Tcp => HealthKind::Tcp,
            CheckWord::Tls => HealthKind::Tls,
            CheckWord::Frame => HealthKind::Frame,
            CheckWord::Http => {
                let default = HttpCheck::default();
                HealthKind::Http(HttpCheck {
                    path: path.or(default.path),
                    statuses: statuses.unwrap_or(default.statuses),
                    body: body.or(default.body),
                    host,
                })
            }
            CheckWord::Grpc => {
                HealthKind::Grpc(GrpcCheck { service: service.or(String::new()), host })
            }
        },
        ..times
    };
    if let Some(span) = place
        && health.timeout > health.interval
    {
        let [timeout, interval] =
            [health.timeout, health.interval].map(super::super::units::Period);
        section.report(Mistake::new(
            span,
            format!("`timeout` is {timeout}, and `interval` {interval}"),
            "`timeout` must not be above `interval`",
        ));
    }
    section.finish();
    RawHealth { kind: kind_place, is_open, options: health }
}

fn eject(mut section: Section<'_, '_>) -> EjectOptions {
    let options = EjectOptions::read(&mut section);
    section.finish();
    options
}

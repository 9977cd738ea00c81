//! From a `[[listener]]` table to raw values.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::accept;
use super::http::listener::{RawHttp, http};
use super::parse::socket_options;
use super::report::Mistake;
use super::schema::{
    ADDRESSES_MAX, BACKLOG_RANGE, FLOW_TIMEOUT_RANGE, IDLE_TIMEOUT_RANGE, LINE_LIMIT_RANGE,
    MAX_CONNECTIONS_RANGE, MAX_FLOWS_RANGE, MAX_PAYLOAD_RANGE, PROTOCOL_WORDS,
    PROXY_HEADER_TIMEOUT_RANGE, Protocol, STEERING_WORDS, VALUE_MAX, VALUE_NAME_RANGE, VALUES_MAX,
    WINDOW_RANGE,
};
use super::section::{Field, Section};
use super::sni::{self, RawSni};
use super::tls::{self, LISTENER_TLS};
use super::units::Size;
use super::{FrameOptions, ListenAddress, Listener, ListenerService, UdpOptions, defaults};

/// A listener whose references are still names.
#[derive(Debug)]
pub(super) struct RawListener {
    pub(super) name: Option<Spanned<String>>,
    pub(super) listen: Vec<Spanned<ListenAddress>>,
    pub(super) protocol: Option<Protocol>,
    pub(super) upstream: Field<String>,
    /// The keys that the file has.
    pub(super) given: Vec<Spanned<&'static str>>,
    pub(super) service: ServiceKeys,
    /// The rest of it: no name, no address, and no service yet.
    pub(super) rest: Listener,
}

/// The keys that only some services have, whichever it is.
#[derive(Debug)]
pub(super) struct ServiceKeys {
    pub(super) frame: FrameOptions,
    /// The topics of a frame server, by name.
    pub(super) topics: Option<Spanned<String>>,
    pub(super) line_limit: u32,
    pub(super) udp: UdpOptions,
    pub(super) max_flows: u32,
    pub(super) flow_timeout: Duration,
    pub(super) sni: RawSni,
    pub(super) http: RawHttp,
}

/// Reads the table of a listener.
pub(super) fn listener(mut section: Section<'_, '_>) -> RawListener {
    const FORMS: &str = "IP:PORT, [IPV6]:PORT or unix:/PATH";
    let given = section.given();
    let name = section.required("name", "name = \"web\"", accept::name);
    let listen =
        section.required_list("listen", "listen = \"127.0.0.1:8080\"", ADDRESSES_MAX, |v| {
            accept::address(v, FORMS)
        });
    let protocol =
        section.required("protocol", "protocol = \"tcp\"", |v| accept::choice(v, PROTOCOL_WORDS));
    let protocol = protocol.value().map(Spanned::into_inner);
    let upstream = if protocol.is_some_and(Protocol::needs_upstream) {
        section.required("upstream", "upstream = \"NAME\"", accept::name)
    } else {
        section.optional("upstream", accept::name)
    };
    let max_connections =
        section.optional("max_connections", |v| accept::whole(v, &MAX_CONNECTIONS_RANGE));
    let idle_timeout =
        section.optional("idle_timeout", |v| accept::duration(v, &IDLE_TIMEOUT_RANGE));
    let accept_proxy_protocol = section.optional("accept_proxy_protocol", accept::boolean);
    let proxy_header_timeout = section
        .optional("proxy_header_timeout", |v| accept::duration(v, &PROXY_HEADER_TIMEOUT_RANGE));
    let socket = socket_options(&mut section);
    let backlog = section.optional("backlog", |v| accept::whole(v, &BACKLOG_RANGE));
    let unix_mode = section.optional("unix_mode", accept::mode);
    let tls = section.table("tls", LISTENER_TLS).map(tls::listener);
    let service = service_keys(&mut section);
    if protocol == Some(Protocol::Http) && !given.iter().any(|key| *key.get_ref() == "route") {
        let message = "there is no [[listener.route]], and an HTTP listener needs one at least";
        let help = "add a [[listener.route]] table with one action, as in files = \"/srv/www\"";
        section.miss("route", message.to_owned(), help.to_owned());
    }
    let is_misspelt = matches!(upstream, Field::Nothing) && section.has_misspelt("upstream");
    section.finish();
    RawListener {
        name: name.value(),
        listen,
        protocol,
        upstream: if is_misspelt { Field::Mistake } else { upstream },
        given,
        service,
        rest: Listener {
            name: String::new(),
            listen: Vec::new(),
            service: ListenerService::Echo,
            max_connections: max_connections.or(defaults::MAX_CONNECTIONS),
            idle_timeout: idle_timeout.or(defaults::IDLE_TIMEOUT),
            accept_proxy_protocol: accept_proxy_protocol.or(defaults::ACCEPT_PROXY_PROTOCOL),
            proxy_header_timeout: proxy_header_timeout.or(defaults::PROXY_HEADER_TIMEOUT),
            socket,
            backlog: backlog.or(defaults::BACKLOG),
            unix_mode: unix_mode.or(defaults::UNIX_MODE),
            tls: tls.map(Box::new),
        },
    }
}

fn service_keys(section: &mut Section<'_, '_>) -> ServiceKeys {
    let window = section.optional("window", |v| accept::whole(v, &WINDOW_RANGE));
    let max_payload = section.optional("max_payload", |v| accept::size(v, &MAX_PAYLOAD_RANGE));
    let values = values(section);
    let files = section.optional("files", |v| accept::path_unless(v, "off", accept::directory));
    let topics = section.optional("topics", |v| accept::unless(v, "off", accept::name)).value();
    let topics = topics.and_then(|topics| {
        let span = topics.span();
        topics.into_inner().map(|name| Spanned::new(span, name))
    });
    let line_limit = section.optional("line_limit", |v| accept::size(v, &LINE_LIMIT_RANGE));
    let offload = section.optional("offload", accept::boolean);
    let steering = section.optional("steering", |v| accept::choice(v, STEERING_WORDS));
    let max_flows = section.optional("max_flows", |v| accept::whole(v, &MAX_FLOWS_RANGE));
    let flow_timeout =
        section.optional("flow_timeout", |v| accept::duration(v, &FLOW_TIMEOUT_RANGE));
    let sni = sni::options(section);
    let http = http(section);
    ServiceKeys {
        frame: FrameOptions {
            window: window.or(defaults::WINDOW),
            max_payload: max_payload.or(defaults::MAX_PAYLOAD),
            values,
            files: files.or(None),
            topics: None,
        },
        topics,
        line_limit: line_limit.or(defaults::LINE_LIMIT),
        udp: UdpOptions {
            offload: offload.or(defaults::OFFLOAD),
            steering: steering.or(defaults::STEERING),
        },
        max_flows: max_flows.or(defaults::MAX_FLOWS),
        flow_timeout: flow_timeout.or(defaults::FLOW_TIMEOUT),
        sni,
        http,
    }
}

/// The values that a file names, sorted by name. Those that are not accepted are left out.
fn values(section: &mut Section<'_, '_>) -> Vec<(String, String)> {
    let Some(value) = section.take("values") else {
        return Vec::new();
    };
    let (span, got) = (value.span(), accept::kind(value.get_ref()));
    let DeValue::Table(entries) = value.into_inner() else {
        section.report(Mistake::new(
            span,
            format!("`values`: expected a table, got {got}"),
            "write each name with its value, as in values = { motd = \"hello\" }",
        ));
        return Vec::new();
    };
    if entries.len() > VALUES_MAX {
        section.report(Mistake::new(
            span,
            format!("`values`: expected at most {VALUES_MAX} values, got {}", entries.len()),
            "put them into files of a directory, and set `files` to it",
        ));
    }
    let mut values = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if !VALUE_NAME_RANGE.contains(&name.get_ref().len()) {
            let (least, most) = VALUE_NAME_RANGE.into_inner();
            let length = name.get_ref().len();
            section.report(Mistake::new(
                name.span(),
                format!("`values`: expected names of {least} to {most} bytes, got {length} bytes"),
                "give the value another name",
            ));
        }
        match value.get_ref().as_str() {
            Some(text) if text.len() <= VALUE_MAX => {
                values.push((name.get_ref().to_string(), text.to_owned()));
            }
            Some(text) => section.report(Mistake::new(
                value.span(),
                format!(
                    "`values`: expected a value of at most {}, got {} bytes",
                    Size(VALUE_MAX as u64),
                    text.len()
                ),
                "put it into a file of a directory, and set `files` to that",
            )),
            None => section.report(Mistake::new(
                value.span(),
                format!("`values`: expected a string, got {}", accept::kind(value.get_ref())),
                "write the value in quotes",
            )),
        }
    }
    values.sort_unstable();
    values
}

//! From a `[[listener]]` table to raw values.

use toml::Spanned;
use toml::de::DeValue;

use super::accept;
use super::http::listener::{RawHttp, http};
use super::report::Mistake;
use super::schema::{
    ADDRESSES_MAX, PROTOCOL_WORDS, Protocol, VALUE_MAX, VALUE_NAME_RANGE, VALUES_MAX,
};
use super::section::{Field, Section};
use super::sni::{self, RawSni};
use super::tls::{self, LISTENER_TLS};
use super::units::Size;
use super::{
    FlowOptions, FrameOptions, LineOptions, ListenAddress, Listener, SocketOptions, UdpOptions,
};

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
    pub(super) lines: LineOptions,
    pub(super) udp: UdpOptions,
    pub(super) flows: FlowOptions,
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
    let socket = SocketOptions::read(&mut section);
    let rest = Listener::read(&mut section);
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
        rest: Listener { socket, tls: tls.map(Box::new), ..rest },
    }
}

fn service_keys(section: &mut Section<'_, '_>) -> ServiceKeys {
    let values = values(section);
    let files = section.optional("files", |v| accept::path_unless(v, "off", accept::directory));
    let topics = section.optional("topics", |v| accept::unless(v, "off", accept::name)).value();
    let topics = topics.and_then(|topics| {
        let span = topics.span();
        topics.into_inner().map(|name| Spanned::new(span, name))
    });
    let sni = sni::options(section);
    let http = http(section);
    ServiceKeys {
        frame: FrameOptions { values, files: files.or(None), ..FrameOptions::read(section) },
        topics,
        lines: LineOptions::read(section),
        udp: UdpOptions::read(section),
        flows: FlowOptions::read(section),
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

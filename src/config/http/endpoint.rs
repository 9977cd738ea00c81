//! From the tables `[listener.route.websocket]` and `[listener.route.websocket_inspect]` to raw
//! values.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept::{self as values, Fault, parsed};
use super::super::kinds::{Bool, Bytes};
use super::super::report::Mistake;
use super::super::schema::word;
use super::super::section::{Field, Section};
use super::super::units::{Period, Size};
use super::accept;
use super::schema::HANDLER_NAME_MAX;
use super::websocket::{
    Origins, RELAY_FORMAT_WORDS, RelayFormat, SERVICE_WORDS, ServiceWord, SocketLimits,
    WebSocketOptions, WebSocketService, services_of,
};

/// Subprotocols of one endpoint: as many as a client may offer.
const SUBPROTOCOLS_MAX: usize = 64;
/// Origins of one endpoint.
const ORIGINS_MAX: usize = 256;
/// Bytes of a message or frame.
const MESSAGE_RANGE: RangeInclusive<u32> = 1..=1 << 30;
const MESSAGE_RATE_RANGE: RangeInclusive<u32> = 1..=1_000_000;

/// An endpoint whose references are still names.
pub(super) struct RawWebSocket {
    /// The upstream of a relay.
    pub(super) upstream: Field<String>,
    /// The topics.
    pub(super) topics: Option<Spanned<String>>,
    /// The rest of it: it has no upstream and no topics yet. `None` if it is not understood.
    pub(super) options: Option<WebSocketOptions>,
}

/// Reads the table `websocket`.
pub(super) fn websocket(mut section: Section<'_, '_>) -> RawWebSocket {
    let given = section.given();
    let service =
        section.required("service", "service = \"echo\"", |v| values::choice(v, SERVICE_WORDS));
    let word = service.value().map(Spanned::into_inner);
    if let Some(word) = word {
        check_keys(&mut section, &given, word);
    }
    let parts = parts(&mut section);
    let limits = limits(&mut section, &given);
    let mut options = WebSocketOptions { limits, ..WebSocketOptions::read(&mut section) };
    options.subprotocols = subprotocols(&mut section);
    if let Some(origins) = origins(&mut section) {
        options.origins = origins;
    }
    if let Some(word) = word {
        miss_keys(&mut section, &given, word);
    }
    section.finish();
    let Parts { topics, publish, subscribe, upstream, format, handler } = parts;
    let service = word.and_then(|word| {
        Some(match word {
            ServiceWord::Echo => WebSocketService::Echo,
            ServiceWord::Topics => WebSocketService::Topics { topics: 0, publish, subscribe },
            ServiceWord::Relay => WebSocketService::Relay { upstream: 0, format },
            ServiceWord::Handler => WebSocketService::Handler(handler?),
        })
    });
    let is = |other| word == Some(other);
    RawWebSocket {
        // Of an endpoint of an unknown service, it is not known what it uses.
        upstream: match word {
            Some(ServiceWord::Echo | ServiceWord::Topics | ServiceWord::Handler) => Field::Nothing,
            Some(ServiceWord::Relay) => match upstream {
                Field::Nothing => Field::Mistake,
                given @ (Field::Mistake | Field::Value(_)) => given,
            },
            None => Field::Mistake,
        },
        topics: topics.filter(|_| is(ServiceWord::Topics)),
        options: service.map(|service| WebSocketOptions { service, ..options }),
    }
}

/// Reads the table `websocket_inspect`.
pub(super) fn websocket_inspect(mut section: Section<'_, '_>) -> SocketLimits {
    let given = section.given();
    let limits = limits(&mut section, &given);
    section.finish();
    limits
}

fn limits(section: &mut Section<'_, '_>, given: &[Spanned<&'static str>]) -> SocketLimits {
    let mut limits = SocketLimits::read(section);
    messages(section, given, &mut limits);
    check_times(section, section.later_key("ping_interval", "idle_timeout"), &limits);
    limits
}

/// Each key is for the service that has it.
fn check_keys(
    section: &mut Section<'_, '_>,
    given: &[Spanned<&'static str>],
    word_given: ServiceWord,
) {
    for key in given {
        let Some(services) = services_of(key.get_ref()) else { continue };
        if services.contains(&word_given) {
            continue;
        }
        let own = word(SERVICE_WORDS, word_given);
        let words: Vec<_> =
            services.iter().map(|one| format!("\"{}\"", word(SERVICE_WORDS, *one))).collect();
        let message = match words.as_slice() {
            [only] => format!("`{}` is for `service = {only}`", key.get_ref()),
            [..] => format!("`{}` is for a `service` of {}", key.get_ref(), values::either(&words)),
        };
        let help = match (*key.get_ref(), word_given) {
            ("subprotocols", _) => format!("remove it: `service = \"{own}\"` has its own"),
            (_, _) => format!("remove it: this endpoint has `service = \"{own}\"`"),
        };
        section.report(Mistake::new(key.span(), message, help));
    }
}

/// Keys that a service cannot do without.
fn miss_keys(section: &mut Section<'_, '_>, given: &[Spanned<&'static str>], word: ServiceWord) {
    let (key, example) = match word {
        ServiceWord::Echo => return,
        ServiceWord::Topics => ("topics", "topics = \"NAME\", the name of a [topics.NAME] table"),
        ServiceWord::Relay => ("upstream", "upstream = \"NAME\", the name of an upstream"),
        ServiceWord::Handler => ("handler", "handler = \"NAME\", the name of a handler"),
    };
    if !given.iter().any(|given| *given.get_ref() == key) {
        section.miss_key(key, example);
    }
}

/// The keys that only some services have.
struct Parts {
    topics: Option<Spanned<String>>,
    publish: bool,
    subscribe: bool,
    upstream: Field<String>,
    format: RelayFormat,
    handler: Option<String>,
}

fn parts(section: &mut Section<'_, '_>) -> Parts {
    let topics = section.optional("topics", values::name).value();
    let publish = section.key("publish", &Bool, || true);
    let subscribe = section.key("subscribe", &Bool, || true);
    let place = section.later_key("publish", "subscribe");
    let upstream = section.optional("upstream", values::name);
    let format = section.optional("relay_format", |v| values::choice(v, RELAY_FORMAT_WORDS));
    let handler = section.optional("handler", |v| values::text(v, HANDLER_NAME_MAX)).value();
    if let Some(place) = place.filter(|_| !publish && !subscribe) {
        section.report(Mistake::new(
            place,
            "neither `publish` nor `subscribe` is true, and clients could do nothing",
            "set one of them to true",
        ));
    }
    Parts {
        topics,
        publish,
        subscribe,
        upstream,
        format: format.or(RelayFormat::Bytes),
        handler: handler.map(Spanned::into_inner),
    }
}

fn subprotocols(section: &mut Section<'_, '_>) -> Vec<String> {
    let token = |v: &DeValue<'_>| {
        parsed(v, "the name of a subprotocol", |text| {
            let help =
                "a name has letters, digits and signs such as `-` and `.`, as in \"chat.v1\"";
            accept::is_token(text).then(|| text.to_owned()).ok_or_else(|| help.to_owned())
        })
    };
    let given = section.spanned_list("subprotocols", &(0..=SUBPROTOCOLS_MAX), token);
    let given = given.unwrap_or_default();
    report_repeated(section, "subprotocols", &given);
    given.into_iter().map(Spanned::into_inner).collect()
}

/// Reports the values of a list that stand in it before already.
fn report_repeated(section: &mut Section<'_, '_>, key: &str, given: &[Spanned<String>]) {
    for (at, one) in given.iter().enumerate() {
        if given.iter().take(at).any(|other| other.get_ref() == one.get_ref()) {
            let shown = values::quoted(one.get_ref());
            section.report(Mistake::new(
                one.span(),
                format!("`{key}`: {shown} is there already"),
                "remove it",
            ));
        }
    }
}

/// `origins`.
fn origins(section: &mut Section<'_, '_>) -> Option<Origins> {
    let given = section.spanned_list("origins", &(0..=ORIGINS_MAX), origin)?;
    report_repeated(section, "origins", &given);
    let any = given.iter().find(|one| one.get_ref() == "*").map(Spanned::span);
    if let Some(place) = any {
        if given.len() > 1 {
            let message = "`origins`: \"*\" stands beside others";
            section.report(Mistake::new(place, message, "remove it, or all others"));
        }
        return Some(Origins::Any);
    }
    let same = given.iter().any(|one| one.get_ref() == "same");
    let others = given.into_iter().map(Spanned::into_inner).filter(|one| one != "same");
    Some(Origins::Listed { same, others: others.collect() })
}

/// One of `origins`: a word, or an origin in its normal form.
fn origin(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "\"same\", \"*\" or an origin such as \"https://example.com\"", |text| {
        if matches!(text, "same" | "*") {
            return Ok(text.to_owned());
        }
        let lower = text.to_ascii_lowercase();
        let Some((scheme, authority)) = lower.split_once("://") else {
            return Err(match values::nearest(text, ["same"]) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None if lower == "null" => {
                    "`null` is what any page may be made to send: list the origin of a site".into()
                }
                None => "write the scheme, too, as in \"https://example.com\"".to_owned(),
            });
        };
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        match scheme {
            "ws" => {
                return Err(format!("pages are of http: \"http://{}\"", values::shown(authority)));
            }
            "wss" => {
                return Err(format!(
                    "pages are of https: \"https://{}\"",
                    values::shown(authority)
                ));
            }
            _ if scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme.bytes().all(is_sign) => {}
            _ => return Err("write the scheme of a URL, as in \"https://example.com\"".to_owned()),
        }
        if authority.contains('/') {
            return Err("an origin ends behind its host and port, without a `/`".to_owned());
        }
        if authority.contains('*') {
            return Err("no `*` stands for a part of an origin: list each of them".to_owned());
        }
        let authority = accept::authority(authority)?;
        Ok(format!("{scheme}://{}", without_port(scheme, &authority)))
    })
}

/// A host with its port in decimal digits, or without it where it is the scheme's own: browsers
/// leave it out.
fn without_port(scheme: &str, authority: &str) -> String {
    let own = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match port {
        Some((host, port)) if Some(port) == own => host.to_owned(),
        Some((host, port)) => format!("{host}:{port}"),
        None => authority.to_owned(),
    }
}

/// Sizes and rates of messages.
fn messages(
    section: &mut Section<'_, '_>,
    given: &[Spanned<&'static str>],
    options: &mut SocketLimits,
) {
    options.message_max = section.key("message_max", &Bytes(MESSAGE_RANGE), || options.message_max);
    options.frame_max = section.key("frame_max", &Bytes(MESSAGE_RANGE), || options.message_max);
    let place = section.later_key("message_max", "frame_max");
    if let Some(place) = place.filter(|_| options.frame_max > options.message_max) {
        let [frame, message] =
            [options.frame_max, options.message_max].map(|size| Size(size.into()));
        section.report(Mistake::new(
            place,
            format!("`frame_max` is {frame}, and `message_max` {message}"),
            "`frame_max` must not be above `message_max`",
        ));
    }
    let rate = section.optional("message_rate", |v| {
        values::unless(v, "off", |v| values::whole(v, &MESSAGE_RATE_RANGE))
    });
    let burst = section.optional("message_burst", |v| values::whole(v, &MESSAGE_RATE_RANGE));
    let is_open = !matches!(rate, Field::Mistake);
    let rate = rate.or(None);
    let burst_key = given.iter().find(|key| *key.get_ref() == "message_burst");
    if let Some(key) = burst_key.filter(|_| is_open && rate.is_none()) {
        section.report(Mistake::new(
            key.span(),
            "`message_burst` is for a `message_rate`, and there is none",
            "remove it, or set `message_rate`",
        ));
    }
    options.message_rate = rate.map(|rate| (rate, burst.or(rate)));
}

/// A client that only answers pings is not closed as idle.
fn check_times(section: &mut Section<'_, '_>, place: Option<Range<usize>>, options: &SocketLimits) {
    if let (Some(place), Some(ping), Some(idle)) =
        (place, options.ping_interval, options.idle_timeout)
        && idle <= ping
    {
        let [ping, idle] = [ping, idle].map(Period);
        section.report(Mistake::new(
            place,
            format!("`idle_timeout` is {idle}, and `ping_interval` {ping}"),
            "`idle_timeout` must be above `ping_interval`, or one of them \"off\"",
        ));
    }
}

/// `drain_code` (RFC 6455, section 7.4, and the codes that IANA has added).
pub(super) fn drain_code(value: &DeValue<'_>) -> Result<u16, Fault> {
    let fault = |fault| Fault {
        expected: "1000, 1001, 1012, 1013, or a code from 3000 to 4999".to_owned(),
        help: "1012 is a restart, 1001 an end, 1013 a time to come again; 3000 to 4999 are free"
            .to_owned(),
        ..fault
    };
    let code = values::whole(value, &(1000..=4999)).map_err(fault)?;
    match code {
        1000 | 1001 | 1012 | 1013 | 3000.. => Ok(code),
        _ => Err(fault(Fault {
            expected: String::new(),
            got: code.to_string(),
            help: String::new(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        origin(&DeValue::String(text.into())).map_err(|fault| fault.help)
    }

    #[test]
    fn origins_are_brought_into_the_form_that_browsers_send() {
        let table = [
            ("same", "same"),
            ("*", "*"),
            ("https://Example.COM", "https://example.com"),
            ("HTTPS://example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("https://example.com:08443", "https://example.com:8443"),
            ("https://[::1]:443", "https://[::1]"),
            ("https://[::1]", "https://[::1]"),
            ("http://192.0.2.1:8080", "http://192.0.2.1:8080"),
            ("app://local", "app://local"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ];
        for (text, normal) in table {
            assert_eq!(read(text).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_what_would_be_right() {
        let table = [
            ("", "write the scheme"),
            ("example.com", "write the scheme"),
            ("sam", "did you mean \"same\"?"),
            ("null", "any page"),
            ("https://", "a host is"),
            ("https://example.com/", "without a `/`"),
            ("https://example.com/path", "without a `/`"),
            ("https://*.example.com", "list each"),
            ("https://a b", "a host is"),
            ("https://user@example.com", "a host is"),
            ("https://example.com:0", "a port is"),
            ("https://example.com:65536", "a port is"),
            ("https://::1", "brackets"),
            ("wss://example.com", "\"https://example.com\""),
            ("ws://example.com", "\"http://example.com\""),
            ("1s://example.com", "the scheme of a URL"),
            ("://example.com", "the scheme of a URL"),
            ("https://m\u{fc}ller.example", "a host is"),
        ];
        for (text, help) in table {
            let refused = read(text).expect_err(text);
            assert!(refused.contains(help), "{text}: {refused}");
        }
    }
}

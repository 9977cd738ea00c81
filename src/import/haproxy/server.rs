//! `server` lines.

use super::super::convert::{address, digits, haproxy_time};
use super::super::document::Server;
use super::parse::Line;
use super::{Import, shown};

/// What a server, or all of them, has beside its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) weight: Option<u64>,
    pub(super) is_backup: bool,
    pub(super) is_down: bool,
    pub(super) check: bool,
    pub(super) inter: Option<u64>,
    pub(super) fall: Option<u64>,
    pub(super) rise: Option<u64>,
    pub(super) maxconn: Option<u64>,
    pub(super) slow_start: Option<u64>,
    pub(super) tls: bool,
    pub(super) verify_none: bool,
    pub(super) ca: Option<String>,
    pub(super) crl: Option<String>,
    pub(super) name: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) proxy_protocol: Option<&'static str>,
    pub(super) http2: bool,
}

/// Options with a value that Ringway needs no counterpart of.
const NEEDLESS: &[&str] = &[
    "alpn",
    "check-alpn",
    "check-proto",
    "check-sni",
    "ciphers",
    "ciphersuites",
    "curves",
    "downinter",
    "error-limit",
    "fastinter",
    "guid",
    "id",
    "log-bufsize",
    "log-proto",
    "max-reuse",
    "maxqueue",
    "minconn",
    "name",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "pool-low-conn",
    "pool-max-conn",
    "pool-purge-delay",
    "proxy-v2-options",
    "redir",
    "set-proxy-v2-tlv-fmt",
    "source",
    "ssl-max-ver",
    "ssl-min-ver",
    "tcp-ut",
    "track",
    "ws",
];

/// The same without a value.
const NEEDLESS_FLAGS: &[&str] = &[
    "agent-check",
    "allow-0rtt",
    "check-send-proxy",
    "check-ssl",
    "check-via-socks4",
    "no-backup",
    "no-ssl-reuse",
    "no-sslv3",
    "no-tls-tickets",
    "no-tlsv10",
    "no-tlsv11",
    "no-verifyhost",
    "non-stick",
    "ssl-reuse",
    "stick",
    "tfo",
];

/// Reads options into what was there before.
pub(super) fn options(
    import: &mut Import<'_>,
    line: &Line,
    words: &[String],
    mut options: Options,
) -> Options {
    let mut words = words.iter().map(String::as_str);
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match option {
            "weight" => options.weight = digits(value()),
            "backup" => options.is_backup = true,
            "disabled" => options.is_down = true,
            "enabled" => options.is_down = false,
            "check" => options.check = true,
            "no-check" => options.check = false,
            "inter" => options.inter = haproxy_time(value()),
            "fall" => options.fall = digits(value()),
            "rise" => options.rise = digits(value()),
            "maxconn" => options.maxconn = digits(value()),
            "slowstart" => options.slow_start = haproxy_time(value()),
            "ssl" => options.tls = true,
            "no-ssl" => options.tls = false,
            "verify" => options.verify_none = value() == "none",
            "ca-file" => options.ca = Some(value().to_owned()),
            "crl-file" => options.crl = Some(value().to_owned()),
            "verifyhost" => options.name = Some(value().to_owned()),
            "crt" => options.certificate = Some(value().to_owned()),
            "send-proxy" => options.proxy_protocol = Some("v1"),
            "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => {
                options.proxy_protocol = Some("v2");
            }
            "proto" => options.http2 = value() == "h2",
            "sni" => options.name = name(import, line, value()).or(options.name),
            _ if NEEDLESS_FLAGS.contains(&option) => {}
            _ if NEEDLESS.contains(&option) => {
                value();
            }
            _ => noted(import, line, option, value),
        }
    }
    options
}

/// The name of `sni str(NAME)`.
fn name(import: &mut Import<'_>, line: &Line, text: &str) -> Option<String> {
    let fixed = text.strip_prefix("str(").and_then(|text| text.strip_suffix(')'));
    if fixed.is_none() {
        let why = format!(
            "the name for `{}` is fixed in Ringway: `server_name` in the table `tls`",
            shown(text)
        );
        import.note(line, 2, why);
    }
    fixed.map(str::to_owned)
}

/// Notes an option that is not translated.
fn noted<'w>(
    import: &mut Import<'_>,
    line: &Line,
    option: &str,
    mut value: impl FnMut() -> &'w str,
) {
    match option {
        "cookie" => {
            value();
            let why = "there is no persistence by a cookie of Ringway's own; `hash_on = \
                       \"cookie:NAME\"` goes by one of the program";
            import.note(line, 1, why);
        }
        "resolvers" | "init-addr" | "resolve-prefer" | "resolve-opts" | "resolve-net" => {
            value();
            import.note(line, 1, "names of servers are resolved once, at the start");
        }
        "port" | "addr" => {
            let text = shown(value());
            let why = format!("checks go to the address of the server, and not to `{text}`");
            import.note(line, 2, why);
        }
        other => import.note(line, 2, format!("`{}` is not known here", shown(other))),
    }
}

/// A server, unless it is down or its address is none.
pub(super) fn server(
    import: &mut Import<'_>,
    line: &Line,
    options: &Options,
    port: u16,
) -> Option<Server> {
    let text = line.word(2);
    let text = ["ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    let address = match text.strip_prefix("unix@").or_else(|| text.starts_with('/').then_some(text))
    {
        Some(path) if path.starts_with('/') && path.len() <= 107 => Ok(format!("unix:{path}")),
        Some(_) => Err(format!("`{}` is no address of a server", shown(text))),
        None => address(text, port),
    };
    let address = match address {
        Ok(address) => address,
        Err(why) => {
            import.note(line, 2, why);
            return None;
        }
    };
    if options.is_down || options.weight == Some(0) {
        import.note(line, 2, "a server that gets nothing (down, or of weight 0) was left out");
        return None;
    }
    let weight = options.weight.unwrap_or(1).min(1000);
    Some(Server { address, weight, priority: u64::from(options.is_backup) })
}

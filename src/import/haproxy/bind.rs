//! `bind`: addresses and TLS of a frontend.

use super::super::convert::{digits, shown};
use super::super::document::{Table, Value};
use super::Import;
use super::parse::Line;

/// Ports of one range.
const PORTS_MAX: u64 = 1024;

/// One `bind` line, or several with the same options.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bind {
    pub(super) addresses: Vec<String>,
    pub(super) ports: Vec<u16>,
    /// The table `tls`.
    pub(super) tls: Option<Table>,
    /// Keys of the listener.
    pub(super) keys: Table,
}

/// The binds of a frontend, those with the same options joined.
pub(super) fn binds(import: &mut Import<'_>, lines: &[&Line]) -> Vec<Bind> {
    let mut found: Vec<Bind> = Vec::new();
    for line in lines {
        let Some(bind) = bind(import, line) else { continue };
        let like = |own: &&mut Bind| own.tls == bind.tls && own.keys == bind.keys;
        // Few kinds of options are there, however many lines.
        match found.iter_mut().rev().take(16).find(like) {
            Some(own) => {
                own.addresses.extend(bind.addresses);
                own.ports.extend(bind.ports);
            }
            None => found.push(bind),
        }
    }
    found
}

/// Options with a value that Ringway needs no counterpart of.
const NEEDLESS: &[&str] = &[
    "cc",
    "ciphers",
    "ciphersuites",
    "curves",
    "ecdhe",
    "gid",
    "group",
    "id",
    "idle-ping",
    "label",
    "level",
    "maxconn",
    "mss",
    "name",
    "nice",
    "process",
    "proto",
    "severity-output",
    "shards",
    "sigalgs",
    "ssl-max-ver",
    "tcp-ut",
    "thread",
    "tls-ticket-keys",
    "uid",
    "user",
];

/// The same without a value.
const NEEDLESS_FLAGS: &[&str] = &[
    "allow-0rtt",
    "defer-accept",
    "generate-certificates",
    "no-sslv3",
    "no-tls-tickets",
    "no-tlsv10",
    "no-tlsv11",
    "prefer-client-ciphers",
    "tfo",
    "v6only",
];

fn bind(import: &mut Import<'_>, line: &Line) -> Option<Bind> {
    let mut bind = Bind::default();
    let mut options = line.from(2).iter().map(String::as_str);
    let mut tls = Table::default();
    let mut certificates: Vec<String> = Vec::new();
    let (mut is_tls, mut mode, mut both) = (false, "off", false);
    while let Some(option) = options.next() {
        let mut value = || options.next().unwrap_or_default();
        match option {
            "ssl" => is_tls = true,
            "crt" => certificates.push(value().to_owned()),
            "crt-list" => {
                let list = shown(value());
                import.note(line, 2, format!("name the certificates of `{list}` in `certificate`"));
            }
            "alpn" => {
                if !value().split(',').any(|one| one == "h2") {
                    bind.keys.set("http2", false);
                }
            }
            "accept-proxy" => bind.keys.set("accept_proxy_protocol", true),
            "verify" => mode = value(),
            "ca-file" => tls.set("client_ca", value()),
            "crl-file" => tls.set("client_crl", value()),
            "strict-sni" => tls.set("strict_sni", true),
            "ssl-min-ver" => {
                if value() == "TLSv1.3" {
                    tls.set("min_version", "1.3");
                }
            }
            "force-tlsv13" => tls.set("min_version", "1.3"),
            "backlog" => {
                if let Some(number) = digits(value()).filter(|number| (1..=65_535).contains(number))
                {
                    bind.keys.set("backlog", number);
                }
            }
            "mode" => {
                let text = value();
                let is_octal = text.len() == 3 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
                if is_octal && text != "660" {
                    bind.keys.set("unix_mode", format!("0{text}"));
                }
            }
            "v4v6" => both = true,
            _ if NEEDLESS.contains(&option) => {
                value();
            }
            _ if NEEDLESS_FLAGS.contains(&option) => {}
            other => {
                let why = format!("`{}` is not known here", shown(other));
                import.note(line, 2, why);
            }
        }
    }
    addresses(import, line, both, &mut bind)?;
    if is_tls {
        bind.tls = Some(finished(import, line, tls, (certificates, mode))?);
    }
    Some(bind)
}

/// The table `tls`. `None`: it would not ask clients as the line does.
fn finished(
    import: &mut Import<'_>,
    line: &Line,
    mut tls: Table,
    (certificates, mode): (Vec<String>, &str),
) -> Option<Table> {
    if certificates.is_empty() || certificates.iter().any(|path| path.ends_with('/')) {
        let why = "name the files of the certificates: folders are not read; it was left out";
        import.note(line, 2, why);
        return None;
    }
    let files = Value::one_or_list(&certificates);
    let mut keys = vec![("certificate", files.clone()), ("key", files)];
    match mode {
        "required" | "optional" if tls.has("client_ca") => {
            keys.push(("client_auth", mode.into()));
        }
        "required" | "optional" => {
            import.security(line, 2, "`verify` needs a `ca-file`; it was left out");
            return None;
        }
        _ => {
            tls.remove("client_ca");
            tls.remove("client_crl");
        }
    }
    keys.extend(tls.keys);
    tls.keys = keys;
    let why = "HAProxy has certificate and key in one file, which is named for both here";
    import.note(line, 1, why);
    Some(tls)
}

fn addresses(import: &mut Import<'_>, line: &Line, both: bool, bind: &mut Bind) -> Option<()> {
    for text in line.word(1).split(',') {
        let found = address(text);
        let Some(list) = found else {
            let why = format!("`{}` is no address that Ringway listens on", shown(text));
            import.note(line, 2, why);
            continue;
        };
        for (address, port) in list {
            if both && address.starts_with("[::]:") {
                bind.addresses.push(format!("0.0.0.0:{port}"));
            }
            bind.addresses.push(address);
            bind.ports.push(port);
        }
    }
    (!bind.addresses.is_empty()).then_some(())
}

/// An address, or those of a range of ports, in Ringway's form.
fn address(text: &str) -> Option<Vec<(String, u16)>> {
    if let Some(path) = text.strip_prefix("unix@").or_else(|| text.starts_with('/').then_some(text))
    {
        return (path.starts_with('/') && path.len() <= 107)
            .then(|| vec![(format!("unix:{path}"), 0)]);
    }
    let text = ["ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    let (host, ports) = text.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (digits(first)?, digits(last)?);
    if last < first || last - first >= PORTS_MAX {
        return None;
    }
    let host = match host {
        "" | "*" => "0.0.0.0".to_owned(),
        "localhost" => "127.0.0.1".to_owned(),
        _ if host.starts_with('[') => host.to_owned(),
        _ if host.contains(':') => format!("[{host}]"),
        _ => host.to_owned(),
    };
    (first..=last)
        .map(|port| {
            let address: std::net::SocketAddr = format!("{host}:{port}").parse().ok()?;
            Some((address.to_string(), address.port()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_ringway() {
        let table = [
            (":80", Some("0.0.0.0:80")),
            ("*:80", Some("0.0.0.0:80")),
            (":::443", Some("[::]:443")),
            ("[::1]:443", Some("[::1]:443")),
            ("ipv4@10.0.0.1:80", Some("10.0.0.1:80")),
            ("/run/x.sock", Some("unix:/run/x.sock")),
            ("unix@/run/x.sock", Some("unix:/run/x.sock")),
            ("127.0.0.1:8000-8001", Some("127.0.0.1:8000 127.0.0.1:8001")),
            ("127.0.0.1:1-9999", None),
            ("abns@x", None),
            ("80", None),
        ];
        for (text, expected) in table {
            let found = address(text).map(|list| {
                list.into_iter().map(|(address, _)| address).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}

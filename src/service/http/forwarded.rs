//! Who a request is from, and what servers are told of that: `forwarded` (RFC 7239) and the older
//! `x-forwarded-*`.
//!
//! Anybody can write these fields. So they are believed only when the peer that sent them is one of
//! the trusted proxies; then the client is the first address from the right of `x-forwarded-for`
//! that is none of them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::access::NetworkSet;
use crate::proto::http::{Fields, Known, RequestHead, Version, is_token, target};

/// Who we are in the `via` field (RFC 9110, section 7.6.3).
pub const VIA: &[u8] = b"1.1 ringway";

/// The same of a message that came in another version: the first word is that version (RFC 9110,
/// section 7.6.3).
#[must_use]
pub const fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 | Version::Http11 => VIA,
        Version::Http2 => b"2.0 ringway",
    }
}

/// Addresses that are looked at in one request's `x-forwarded-for`.
const HOPS_MAX: usize = 64;

/// What servers are told of the client by `forwarded` and `x-forwarded-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// Nothing; what the client says is passed on.
    Off,
    /// The peer is added to what the client says.
    Append,
    /// The client takes the place of what the client says.
    Replace,
}

/// Peers whose word on the client is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: NetworkSet,
    unix: bool,
}

impl TrustedProxies {
    /// Those of these networks, and, with `unix`, those that come by a Unix socket.
    #[must_use]
    pub fn new(networks: &[IpNet], unix: bool) -> Self {
        Self { networks: NetworkSet::new(networks), unix }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.unix && self.networks.is_empty()
    }

    /// Whether a peer is one; `None` is one that came by a Unix socket.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |ip| self.networks.contains(ip))
    }

    /// The client of a request that a trusted peer has sent: the first address from the right of
    /// `x-forwarded-for` that is not trusted, or, when all are, the last one that was looked at.
    /// What cannot be read ends the search. Its port is 0 unless the field has one.
    #[must_use]
    pub fn client(&self, fields: &Fields, peer: Option<SocketAddr>) -> Option<SocketAddr> {
        let mut client = peer;
        // From the end: what comes first is the client's own, in as many lines as it likes.
        let lines = fields.all(Known::XForwardedFor).rev();
        let hops = lines.flat_map(|line| line.rsplit(|byte| *byte == b',')).take(HOPS_MAX);
        for hop in hops {
            let Some(address) = address(hop) else { break };
            client = Some(address);
            if !self.trusts(Some(address.ip())) {
                break;
            }
        }
        client
    }
}

/// An address as `x-forwarded-for` has them: without a port, or with one.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    parsed.or_else(|_| text.parse::<SocketAddr>()).ok()
}

/// A request on its way to a server.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The other end of the connection; `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// Who the request is from: the peer, unless that is a trusted proxy.
    pub client: Option<IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub is_trusted: bool,
    /// The scheme that the peer speaks.
    pub scheme: &'a str,
}

/// Writes what a server is told.
pub fn tell(mode: Forwarded, hop: Hop<'_>, head: &mut RequestHead) {
    if mode == Forwarded::Off {
        return;
    }
    let (host, fields) = head.authority_and_fields();
    // What a client says of the scheme and the host it has made up, unless it is trusted.
    // Of a trusted proxy that adds a line of its own, that is the last one.
    let keep = |fields: &Fields, known| {
        let value = fields.all(known).next_back().filter(|_| hop.is_trusted);
        value.map(<[u8]>::to_vec)
    };
    let (proto, named) =
        (keep(fields, Known::XForwardedProto), keep(fields, Known::XForwardedHost));
    fields.remove_known(Known::XForwardedProto);
    fields.remove_known(Known::XForwardedHost);
    let named = named.as_deref().unwrap_or(host.as_bytes());
    let proto = proto.as_deref().unwrap_or(hop.scheme.as_bytes());
    let told = match mode {
        Forwarded::Replace => {
            fields.retain(|field| !is_of_forwarding(field.name));
            hop.client
        }
        Forwarded::Append | Forwarded::Off => hop.peer,
    };
    if !is_open_list(fields) {
        fields.remove_known(Known::Forwarded);
    }
    let mut shown = IpText { bytes: [0; IP_LEN_MAX], len: 0 };
    if let Some(ip) = told {
        shown.write(ip);
        let shown = shown.as_bytes();
        fields.append_to_list(Known::XForwardedFor, |out| {
            out.extend_from_slice(shown);
        });
    }
    // In place of what a trusted proxy has said stands what it has said of the client.
    let (of_host, of_scheme) = match mode {
        Forwarded::Replace if is_authority(named) && is_token(proto) => (named, proto),
        Forwarded::Replace | Forwarded::Append | Forwarded::Off => {
            (host.as_bytes(), hop.scheme.as_bytes())
        }
    };
    fields.append_to_list(Known::Forwarded, |out| {
        match told {
            Some(IpAddr::V4(_)) => {
                out.extend_from_slice(b"for=");
                out.extend_from_slice(shown.as_bytes());
            }
            Some(IpAddr::V6(_)) => {
                out.extend_from_slice(b"for=\"[");
                out.extend_from_slice(shown.as_bytes());
                out.extend_from_slice(b"]\"");
            }
            None => out.extend_from_slice(b"for=unknown"),
        }
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(of_host);
        out.extend_from_slice(b"\";proto=");
        out.extend_from_slice(of_scheme);
    });
    fields.push_known(Known::XForwardedProto, proto);
    fields.push_known(Known::XForwardedHost, named);
}

/// Characters of the longest address.
const IP_LEN_MAX: usize = 45;

/// An address as text, written once.
#[derive(Debug)]
struct IpText {
    bytes: [u8; IP_LEN_MAX],
    len: usize,
}

impl IpText {
    fn write(&mut self, ip: IpAddr) {
        // Every address fits.
        let _taken = std::fmt::Write::write_fmt(self, format_args!("{ip}"));
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl std::fmt::Write for IpText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Whether something can be added to the `forwarded` fields: not behind a quote that is not closed,
/// which would take it in (RFC 7239, section 4).
fn is_open_list(fields: &Fields) -> bool {
    let is_closed = |value: &[u8]| {
        let mut quoted = false;
        let mut bytes = value.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if quoted => drop(bytes.next()),
                _ => {}
            }
        }
        !quoted
    };
    fields.all(Known::Forwarded).all(is_closed)
}

fn is_authority(text: &[u8]) -> bool {
    target::check_authority(text).is_ok()
}

/// Whether a field, whose name is in lower case, says who a request is from.
#[must_use]
pub fn is_of_forwarding(name: &[u8]) -> bool {
    name.starts_with(b"x-forwarded")
        || name.starts_with(b"x-original-")
        || matches!(
            name,
            b"forwarded"
                | b"x-real-ip"
                | b"x-client-ip"
                | b"x-cluster-client-ip"
                | b"x-originating-ip"
                | b"x-remote-ip"
                | b"x-remote-addr"
                | b"x-proxyuser-ip"
                | b"x-envoy-external-address"
                | b"x-azure-clientip"
                | b"x-azure-socketip"
                | b"x-appengine-user-ip"
                | b"x-rewrite-url"
                | b"x-host"
                | b"x-scheme"
                | b"client-ip"
                | b"proxy-client-ip"
                | b"wl-proxy-client-ip"
                | b"true-client-ip"
                | b"cf-connecting-ip"
                | b"cf-connecting-ipv6"
                | b"fastly-client-ip"
                | b"fly-client-ip"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        all.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn trusted() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        TrustedProxies::new(&networks, true)
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        let peer = Some("10.0.0.1:9".parse().unwrap());
        let table: &[(&[&str], &str)] = &[
            (&[], "10.0.0.1:9"),
            (&["192.0.2.1"], "192.0.2.1:0"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1:0"),
            (&["6.6.6.6, 192.0.2.1, 10.2.3.4"], "192.0.2.1:0"),
            (&["6.6.6.6", "192.0.2.1,10.2.3.4", "fd00::1 "], "192.0.2.1:0"),
            (&["10.9.9.9, 10.2.3.4"], "10.9.9.9:0"),
            (&["192.0.2.1:5000"], "192.0.2.1:5000"),
            (&["[2001:db8::1]:5000, 10.1.1.1"], "[2001:db8::1]:5000"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["6.6.6.6, unknown"], "10.0.0.1:9"),
            (&["6.6.6.6, nonsense, 10.2.3.4"], "10.2.3.4:0"),
            (&["6.6.6.6,, 10.2.3.4"], "10.2.3.4:0"),
            (&["::ffff:10.2.3.4"], "[::ffff:10.2.3.4]:0"),
        ];
        for (lines, expected) in table {
            let all: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
            let client = trusted().client(&fields(&all), peer);
            assert_eq!(client, Some(expected.parse().unwrap()), "{lines:?}");
        }
        assert_eq!(trusted().client(&Fields::default(), None), None);
        let many = "10.1.1.1, ".repeat(100) + "10.1.1.2";
        let client = trusted().client(&fields(&[("x-forwarded-for", &many)]), peer);
        assert_eq!(client, Some("10.1.1.1:0".parse().unwrap()), "the search has an end");
        // However many lines a client writes, what the proxy has added comes last.
        let mut lines = vec![("x-forwarded-for", "6.6.6.6"); 99];
        lines.push(("x-forwarded-for", "192.0.2.1"));
        let client = trusted().client(&fields(&lines), peer);
        assert_eq!(client, Some("192.0.2.1:0".parse().unwrap()));
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_nothing_in() {
        for (said, stays) in [
            ("for=6.6.6.6;x=\"", false),
            ("for=6.6.6.6;x=\"a\\\"", false),
            ("for=\"a\\\"b\"", true),
            ("for=6.6.6.6", true),
        ] {
            let mut head = RequestHead::default();
            head.set_authority(b"a");
            head.fields = fields(&[("forwarded", said)]);
            let ip = Some("192.0.2.1".parse().unwrap());
            let hop = Hop { peer: ip, client: ip, is_trusted: false, scheme: "http" };
            tell(Forwarded::Append, hop, &mut head);
            let value = head.fields.get(Known::Forwarded).unwrap();
            let own = "for=192.0.2.1;host=\"a\";proto=http";
            let all = if stays { format!("{said}, {own}") } else { own.to_owned() };
            assert_eq!(std::str::from_utf8(value).unwrap(), all);
        }
    }

    #[test]
    fn of_two_lines_of_a_trusted_proxy_the_last_is_its_own() {
        let mut head = RequestHead::default();
        head.set_authority(b"a");
        head.fields = fields(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]);
        let hop = Hop { peer: None, client: None, is_trusted: true, scheme: "https" };
        tell(Forwarded::Append, hop, &mut head);
        assert_eq!(head.fields.get(Known::XForwardedProto), Some(&b"http"[..]));
    }

    #[test]
    fn only_proxies_of_the_list_are_trusted() {
        let all = trusted();
        let trusts = |ip: &str| all.trusts(Some(ip.parse().unwrap()));
        assert!(trusts("10.255.0.1") && trusts("::ffff:10.0.0.1") && trusts("fd12::1"));
        assert!(!trusts("11.0.0.1") && !trusts("::1"));
        assert!(all.trusts(None));
        assert!(!TrustedProxies::default().trusts(None));
        assert!(TrustedProxies::default().is_empty() && !all.is_empty());
    }

    const SAID: [(&str, &str); 6] = [
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "666"),
        ("x-real-ip", "6.6.6.6"),
    ];

    fn told(mode: Forwarded, peer: Option<&str>, client: Option<&str>, is_trusted: bool) -> String {
        let ip = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let mut head = RequestHead::default();
        head.set_authority(b"a.example:80");
        head.fields = fields(&SAID);
        let hop = Hop { peer: ip(peer), client: ip(client), is_trusted, scheme: "http" };
        tell(mode, hop, &mut head);
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let each =
            head.fields.iter().map(|one| format!("{}: {}\n", text(one.name), text(one.value)));
        each.collect()
    }

    #[test]
    fn what_a_client_says_of_itself_is_replaced_whoever_it_is() {
        let own = "forwarded: for=192.0.2.1;host=\"a.example:80\";proto=http\n\
            x-forwarded-proto: http\nx-forwarded-host: a.example:80\n";
        let peer = Some("192.0.2.1");
        assert_eq!(
            told(Forwarded::Replace, peer, peer, false),
            format!("x-forwarded-for: 192.0.2.1\n{own}")
        );
        // A client of a Unix socket has no address, and still may not make one up.
        assert_eq!(
            told(Forwarded::Replace, None, None, false),
            own.replace("for=192.0.2.1", "for=unknown")
        );
        let trusted = told(Forwarded::Replace, Some("10.0.0.1"), peer, true);
        assert!(trusted.contains("x-forwarded-for: 192.0.2.1\n"), "{trusted}");
        assert!(
            trusted.contains("x-forwarded-proto: gopher\n"),
            "a trusted proxy knows: {trusted}"
        );
        assert!(trusted.contains("x-forwarded-host: evil.example\n"), "{trusted}");
        assert!(!trusted.contains("6.6.6.6") && !trusted.contains("666"), "{trusted}");
    }

    #[test]
    fn what_is_appended_to_is_a_list_and_nothing_else_of_a_client_is_believed() {
        let peer = Some("2001:db8::1");
        let text = told(Forwarded::Append, peer, peer, false);
        assert!(text.contains("x-forwarded-for: 6.6.6.6, 2001:db8::1\n"), "{text}");
        let list =
            "forwarded: for=6.6.6.6, for=\"[2001:db8::1]\";host=\"a.example:80\";proto=http\n";
        assert!(text.contains(list), "{text}");
        assert!(
            text.contains("x-forwarded-proto: http\nx-forwarded-host: a.example:80\n"),
            "{text}"
        );
        assert!(!text.contains("gopher") && !text.contains("evil"), "{text}");
        let trusted = told(Forwarded::Append, peer, Some("192.0.2.1"), true);
        assert!(trusted.contains("x-forwarded-for: 6.6.6.6, 2001:db8::1\n"), "{trusted}");
        assert!(trusted.contains("x-forwarded-proto: gopher\n"), "{trusted}");
        assert!(trusted.contains("x-forwarded-host: evil.example\n"), "{trusted}");
        let unix = told(Forwarded::Append, None, None, false);
        assert!(unix.contains("x-forwarded-for: 6.6.6.6\n"), "{unix}");
        assert!(unix.contains("forwarded: for=6.6.6.6, for=unknown;"), "{unix}");
        assert!(!unix.contains("gopher"), "{unix}");
        let off = told(Forwarded::Off, peer, peer, false);
        assert!(off.contains("gopher") && !off.contains("2001"), "{off}");
    }
}

//! Requests on their way to servers: what is added to them, and how they are written.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::client::{Http, Peer};
use super::exchange::{Asked, Exchange};
use super::options::{HashOn, HostHeader, ProxyOptions, Rewrite, RouteOptions};
use super::state::Told;
use super::vars::Vars;
use crate::mem::Key;
use crate::proto::http::{Fields, Known, Method, RequestHead, target};
use crate::proto::http1::Framing;
use crate::proto::http1::write::{self, Connection, Delimit};
use crate::ring::Driver;
use crate::service::cluster::stable_hash;
use crate::service::http::forwarded::{self, Hop};
use crate::service::http::route::prefix_rewrite;
use crate::session::context::Context;

/// Who we are in the `via` field (RFC 9110, section 7.6.3).
pub(super) const VIA: &[u8] = b"1.1 ringway";

impl Http {
    /// Makes the exchange of a request that a server answers. Head and record come back when there
    /// can be no more exchanges.
    #[expect(clippy::result_large_err, reason = "what came is given back as it came")]
    pub(super) fn make_exchange<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        mut head: Box<RequestHead>,
        mut told: Told,
        route: &RouteOptions,
        proxy: &ProxyOptions,
        asked: Asked,
    ) -> Result<Key, (Box<RequestHead>, Told)> {
        let options = Arc::clone(&self.options);
        if let Some(name) = &options.request_id {
            told.request_id = context.next_request();
            if head.fields.get_named(name.as_bytes()).is_none() {
                let id = told.request_id;
                head.fields.push_with(name.as_bytes(), |out| write_id(id, out));
            }
        }
        self.add_forwarded(&told, &mut head);
        if !route.request_edits.is_empty() {
            let mut fields = std::mem::take(&mut head.fields);
            let vars = Vars::new(&options, self.client.as_deref(), &head, &told);
            route.request_edits.apply(&mut fields, &vars);
            let host = fields.get(Known::Host).map(<[u8]>::to_vec);
            fields.remove_known(Known::Host);
            head.fields = fields;
            // The host is no field of a head, as versions write it differently.
            if let Some(host) = host.filter(|host| target::check_authority(host).is_ok()) {
                head.set_authority(&host);
            }
        }
        let hash = context.http.cluster(proxy.upstream).options.hash_on.clone();
        let hash = hash.map(|on| hash_of(&on, &head, told.ip()));
        let rewrite = proxy.rewrite.as_ref();
        let path = rewrite.map(|rewrite| rewritten(rewrite, head.path()).into_owned());
        let key = context.insert_exchange(proxy.upstream, head, told, asked, hash)?;
        if let Some(exchange) = context.http.exchanges.get_mut(key) {
            exchange.path = path;
            exchange.until = route.total_timeout.map(|most| exchange.tried + most);
        }
        Ok(key)
    }

    /// Tells the server of the client.
    fn add_forwarded(&self, told: &Told, head: &mut RequestHead) {
        let peer = self.client.as_deref();
        let hop = Hop {
            peer: peer.and_then(Peer::ip),
            client: told.ip(),
            is_trusted: peer.is_some_and(|peer| peer.is_trusted),
            scheme: self.options.scheme,
        };
        forwarded::tell(self.options.forwarded, hop, head);
        let via = |out: &mut Vec<u8>| out.extend_from_slice(VIA);
        head.fields.append_to_list(Known::Via, b"via", via);
    }
}

/// What the balancer goes by.
fn hash_of(on: &HashOn, head: &RequestHead, ip: Option<IpAddr>) -> u64 {
    match on {
        HashOn::Source => match ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => stable_hash(&ip.octets()),
            Some(IpAddr::V6(ip)) => stable_hash(&ip.octets()),
            None => 0,
        },
        HashOn::Path => stable_hash(head.path().as_bytes()),
        HashOn::Header(name) => {
            stable_hash(head.fields.get_named(name.as_bytes()).unwrap_or_default())
        }
        HashOn::Cookie(name) => stable_hash(cookie(&head.fields, name).unwrap_or_default()),
    }
}

/// A request's number as text.
pub(super) fn write_id(id: u64, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..16).rev() {
        let digit = usize::try_from(id >> (shift * 4) & 0xf).unwrap_or(0);
        out.push(DIGITS[digit]);
    }
}

/// The value of a cookie (RFC 6265, section 4.2.1).
fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let lines = fields.all(Known::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    lines.map(<[u8]>::trim_ascii).find_map(|pair| {
        let rest = pair.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// The path with another prefix.
pub(super) fn rewritten<'a>(rewrite: &'a Rewrite, path: &'a str) -> Cow<'a, str> {
    prefix_rewrite(path, &rewrite.prefix, &rewrite.replacement)
}

/// Writes the head of an exchange's request.
pub(super) fn write_request(
    exchange: &Exchange,
    (host, server): (&HostHeader, &str),
    out: &mut Vec<u8>,
) {
    let head = &exchange.head;
    let authority = match host {
        HostHeader::Pass if !head.authority().is_empty() => head.authority(),
        HostHeader::Pass | HostHeader::Server => server,
        HostHeader::Literal(name) => name,
    };
    let connection = if exchange.asked.upgrade { Connection::Upgrade } else { Connection::Persist };
    // A method that has a body says that there is none (RFC 9110, section 8.6).
    let has_body = matches!(head.method, Method::Post | Method::Put | Method::Patch);
    let length = (has_body && exchange.asked.framing == Framing::None).then_some(0);
    let delimit = Delimit { framing: exchange.asked.framing, length, connection };
    let path = exchange.path.as_deref().unwrap_or_else(|| head.path());
    write::request(head, path, authority.as_bytes(), delimit, out);
}

impl Exchange {
    /// Keeps what is sent of the body, as long as it may have to be sent again.
    pub(super) fn keep(&mut self, part: &[u8], most: usize) {
        if most == 0 || self.kept_too_much {
            return;
        }
        if self.kept.len() + part.len() > most {
            self.kept_too_much = true;
            self.kept = Vec::new();
            return;
        }
        self.kept.extend_from_slice(part);
    }

    /// Whether all of the body that came is still there.
    pub(super) fn is_repeatable(&self) -> bool {
        let there = (self.kept.len() + self.request.waiting()) as u64;
        !self.kept_too_much && there == self.request.total
    }

    /// The body goes out again from its beginning.
    pub(super) fn rewind(&mut self) {
        self.answer = None;
        if !self.kept.is_empty() {
            self.request.rewind(std::mem::take(&mut self.kept));
        }
    }
}

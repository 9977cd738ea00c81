//! Requests on their way to servers: what is added to them, and how they are written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::vars::Vars;
use super::{Http, Peer};
use crate::mem::Key;
use crate::proto::http::{BodySize, Fields, Known, RequestHead, Version, target};
use crate::proto::http1::{Framing, RequestMeta};
use crate::ring::Driver;
use crate::service::cluster::stable_hash;
use crate::service::grpc;
use crate::service::http::body::Body;
use crate::service::http::forwarded::{self, Hop};
use crate::service::http::record::RequestRecord;
use crate::service::proxy::http::{ForwardedRequest, NewExchange, WebSocket};
use crate::session::context::Context;
use crate::session::http::options::{HashOn, ProxyOptions, RouteOptions};
use crate::session::http::state::HttpState;

impl Http {
    /// Makes the exchange of a request that a server answers, by another path if there is one. Head
    /// and record come back when there can be no more exchanges.
    #[expect(clippy::result_large_err, reason = "what came is given back as it came")]
    pub(in crate::session::http) fn make_exchange<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        client: Key,
        mut head: Box<RequestHead>,
        mut told: RequestRecord,
        (route, proxy, path, meta): (&RouteOptions, &ProxyOptions, Option<String>, &RequestMeta),
    ) -> Result<Key, (Box<RequestHead>, RequestRecord)> {
        let options = Arc::clone(&self.options);
        self.add_request_id(context, &mut head, &mut told);
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
        let idle = self.io.common.listener.options.idle_timeout;
        let asked = (meta.upgrade, meta.framing != Framing::None);
        let random = || {
            let halves = [context.next_request(), context.next_request()];
            (u128::from(halves[0]) << 64 | u128::from(halves[1])).to_be_bytes()
        };
        let mut websocket = WebSocket::of(&mut head, asked, random, idle);
        let now = context.now();
        if let (Some(websocket), Some(rules)) = (&mut websocket, proxy.inspect) {
            websocket.inspect(rules, context.next_request(), now);
        }
        let HttpState { proxy: engine, clusters, .. } = &mut context.http;
        let hash_on = clusters.get(proxy.upstream).options.hash_on.as_ref();
        let hash = hash_on.map(|on| hash_of(on, &head, told.ip()));
        let until = time_of(route, &told, &head);
        let size = match meta.framing.size() {
            BodySize::Known(_)
                if told.messages.as_ref().is_some_and(|one| one.changes_length()) =>
            {
                BodySize::Unknown
            }
            size @ (BodySize::None | BodySize::Known(_) | BodySize::Unknown) => size,
        };
        let request = ForwardedRequest {
            path,
            size,
            upgrade: meta.upgrade,
            websocket,
            closes: !meta.keep_alive || head.version == Version::Http10,
            head,
            body: Body::default(),
        };
        let new = NewExchange {
            client: (client, self.wire.stream()),
            cluster: proxy.upstream,
            request,
            record: told,
            hash,
            until: until.and_then(|most| now.checked_add(most)),
        };
        engine.insert(new, clusters, now)
    }

    /// Gives a request its number, where it is to have one.
    pub(super) fn add_request_id<D: Driver>(
        &self,
        context: &mut Context<D>,
        head: &mut RequestHead,
        told: &mut RequestRecord,
    ) {
        let Some(name) = &self.options.request_id else { return };
        told.request_id = context.next_request();
        if head.fields.get_named(name.as_bytes()).is_none() {
            let id = told.request_id;
            head.fields.push_with(name.as_bytes(), |out| write_id(id, out));
        }
    }

    /// Tells the server of the client.
    fn add_forwarded(&self, told: &RequestRecord, head: &mut RequestHead) {
        let peer = self.client.as_deref();
        let hop = Hop {
            peer: peer.and_then(Peer::ip),
            client: told.ip(),
            is_trusted: peer.is_some_and(|peer| peer.is_trusted),
            scheme: self.options.scheme,
        };
        forwarded::tell(self.options.forwarded, hop, head);
        let via = forwarded::via(head.version);
        let via = |out: &mut Vec<u8>| out.extend_from_slice(via);
        head.fields.append_to_list(Known::Via, via);
    }
}

/// How long a request may take in all. A call has the time that its client gives it, and no more
/// than its route.
pub(super) fn time_of(
    route: &RouteOptions,
    told: &RequestRecord,
    head: &RequestHead,
) -> Option<Duration> {
    let called = if told.is_call() { grpc::timeout_of(&head.fields) } else { None };
    [route.total_timeout, called].into_iter().flatten().min()
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
pub(in crate::session::http) fn write_id(id: u64, out: &mut Vec<u8>) {
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

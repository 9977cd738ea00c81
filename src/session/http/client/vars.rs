//! The values of variables in templates, while a request is under way.

use super::Peer;
use super::forward::write_id;
use crate::proto::http::RequestHead;
use crate::proto::http1::write::number;
use crate::service::http::certificate::ClientCertificate;
use crate::service::http::record::RequestRecord;
use crate::service::http::template::{Variable, Variables};
use crate::session::http::options::HttpOptions;

/// What is known of a request.
#[derive(Debug)]
pub(in crate::session::http) struct Vars<'a> {
    options: &'a HttpOptions,
    peer: Option<&'a Peer>,
    head: &'a RequestHead,
    told: &'a RequestRecord,
}

impl<'a> Vars<'a> {
    pub(in crate::session::http) const fn new(
        options: &'a HttpOptions,
        peer: Option<&'a Peer>,
        head: &'a RequestHead,
        told: &'a RequestRecord,
    ) -> Self {
        Self { options, peer, head, told }
    }

    fn write_query(&self, out: &mut Vec<u8>) {
        if let Some(query) = self.head.query() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }
}

impl Variables for Vars<'_> {
    fn write_capture(&self, group: u8, out: &mut Vec<u8>) {
        let regex = self.told.route.and_then(|route| self.options.router.regex(route));
        if let Some(regex) = regex {
            regex.write_capture(self.head.path(), group, out);
        }
    }

    fn write(&self, variable: Variable, out: &mut Vec<u8>) {
        let source = self.told.source;
        let secured = self.peer.and_then(|peer| peer.secured).unwrap_or_default();
        let certificate = self.peer.and_then(|peer| peer.certificate.as_deref());
        let shown = |read: fn(&ClientCertificate) -> &str| certificate.map_or("", read);
        let route = self.told.route.and_then(|route| self.options.routes.get(route));
        match variable {
            Variable::Host => out.extend_from_slice(self.head.host().as_bytes()),
            Variable::Path => out.extend_from_slice(self.head.path().as_bytes()),
            Variable::Query => self.write_query(out),
            Variable::Target => {
                out.extend_from_slice(self.head.path().as_bytes());
                self.write_query(out);
            }
            Variable::Method => out.extend_from_slice(self.head.method_name().as_bytes()),
            Variable::Source => {
                if let Some(source) = source {
                    out.extend_from_slice(source.ip().to_canonical().to_string().as_bytes());
                }
            }
            Variable::SourcePort => {
                if let Some(source) = source.filter(|source| source.port() != 0) {
                    number(source.port().into(), out);
                }
            }
            Variable::Scheme => out.extend_from_slice(self.options.scheme.as_bytes()),
            Variable::RequestId => write_id(self.told.request_id, out),
            Variable::Upstream => {
                let upstream = route.and_then(|route| route.upstream_name.as_deref());
                out.extend_from_slice(upstream.unwrap_or_default().as_bytes());
            }
            Variable::Route => {
                let name = route.map(|route| &*route.name).unwrap_or_default();
                out.extend_from_slice(name.as_bytes());
            }
            Variable::User => {
                out.extend_from_slice(self.told.user.as_deref().unwrap_or_default().as_bytes());
            }
            Variable::TlsVersion => out.extend_from_slice(secured.0.as_bytes()),
            Variable::TlsCipher => out.extend_from_slice(secured.1.as_bytes()),
            Variable::TlsClientSubject => {
                out.extend_from_slice(shown(|one| &one.subject).as_bytes());
            }
            Variable::TlsClientNames => out.extend_from_slice(shown(|one| &one.names).as_bytes()),
            Variable::TlsClientFingerprint => {
                out.extend_from_slice(shown(|one| &one.fingerprint).as_bytes());
            }
            Variable::Status => number(self.told.status.into(), out),
            // Known only in access logs, where other templates cannot have them.
            Variable::Time
            | Variable::GrpcStatus
            | Variable::BytesSent
            | Variable::BytesReceived
            | Variable::Duration
            | Variable::UpstreamDuration
            | Variable::QueueDuration
            | Variable::ConnectDuration
            | Variable::FirstByteDuration
            | Variable::Server
            | Variable::UserAgent
            | Variable::Referer
            | Variable::Reason
            | Variable::Version
            | Variable::RequestLine
            | Variable::RefusedLine => {}
        }
    }
}

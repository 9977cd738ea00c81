//! What people are told of the listeners, on the page that shows what runs and at the start: what
//! each is for, and how to try it.

use super::Running;
use super::plan::Inventory;
use crate::config::{Action, Config, HttpOptions, Listener, ListenerService, PathPattern};
use crate::ring::SocketAddress;
use crate::service::http::status_page::{Introduced, Introduction, Place};

/// What is told of the listeners of a configuration, which listen on `bound`.
pub(super) fn introduction(
    config: &Config,
    inventory: &Inventory,
    bound: &[(String, SocketAddress)],
    admin: Option<std::net::SocketAddr>,
) -> Introduction {
    let place = |wanted: &Listener| {
        let (all, place): (_, fn(usize) -> Place) = match wanted.is_udp() {
            true => (&inventory.datagrams, Place::Datagrams),
            false => (&inventory.listeners, Place::Connections),
        };
        all.iter().find(|one| one.name == wanted.name).map(|one| place(one.number()))
    };
    let listeners = config.listeners.iter().filter_map(|listener| {
        let own = bound.iter().filter(|(name, _)| *name == listener.name);
        let addresses: Vec<SocketAddress> = own.map(|(_, address)| *address).collect();
        let first = addresses.first()?;
        Some(Introduced {
            name: listener.name.clone(),
            what: what(config, listener),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            link: link(listener, first),
            websocket_page: websocket_page(listener, first),
            command: command(listener, first, "ringway"),
            place: place(listener)?,
        })
    });
    let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
    let admin = admin.map(|address| format!("{scheme}://{address}"));
    Introduction { listeners: listeners.collect(), admin }
}

/// Something that listens, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub what: String,
    /// Where it listens.
    pub address: String,
    /// A command that tries it, if there is one.
    pub command: Option<String>,
}

/// What listens where; commands run this program as `program`.
#[must_use]
pub fn listening(config: &Config, server: &Running, program: &str) -> Vec<Listening> {
    let mut all = Vec::new();
    for (name, address) in server.addresses().iter() {
        let Some(listener) = config.listeners.iter().find(|listener| listener.name == *name) else {
            continue;
        };
        all.push(Listening {
            name: name.clone(),
            what: what(config, listener),
            address: address.to_string(),
            command: command(listener, address, program),
        });
    }
    all.extend(server.admin().map(|admin| {
        let url = match config.admin.tls {
            Some(_) => format!("--insecure https://{admin}"),
            None => admin.to_string(),
        };
        Listening {
            name: "admin".to_owned(),
            what: "metrics and health".to_owned(),
            address: admin.to_string(),
            command: Some(format!("curl {url}/metrics")),
        }
    }));
    all
}

fn what(config: &Config, listener: &Listener) -> String {
    let upstream =
        |index: usize| config.upstreams.get(index).map_or("", |upstream| upstream.name.as_str());
    let what = match &listener.service {
        ListenerService::Echo => "TCP echo".to_owned(),
        ListenerService::Tcp { upstream: index } => format!("TCP proxy to {}", upstream(*index)),
        ListenerService::UdpEcho { .. } => "UDP echo".to_owned(),
        ListenerService::Udp { upstream: index, .. } => {
            format!("UDP proxy to {}", upstream(*index))
        }
        ListenerService::Frame { upstream: None, .. } => "framed protocol".to_owned(),
        ListenerService::Frame { upstream: Some(index), .. } => {
            format!("frame proxy to {}", upstream(*index))
        }
        ListenerService::Messages { .. } => "JSON messages".to_owned(),
        ListenerService::Sni { .. } => "TLS by name".to_owned(),
        ListenerService::Http(_) => "HTTP".to_owned(),
    };
    if listener.tls.is_some() { format!("{what}, by TLS") } else { what }
}

/// Where a browser finds it, if it speaks HTTP.
fn link(listener: &Listener, address: &SocketAddress) -> Option<String> {
    let ListenerService::Http(_) = listener.service else { return None };
    let address = address.ip().filter(|address| !address.ip().is_unspecified())?;
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{address}/"))
}

/// Where a browser tries its WebSockets, if there is a page for that at a path that is known.
fn websocket_page(listener: &Listener, address: &SocketAddress) -> Option<String> {
    let mut routes = listener.service.http()?.routes.iter();
    let path = routes.find_map(|route| match (&route.action, &route.path) {
        (Action::WebSocketPage, PathPattern::Exact(path)) => path.strip_prefix('/'),
        _ => None,
    })?;
    Some(link(listener, address)? + path)
}

/// A command that tries it.
fn command(listener: &Listener, address: &SocketAddress, program: &str) -> Option<String> {
    let is_tls = listener.tls.is_some();
    let is_http = matches!(listener.service, ListenerService::Http(_));
    if listener.accept_proxy_protocol && !is_http {
        // No command at hand sends the header.
        return None;
    }
    let connect = |scheme: &str, rest: &str| {
        let scheme = match (scheme, is_tls) {
            ("tcp", true) => "tls".to_owned(),
            (_, true) => format!("{scheme}+tls"),
            (_, false) => scheme.to_owned(),
        };
        // The certificate may be one that nobody trusts yet.
        let insecure = if is_tls { " --insecure" } else { "" };
        format!("{program} connect{insecure} {scheme}://{address}{rest}")
    };
    Some(match &listener.service {
        ListenerService::Tcp { .. } | ListenerService::Echo => {
            format!("echo hello | {}", connect("tcp", ""))
        }
        ListenerService::Udp { .. } | ListenerService::UdpEcho { .. } => {
            format!("echo hello | {}", connect("udp", ""))
        }
        ListenerService::Frame { upstream: Some(_), .. } => connect("frame", " ping -c 3"),
        ListenerService::Frame { upstream: None, options } => {
            let value = options.values.first().map(|(name, _)| format!(" get {name}"));
            connect("frame", &value.unwrap_or_else(|| " echo hello".to_owned()))
        }
        ListenerService::Messages { .. } => connect("messages", " time"),
        ListenerService::Sni { options, .. } => {
            let (name, _) = options.names.first()?;
            let name = name.replacen('*', "www", 1);
            format!("curl --connect-to {name}:443:{address} https://{name}/")
        }
        ListenerService::Http(http) => {
            let (data, path) = if echoes(http) { ("-d hello ", "/echo") } else { ("", "/") };
            let header = if listener.accept_proxy_protocol { "--haproxy-protocol " } else { "" };
            let data = format!("{header}{data}");
            match (address.path(), is_tls) {
                (Some(socket), false) => {
                    format!("curl {data}--unix-socket {} http://localhost{path}", socket.display())
                }
                (Some(_), true) => return None,
                (None, true) => format!("curl {data}--insecure https://{address}{path}"),
                (None, false) => format!("curl {data}http://{address}{path}"),
            }
        }
    })
}

/// Whether it sends back what is sent to `/echo`, as the built-in configuration does.
fn echoes(http: &HttpOptions) -> bool {
    http.routes.iter().any(|route| route.name == "echo" && matches!(route.action, Action::Echo))
}

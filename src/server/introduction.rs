//! What the page that shows what runs tells of the listeners: what each is for, and how to try it.

use super::build::{datagrams, streams};
use crate::config::{Action, Config, HttpOptions, Listener, ListenerService};
use crate::ring::SocketAddress;
use crate::service::http::status_page::{Introduced, Introduction, Place};

/// What is told of the listeners of a configuration, which listen on `bound`.
pub(super) fn introduction(
    config: &Config,
    bound: &[(String, SocketAddress)],
    admin: Option<std::net::SocketAddr>,
) -> Introduction {
    let place = |wanted: &Listener| {
        let is_wanted = |one: &Listener| one.name == wanted.name;
        match wanted.is_udp() {
            true => datagrams(config).position(is_wanted).map(Place::Datagrams),
            false => streams(config).position(is_wanted).map(Place::Connections),
        }
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
            command: command(listener, first),
            place: place(listener)?,
        })
    });
    let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
    let admin = admin.map(|address| format!("{scheme}://{address}"));
    Introduction { listeners: listeners.collect(), admin }
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

/// A command that tries it.
fn command(listener: &Listener, address: &SocketAddress) -> Option<String> {
    let is_tls = listener.tls.is_some();
    let connect = |scheme: &str, rest: &str| {
        let scheme = match (scheme, is_tls) {
            ("tcp", true) => "tls".to_owned(),
            (_, true) => format!("{scheme}+tls"),
            (_, false) => scheme.to_owned(),
        };
        format!("ringway connect {scheme}://{address}{rest}")
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
            format!("curl --connect-to {name}:443:{address} https://{name}/")
        }
        ListenerService::Http(http) => {
            let (data, path) = if echoes(http) { ("-d hello ", "/echo") } else { ("", "/") };
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

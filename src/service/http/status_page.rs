//! The page that shows what runs: each listener, what it is for, how it is tried, what it carries.

use std::time::Duration;

use super::access_log::text;
use super::page::{self, Count, Size, escape_html};

/// What is known of the listeners when the server starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Introduced>,
    /// The address of the admin interface with its scheme, if there is one.
    pub admin: Option<String>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduced {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub what: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Where a browser finds it.
    pub link: Option<String>,
    /// A command that tries it.
    pub command: Option<String>,
    /// Where a browser tries its WebSockets: a URL.
    pub websocket_page: Option<String>,
    /// Its place among the listeners of connections, or among those of datagrams.
    pub place: Place,
}

/// Where a listener is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The number among listeners of connections.
    Connections(usize),
    /// The number among listeners of datagrams.
    Datagrams(usize),
}

/// What a listener has carried. Connections, or flows of datagrams where there are flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Open now.
    pub active: u64,
    /// Opened since the start.
    pub opened: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
}

/// How much a worker has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Connections open now.
    pub active: u64,
    /// The share of the time since its start that its turns took, 0 to 1.
    pub busy: f64,
    /// The longest turn since its start.
    pub longest_turn: Duration,
}

/// Writes the page. `carried` is asked for each listener.
pub fn write(
    introduction: &Introduction,
    workers: &[Load],
    carried: impl Fn(Place) -> Carried,
    out: &mut Vec<u8>,
) {
    let version = env!("CARGO_PKG_VERSION");
    let threads = if workers.len() == 1 { "worker, an" } else { "workers, each an" };
    let count = workers.len();
    page::begin("Ringway", out);
    text(out, format_args!("<h1>Ringway {version} is running</h1>\n"));
    text(out, format_args!("<p>{count} {threads} io_uring event loop.</p>\n<ul>\n"));
    for listener in &introduction.listeners {
        write_listener(listener, carried(listener.place), out);
    }
    if let Some(admin) = &introduction.admin {
        out.extend_from_slice(
            b"<li><div><b>admin</b> <small>metrics and health</small></div>\n<div>",
        );
        for path in ["/metrics", "/healthz", "/readyz", "/config", "/latency", "/log"] {
            out.extend_from_slice(b"<a href=\"");
            escape_html(admin, out);
            text(out, format_args!("{path}\">{path}</a> "));
        }
        out.extend_from_slice(b"</div></li>\n");
    }
    for (number, load) in workers.iter().enumerate() {
        write_load(number, load, out);
    }
    out.extend_from_slice(b"</ul>\n");
    page::end(out);
}

fn write_load(number: usize, load: &Load, out: &mut Vec<u8>) {
    let Load { active, busy, longest_turn } = load;
    let (percent, millis) = (busy * 100.0, longest_turn.as_secs_f64() * 1_000.0);
    text(
        out,
        format_args!("<li><div><b>worker {number}</b> <small>{} open</small> ", Count(*active)),
    );
    text(
        out,
        format_args!(
            "<small class=\"end\">busy {percent:.1} %, longest turn {millis:.1} ms</small>\
             </div></li>\n"
        ),
    );
}

fn write_listener(listener: &Introduced, carried: Carried, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<li><div><b>");
    escape_html(&listener.name, out);
    out.extend_from_slice(b"</b> <small>");
    escape_html(&listener.what, out);
    out.extend_from_slice(b"</small> ");
    for (at, address) in listener.addresses.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b", " } else { b"" });
        match listener.link.as_ref().filter(|_| at == 0) {
            Some(link) => {
                out.extend_from_slice(b"<a href=\"");
                escape_html(link, out);
                out.extend_from_slice(b"\">");
                escape_html(address, out);
                out.extend_from_slice(b"</a>");
            }
            None => escape_html(address, out),
        }
    }
    out.extend_from_slice(b" <small class=\"end\">");
    let Carried { active, opened, received, sent } = carried;
    if opened > 0 {
        text(out, format_args!("{} open of {}, ", Count(active), Count(opened)));
    }
    if opened > 0 || received > 0 {
        text(out, format_args!("{} in, {} out", Size(received), Size(sent)));
    } else {
        out.extend_from_slice(b"not used yet");
    }
    out.extend_from_slice(b"</small></div>\n");
    if let Some(command) = &listener.command {
        out.extend_from_slice(b"<div><code>");
        escape_html(command, out);
        out.extend_from_slice(b"</code></div>");
    }
    if let Some(page) = &listener.websocket_page {
        out.extend_from_slice(b"<div><a href=\"");
        escape_html(page, out);
        out.extend_from_slice(b"\">WebSocket: echo and topics, to try</a></div>");
    }
    out.extend_from_slice(b"</li>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_is_shown_with_what_it_carries_and_a_line_to_try() {
        let listener = |name: &str, link: Option<&str>, place| Introduced {
            name: name.to_owned(),
            what: "HTTP & <more>".to_owned(),
            addresses: vec!["127.0.0.1:1".to_owned(), "unix:/a".to_owned()],
            link: link.map(str::to_owned),
            command: link.map(|link| format!("curl '{link}'")),
            websocket_page: link.map(|link| format!("{link}&ws")),
            place,
        };
        let introduction = Introduction {
            listeners: vec![
                listener("<b>", Some("http://127.0.0.1:1/?a&b"), Place::Connections(0)),
                listener("udp", None, Place::Datagrams(0)),
                listener("other", None, Place::Datagrams(1)),
            ],
            admin: Some("http://127.0.0.1:2".to_owned()),
        };
        let carried = |place| match place {
            Place::Connections(_) => Carried { active: 2, opened: 1234, received: 1536, sent: 10 },
            Place::Datagrams(0) => Carried { received: 5, ..Carried::default() },
            Place::Datagrams(_) => Carried::default(),
        };
        let mut page = Vec::new();
        let idle = Load::default();
        let longest_turn = Duration::from_micros(1_240);
        let loads = [idle, Load { active: 1_000, busy: 0.1234, longest_turn }];
        write(&introduction, &loads, carried, &mut page);
        let page = String::from_utf8(page).unwrap();
        for there in [
            "<b>&lt;b&gt;</b> <small>HTTP &amp; &lt;more&gt;</small>",
            "<a href=\"http://127.0.0.1:1/?a&amp;b\">127.0.0.1:1</a>, unix:/a",
            "2 open of 1,234, 1.5 KiB in, 10 B out",
            "<small class=\"end\">5 B in, 0 B out</small>",
            "<small class=\"end\">not used yet</small>",
            "<code>curl &#39;http://127.0.0.1:1/?a&amp;b&#39;</code>",
            "<div><a href=\"http://127.0.0.1:1/?a&amp;b&amp;ws\">WebSocket: ",
            "<a href=\"http://127.0.0.1:2/metrics\">/metrics</a>",
            "2 workers, each an io_uring event loop",
            "<b>worker 0</b> <small>0 open</small>",
            "<b>worker 1</b> <small>1,000 open</small> \
             <small class=\"end\">busy 12.3 %, longest turn 1.2 ms</small>",
        ] {
            assert!(page.contains(there), "{there} is not in {page}");
        }
    }
}

//! A page that shows what runs.

use crate::ring::Driver;
use crate::service::http::page::escape_html;
use crate::session::context::Context;
use crate::session::options::ServiceOptions;

impl<D: Driver> Context<D> {
    /// Writes the page: each listener with what it does and how many connections it has.
    pub(super) fn write_status_page(&self, out: &mut Vec<u8>) {
        let version = env!("CARGO_PKG_VERSION");
        let fleet = &self.options.fleet;
        out.extend_from_slice(
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
                 <title>Ringway</title></head>\n<body>\n<h1>Ringway {version}</h1>\n\
                 <p>{} workers, one io_uring event loop each.</p>\n<table>\n\
                 <tr><th>listener</th><th>service</th><th>connections</th><th>accepted</th></tr>\n",
                fleet.cells().len()
            )
            .as_bytes(),
        );
        for (number, listener) in self.options.listeners.iter().enumerate() {
            let service = match &listener.service {
                ServiceOptions::Echo => "echo",
                ServiceOptions::Tcp { .. } => "TCP proxy",
                ServiceOptions::Sni(_) => "TLS by name",
                ServiceOptions::Messages { .. } => "messages",
                ServiceOptions::Http(_) => "HTTP",
                ServiceOptions::Frame(_) => "frames",
                ServiceOptions::FrameProxy { .. } => "frame proxy",
            };
            let cells = fleet.cells().iter();
            let accepted: u64 = cells.map(|cell| cell.stats.listeners[number].accepted.get()).sum();
            out.extend_from_slice(b"<tr><td>");
            escape_html(&listener.name, out);
            let active = fleet.listener_active(number);
            let rest =
                format!("</td><td>{service}</td><td>{active}</td><td>{accepted}</td></tr>\n");
            out.extend_from_slice(rest.as_bytes());
        }
        for datagrams in &self.options.datagrams {
            out.extend_from_slice(b"<tr><td>");
            escape_html(&datagrams.name, out);
            out.extend_from_slice(b"</td><td>UDP</td><td></td><td></td></tr>\n");
        }
        out.extend_from_slice(
            b"</table>\n<p>Metrics and health: the admin interface, which listens on \
              127.0.0.1:9901 unless the configuration says otherwise.</p>\n</body>\n</html>\n",
        );
    }
}

//! The client of HTTP against this server, through it, and against servers of the `h2` crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request as Asked, Response};
use ringway::client::{
    ClientError, ConnectOptions, Http, HttpOptions, HttpProtocol, Received, Request, Tls,
};
use ringway::net::tls::{ClientOptions, Roots};
use ringway::proto::http::Version;
use rustls::{ServerConnection, StreamOwned};

use crate::pki::Pki;
use crate::support::*;

/// A server of HTTP/2 by the `h2` crate: gives bodies back, with their trailers, or does what its
/// path says.
#[derive(Clone, Default)]
pub(crate) struct Echo {
    pub(crate) accepted: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

/// Sends all bytes, as windows allow.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Option<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        stream.send_data(bytes.split_to(room.min(bytes.len())), false).ok()?;
    }
    Some(())
}

impl Echo {
    fn start(&self) -> SocketAddr {
        let this = self.clone();
        serve_async(move |stream| this.clone().serve(stream))
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            if request.uri().path() == "/goodbye" {
                connection.graceful_shutdown();
            }
            tokio::spawn(self.clone().answer(request, respond));
        }
    }

    async fn answer(self, request: Asked<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, mut body) = request.into_parts();
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        match head.uri.path() {
            "/reset" => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
            "/refused" if count == 0 => return respond.send_reset(h2::Reason::REFUSED_STREAM),
            _ => {}
        }
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        if head.uri.path() == "/cut" {
            stream.send_data(Bytes::from_static(b"some"), false).unwrap();
            return stream.send_reset(h2::Reason::CANCEL);
        }
        while let Some(Ok(part)) = body.data().await {
            body.flow_control().release_capacity(part.len()).unwrap();
            if send_all(&mut stream, part).await.is_none() {
                return;
            }
        }
        let _gone = match body.trailers().await {
            Ok(Some(trailers)) => stream.send_trailers(trailers),
            Ok(None) | Err(_) => stream.send_data(Bytes::new(), true),
        };
    }
}

fn listener(name: &str, route: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\n{route}\n"
    )
}

fn accepted(served: &Served, listener: usize) -> u64 {
    served.sum(|cell| cell.stats.listeners.get(listener).accepted.get())
}

fn trusting(pki: &Pki, protocol: HttpProtocol) -> Http {
    let roots = Roots::Given(pki.ca.clone().into_bytes());
    let tls = Tls::new(ClientOptions { roots, ..ClientOptions::default() }).unwrap();
    let connect = ConnectOptions { tls: Some(tls), ..ConnectOptions::default() };
    Http::new(HttpOptions { connect, protocol, ..HttpOptions::default() })
}

#[test]
fn both_versions_are_spoken_in_clear_and_by_tls() {
    let pki = Pki::new();
    let route = "path = \"/\"\nrespond = \"hi\"";
    let config = [listener("plain", route), listener("safe", route) + &pki.listener_tls("")];
    let served = Served::new(&[&runtime(1), NO_ADMIN, &*config.concat()].concat());
    let (plain, safe) = (served.at("plain"), served.at("safe").port());
    let mut connections = [0, 0];
    for (scheme, protocol, version) in [
        ("http", HttpProtocol::Auto, Version::Http11),
        ("http", HttpProtocol::Http2, Version::Http2),
        ("h2", HttpProtocol::Auto, Version::Http2),
        ("https", HttpProtocol::Auto, Version::Http2),
        ("https", HttpProtocol::Http1, Version::Http11),
        ("https", HttpProtocol::Http2, Version::Http2),
    ] {
        let mut http = trusting(&pki, protocol);
        let is_safe = scheme == "https";
        let authority = if is_safe { format!("localhost:{safe}") } else { plain.to_string() };
        let url = format!("{scheme}://{authority}");
        for (path, status) in [("/", 200), ("/nothing", 404), ("/", 200)] {
            let mut answer = http.get(&format!("{url}{path}"), PATIENCE).unwrap();
            assert_eq!((answer.status(), answer.version()), (status, version), "{url}{path}");
            assert_eq!(answer.tls().is_some(), is_safe);
            let body = answer.collect(PATIENCE).unwrap();
            assert!(status != 200 || body == b"hi", "{url}{path}");
        }
        connections[usize::from(is_safe)] += 1;
        assert_eq!([accepted(&served, 0), accepted(&served, 1)], connections, "{url}");
    }
    let error = trusting(&pki, HttpProtocol::Http1).get(&format!("h2://{plain}/"), PATIENCE);
    assert!(error.unwrap_err().to_string().contains("h2:// is HTTP/2"));
    let error = Http::default().get(&format!("https://localhost:{safe}/"), PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. } | ClientError::TlsOptions { .. }), "{error}");
}

#[test]
fn by_tls_http2_is_spoken_with_servers_that_choose_it() {
    let pki = Pki::new();
    let config = pki.server("server");
    let address = serve(move |stream| {
        use std::io::{Read, Write};
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
            let _gone = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
        let _end = stream.read(&mut [0; 4096]);
    });
    let url = format!("https://{address}/");
    let answer = trusting(&pki, HttpProtocol::Auto).get(&url, PATIENCE).unwrap();
    assert_eq!((answer.status(), answer.version()), (204, Version::Http11));
    let error = trusting(&pki, HttpProtocol::Http2).get(&url, PATIENCE).unwrap_err();
    assert!(error.to_string().contains("no HTTP/2: it chose no protocol"), "{error}");
}

#[test]
fn a_download_is_taken_as_it_comes_or_given_up() {
    const LEN: usize = 6_000_000;
    let folder = Folder::new();
    let content = bytes(3, LEN);
    std::fs::write(folder.path().join("large"), &content).unwrap();
    let route = format!("path_prefix = \"/\"\nfiles = \"{}\"", folder.path().display());
    let config = [&*runtime(1), NO_ADMIN, &listener("web", &route)].concat();
    for (scheme, connections) in [("http", 2), ("h2", 1)] {
        let served = Served::new(&config);
        let mut http = Http::default();
        let url = format!("{scheme}://{}/large", served.address());
        let mut answer = http.get(&url, PATIENCE).unwrap();
        assert_eq!(answer.length(), Some(LEN as u64));
        assert_ne!(answer.read(&mut Vec::new(), PATIENCE).unwrap(), Received::End);
        drop(answer);
        assert!(http.get(&url, PATIENCE).unwrap().collect(PATIENCE).unwrap() == content);
        assert_eq!(accepted(&served, 0), connections, "{scheme}");
    }
}

#[test]
fn uploads_larger_than_windows_come_back_with_their_trailers() {
    let server = Echo::default().start();
    let sent = bytes(5, 4_000_000);
    for (direct, keys) in [(true, ""), (false, "protocol = \"http2\"")] {
        let route = format!("proxy = \"u\"\nbody_max = \"off\"\n{}", upstream(&[server], keys));
        let served = Served::new(&[&*runtime(1), NO_ADMIN, &listener("web", &route)].concat());
        let address = if direct { server } else { served.address() };
        for scheme in if direct { &["h2"][..] } else { &["h2", "http"] } {
            let mut http = Http::default();
            let url = format!("{scheme}://{address}/echo");
            for _ in 0..2 {
                let request = Request::new("POST", &url).body_from(&*sent).trailer("x-sum", "4711");
                let mut answer = http.send(request, PATIENCE).unwrap();
                assert!(answer.collect(PATIENCE).unwrap() == sent, "{url}");
                let trailers = answer.trailers().expect("they come back");
                assert_eq!(trailers.get_named(b"x-sum"), Some(&b"4711"[..]));
            }
            assert_eq!(http.connections(), 1, "{url}");
        }
    }
}

#[test]
fn a_foreign_server_resets_refuses_and_goes_away() {
    let echo = Echo::default();
    let url = format!("h2://{}", echo.start());
    let mut http = Http::default();
    let refused = http.send(Request::new("POST", &format!("{url}/refused")).body("a"), PATIENCE);
    assert_eq!(refused.unwrap().collect(PATIENCE).unwrap(), b"a");
    let error = http.get(&format!("{url}/reset"), PATIENCE).unwrap_err();
    assert!(error.to_string().ends_with("reset the exchange: internal_error"), "{error}");
    // Depending on what has left the server by then, within the body or before its head.
    let cut = http.get(&format!("{url}/cut"), PATIENCE);
    let error = cut.and_then(|mut answer| answer.collect(PATIENCE)).unwrap_err();
    assert!(error.to_string().ends_with("reset the exchange: cancel"), "{error}");
    // A client with one connection only.
    let mut http = Http::default();
    assert_eq!(http.get(&format!("{url}/echo"), PATIENCE).unwrap().status(), 200);
    let before = echo.accepted();
    let mut last = http.get(&format!("{url}/goodbye"), PATIENCE).unwrap();
    assert_eq!(last.collect(PATIENCE).unwrap(), b"");
    drop(last);
    // Until the client has heard of it, requests may go on the connection; all of them are answered.
    while echo.accepted() == before {
        let put = Request::new("PUT", &format!("{url}/echo")).body("abc");
        assert_eq!(http.send(put, PATIENCE).unwrap().collect(PATIENCE).unwrap(), b"abc");
    }
}

#[test]
fn many_answers_share_a_connection_and_are_read_in_any_order() {
    let echo = Echo::default();
    let url = format!("h2://{}/echo", echo.start());
    let mut http = Http::default();
    let bodies: Vec<Vec<u8>> = (0..20).map(|seed| bytes(seed, 30_000)).collect();
    let mut answers: Vec<_> = bodies
        .iter()
        .map(|body| http.send(Request::new("POST", &url).body(body), PATIENCE).unwrap())
        .collect();
    for (answer, body) in answers.iter_mut().zip(&bodies).rev() {
        assert!(answer.collect(PATIENCE).unwrap() == *body);
    }
    assert_eq!(echo.accepted(), 1);
}

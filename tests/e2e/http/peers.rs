//! A foreign client and a foreign server: hyper.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::*;

#[test]
fn hyper_talks_to_hyper_through_the_proxy() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(|request: Request<Incoming>| async move {
                    let path = request.uri().to_string();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body = Bytes::from([path.as_bytes(), b" ", &body].concat());
                    Ok::<_, Infallible>(Response::new(Full::new(body)))
                });
                tokio::spawn(async move {
                    let io = TokioIo::new(stream);
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                });
            }
        });
        let routes = format!("[[listener.route]]\nproxy = \"u\"\n{}", upstream(&[server], ""));
        let served = web_on(2, "", &routes);
        let stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for n in 0..50_usize {
            let body = bytes(n as u64, n * 3_000);
            let request = Request::post(format!("/n/{n}"))
                .header("host", "a.example")
                .body(Full::new(Bytes::from(body.clone())))
                .unwrap();
            sender.ready().await.unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let got = answer.into_body().collect().await.unwrap().to_bytes();
            let path = format!("/n/{n} ");
            assert!(got.starts_with(path.as_bytes()) && got[path.len()..] == body, "{n}");
        }
    });
}

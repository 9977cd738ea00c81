//! Upstreams are where `runtime.connect_to` says, or nowhere.

use std::net::SocketAddr;

use ringway::server::{Server, StartError};

use crate::support::*;

fn config(connect_to: &str, servers: &str) -> String {
    let runtime = runtime(1) + &format!("connect_to = [{connect_to}]\n");
    let upstream = format!("[upstream.u]\nservers = [{servers}]\n");
    [&*runtime, NO_ADMIN, &proxy(""), &*upstream].concat()
}

/// Why it does not start.
fn refused(connect_to: &str, servers: &str) -> String {
    let text = config(connect_to, servers);
    match Server::start(ringway::config::parse("test", &text).unwrap()) {
        Err(error @ StartError::Elsewhere { .. }) => error.to_string(),
        other => panic!("{connect_to}: {servers}: {other:?}"),
    }
}

fn works(served: &Served) {
    let back = exchange(served.connect(), b"hello".to_vec());
    assert_eq!(back, b"hello");
}

#[test]
fn a_server_elsewhere_is_refused_by_address_and_by_name() {
    let why = refused("\"10.0.0.0/8\"", "\"10.0.0.1:80\", \"192.0.2.1:80\"");
    assert!(why.starts_with("upstream u: the server 192.0.2.1:80 is none of"), "{why}");
    assert!(why.contains("runtime.connect_to"), "{why}");
    let why = refused("\"127.0.0.0/8:81\", \"unix\"", "\"127.0.0.1:80\"");
    assert!(why.contains("127.0.0.1:80"), "{why}");
    let why = refused("\"10.0.0.0/8\"", "\"localhost:80\"");
    assert!(why.contains(":80 is none of"), "{why}");
    let why = refused("\"127.0.0.1\"", "\"unix:/run/no-such-socket\"");
    assert!(why.contains("/run/no-such-socket"), "{why}");
}

#[test]
fn what_is_allowed_is_served_and_a_reload_is_held_to_it() {
    let server = echo_server();
    let port = server.port();
    let allowed = format!("\"127.0.0.1:{port}\", \"[::1]:{port}\", \"unix\"");
    let served = Served::new(&config(&allowed, &format!("\"localhost:{port}\"")));
    works(&served);
    let other: SocketAddr = echo_server();
    let elsewhere = served.reload(&config(&allowed, &format!("\"{other}\""))).unwrap_err();
    assert!(elsewhere.to_string().contains("runtime.connect_to"), "{elsewhere}");
    works(&served);
    // What connections are allowed to is of the start: the file's list is not taken.
    let wider = format!("{allowed}, \"0.0.0.0/0\"");
    assert!(served.reload(&config(&wider, &format!("\"{other}\""))).is_err());
    served.reload(&config(&allowed, &format!("\"{server}\""))).unwrap();
    works(&served);
}

#[test]
#[ignore = "needs a kernel that filters io_uring: scripts/vm.sh"]
fn on_a_kernel_with_filters_workers_serve_under_them() {
    // Its filters are this thread's for good.
    std::thread::spawn(what_is_allowed_is_served_and_a_reload_is_held_to_it).join().unwrap();
}

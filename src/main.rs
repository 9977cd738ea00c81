//! x
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = ringway::server::Server::start(ringway::config::quick(&a[1], &a[2], &a[3], 1)).unwrap();
    s.handle_signals();
    println!("{:?}", s.addresses());
    println!("{:?}", s.wait());
}

//! Whole servers on the real kernel, with real sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "corpus/forger.rs"]
mod forger;
#[path = "e2e/pki.rs"]
mod pki;
#[path = "e2e/support.rs"]
mod support;

#[path = "e2e/admin.rs"]
mod admin;
#[path = "e2e/against_running.rs"]
mod against_running;
#[path = "e2e/bench.rs"]
mod bench;
#[path = "e2e/bench_agents.rs"]
mod bench_agents;
#[path = "e2e/cli.rs"]
mod cli;
#[path = "e2e/client.rs"]
mod client;
#[path = "e2e/client_grpc.rs"]
mod client_grpc;
#[path = "e2e/client_http.rs"]
mod client_http;
#[path = "e2e/connect.rs"]
mod connect;
#[path = "e2e/connect_tls.rs"]
mod connect_tls;
#[path = "e2e/connect_to.rs"]
mod connect_to;
#[path = "e2e/docs.rs"]
mod docs;
#[path = "e2e/frame.rs"]
mod frame;
#[path = "e2e/frame_flow.rs"]
mod frame_flow;
#[path = "e2e/frame_peer.rs"]
mod frame_peer;
#[path = "e2e/frame_proxy.rs"]
mod frame_proxy;
#[path = "e2e/http.rs"]
mod http;
#[path = "e2e/http2.rs"]
mod http2;
#[path = "e2e/isolation.rs"]
mod isolation;
#[path = "e2e/limits.rs"]
mod limits;
#[path = "e2e/logs.rs"]
mod logs;
#[path = "e2e/operations.rs"]
mod operations;
#[path = "e2e/random_bytes.rs"]
mod random_bytes;
#[path = "e2e/relay.rs"]
mod relay;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/reload_access.rs"]
mod reload_access;
#[path = "e2e/reload_cli.rs"]
mod reload_cli;
#[path = "e2e/reload_config.rs"]
mod reload_config;
#[path = "e2e/reload_listeners.rs"]
mod reload_listeners;
#[path = "e2e/reload_load.rs"]
mod reload_load;
#[path = "e2e/reload_upstreams.rs"]
mod reload_upstreams;
#[path = "e2e/shutdown.rs"]
mod shutdown;
#[path = "e2e/sni.rs"]
mod sni;
#[path = "e2e/socket_relay.rs"]
mod socket_relay;
#[path = "e2e/tls.rs"]
mod tls;
#[path = "e2e/tls_ends.rs"]
mod tls_ends;
#[path = "e2e/tls_flood.rs"]
mod tls_flood;
#[path = "e2e/tls_hostile.rs"]
mod tls_hostile;
#[path = "e2e/tls_hostile_servers.rs"]
mod tls_hostile_servers;
#[path = "e2e/tls_kernel.rs"]
mod tls_kernel;
#[path = "e2e/udp.rs"]
mod udp;
#[path = "e2e/upstreams.rs"]
mod upstreams;
#[path = "e2e/websocket_client.rs"]
mod websocket_client;
#[path = "e2e/websocket_endpoints.rs"]
mod websocket_endpoints;
#[path = "e2e/websocket_handlers.rs"]
mod websocket_handlers;

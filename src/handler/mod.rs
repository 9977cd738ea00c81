//! What programs add to the server.

pub mod grpc;

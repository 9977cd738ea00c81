//! The reader of a `ClientHello` on any bytes: it never panics, and says the same however the bytes
//! come.

use ringway::proto::tls::{HELLO_MAX, HelloRead, HelloReader};

/// What is said when all bytes have come in pieces of this size.
fn read(input: &[u8], size: usize) -> HelloRead {
    let mut reader = HelloReader::new();
    let ends = (1..=input.len().div_ceil(size)).map(|count| (count * size).min(input.len()));
    ends.map(|end| reader.handle_bytes(&input[..end]))
        .find(|progress| *progress != HelloRead::NeedMore)
        .unwrap_or(HelloRead::NeedMore)
}

/// Any bytes at the beginning of a connection.
pub(crate) fn client_hello(input: &[u8]) -> HelloRead {
    let whole = read(input, input.len().max(1));
    for size in [1, 7, 1_400] {
        assert_eq!(read(input, size), whole, "in pieces of {size} bytes");
    }
    match &whole {
        HelloRead::NeedMore => assert!(input.len() < HELLO_MAX),
        HelloRead::Hello(hello) => {
            let name = hello.server_name.as_deref().unwrap_or("none");
            assert!(!name.is_empty() && name.len() <= 253);
            assert!(name.bytes().all(|byte| !byte.is_ascii_uppercase() && byte.is_ascii_graphic()));
            assert!(hello.alpn.names().all(|name| !name.is_empty()));
        }
        HelloRead::NotTls { .. } => {}
        HelloRead::Malformed(rule) => assert!(!rule.to_string().is_empty()),
    }
    whole
}

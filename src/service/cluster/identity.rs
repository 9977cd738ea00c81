//! Connections to servers that carry an identity.

use crate::proto::http::{Fields, Known};

/// Schemes that authenticate the connection instead of the request (RFC 4559, section 6).
const SCHEMES: [&[u8]; 3] = [b"ntlm", b"negotiate", b"nego2"];

/// Whether an exchange may have authenticated the connection that carried it. Such a connection is
/// its client's alone: the next exchange on it would be carried out in that client's name.
#[must_use]
pub fn authenticates_connection(request: &Fields, status: u16, answer: &Fields) -> bool {
    let has = |fields: &Fields, name| {
        let values = fields.all(name);
        values.flat_map(|value| value.split(|byte| *byte == b',')).any(is_of_connection)
    };
    has(request, Known::Authorization)
        || has(request, Known::ProxyAuthorization)
        || (status == 401 && has(answer, Known::WwwAuthenticate))
        || (status == 407 && has(answer, Known::ProxyAuthenticate))
}

/// Whether a challenge or credentials begin with one of the schemes.
fn is_of_connection(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let scheme = value.get(..end).unwrap_or_default();
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_connections_are_told_from_those_of_requests() {
        let fields = |name: &str, value: &str| {
            let mut fields = Fields::default();
            fields.push(name.as_bytes(), value.as_bytes());
            fields
        };
        let none = Fields::default();
        let request = |value| authenticates_connection(&fields("Authorization", value), 200, &none);
        assert!(request("NTLM TlRMTVNTUAAB") && request("negotiate YII="));
        assert!(!request("Basic bnRsbQ==") && !request("NTLMv9 x") && !request("Bearer ntlm"));
        let answer = |status, value| {
            authenticates_connection(&none, status, &fields("WWW-Authenticate", value))
        };
        assert!(answer(401, "NTLM") && answer(401, "Basic realm=\"x\", Negotiate"));
        assert!(!answer(200, "NTLM") && !answer(401, "Basic realm=\"ntlm\""));
        let proxy = fields("Proxy-Authenticate", "NTLM");
        assert!(authenticates_connection(&none, 407, &proxy));
    }
}

//! Negotiation of permessage-deflate (RFC 7692, section 7.1) in `Sec-WebSocket-Extensions`
//! (RFC 6455, section 9.1), for both roles.
//!
//! A server answers the first offer that it can take: [`accept`]. A client writes [`offer`] and
//! holds the answer against it: [`check`].

use std::borrow::Cow;

/// The name of the extension.
pub const NAME: &str = "permessage-deflate";
/// The smallest window that can be negotiated: 2^8 bytes (RFC 7692, section 7.1.2).
pub const WINDOW_BITS_MIN: u8 = 8;
/// The largest window, which holds when none is negotiated: 2^15 bytes.
pub const WINDOW_BITS_MAX: u8 = 15;
/// The smallest window that is asked of a peer: the raw DEFLATE encoder of zlib has none of 2^8
/// bytes, so that a peer which uses it could not keep to that.
const WINDOW_BITS_ASKED_MIN: u8 = 9;

/// What both ends have agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The server begins each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client begins each message with an empty window.
    pub client_no_context_takeover: bool,
    /// Base-2 logarithm of the largest window that the server compresses with: 8 to 15.
    pub server_max_window_bits: u8,
    /// Base-2 logarithm of the largest window that the client compresses with: 8 to 15.
    pub client_max_window_bits: u8,
}

/// What this end wants of permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Windows may live on from one message to the next, which compresses better and takes memory
    /// for each connection.
    pub context_takeover: bool,
    /// Base-2 logarithm of the largest window, of either direction: 8 to 15. What lies outside is
    /// taken as the nearer limit.
    pub window_bits_max: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self { context_takeover: false, window_bits_max: WINDOW_BITS_MAX }
    }
}

impl Policy {
    fn own_window_bits(&self) -> u8 {
        self.window_bits_max.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
    }

    fn peer_window_bits(&self) -> u8 {
        self.window_bits_max.clamp(WINDOW_BITS_ASKED_MIN, WINDOW_BITS_MAX)
    }
}

/// An accepted offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What holds for the connection.
    pub parameters: Parameters,
    /// The offer named `server_max_window_bits`, so that the answer has to.
    names_server_window: bool,
}

impl Answer {
    /// Writes the value of `Sec-WebSocket-Extensions`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let parameters = &self.parameters;
        out.extend_from_slice(NAME.as_bytes());
        if parameters.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if parameters.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if self.names_server_window || parameters.server_max_window_bits < WINDOW_BITS_MAX {
            out.extend_from_slice(b"; server_max_window_bits=");
            write_bits(parameters.server_max_window_bits, out);
        }
        // Smaller than 15 only if the client offered it: none else may be told.
        if parameters.client_max_window_bits < WINDOW_BITS_MAX {
            out.extend_from_slice(b"; client_max_window_bits=");
            write_bits(parameters.client_max_window_bits, out);
        }
    }
}

fn write_bits(bits: u8, out: &mut Vec<u8>) {
    if bits >= 10 {
        out.push(b'0' + bits / 10);
    }
    out.push(b'0' + bits % 10);
}

/// Why an extension header cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// It is no list of extensions (RFC 6455, section 9.1): the handshake fails.
    #[error("Sec-WebSocket-Extensions is not a list of extensions with parameters")]
    Malformed,
    /// The server answers with an extension that was not offered.
    #[error("the server answers with an extension that was not offered")]
    NotOffered,
    /// The server answers with permessage-deflate more than once.
    #[error("the server answers with permessage-deflate more than once")]
    Repeated,
    /// A parameter of the answer is unknown, comes twice, or has no value or a wrong one.
    #[error("the server's permessage-deflate has a parameter that is unknown, repeated or invalid")]
    Parameter,
    /// The answer leaves out `server_no_context_takeover` or `server_max_window_bits`, which were
    /// offered: to accept an offer that has them is to name them.
    #[error("the server's permessage-deflate leaves out a parameter which it had to accept")]
    Missing,
    /// The answer has a window which is larger than the offered one.
    #[error("the server's permessage-deflate has a larger window than was offered")]
    Window,
}

/// The parameters of one offer or answer, as they stand there.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Named without a value: `Some(None)`.
    client_max_window_bits: Option<Option<u8>>,
}

impl Named {
    /// Takes one parameter; `None` if it is unknown, repeated or invalid.
    fn take(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        match (name, value) {
            ("server_no_context_takeover", None) if !self.server_no_context_takeover => {
                self.server_no_context_takeover = true;
            }
            ("client_no_context_takeover", None) if !self.client_no_context_takeover => {
                self.client_no_context_takeover = true;
            }
            ("server_max_window_bits", Some(value)) if self.server_max_window_bits.is_none() => {
                self.server_max_window_bits = Some(window_bits(value)?);
            }
            ("client_max_window_bits", value) if self.client_max_window_bits.is_none() => {
                self.client_max_window_bits = Some(match value {
                    Some(value) => Some(window_bits(value)?),
                    None => None,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

/// A decimal number from 8 to 15 without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The answer of a server to the values of `Sec-WebSocket-Extensions`, one for each line in which
/// it came: to the first offer of permessage-deflate without an unknown, repeated or invalid
/// parameter. `None` if there is none: the connection goes on without the extension.
///
/// # Errors
/// [`ExtensionError::Malformed`].
pub fn accept<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Answer>, ExtensionError> {
    let mut accepted = None;
    for line in lines {
        each(line, |name, named| {
            if name == NAME
                && let (None, Some(named)) = (accepted, named)
            {
                accepted = Some(answer(&named, policy));
            }
            Ok(())
        })?;
    }
    Ok(accepted)
}

fn answer(offer: &Named, policy: &Policy) -> Answer {
    let server = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
    let client = match offer.client_max_window_bits {
        Some(bits) => bits.unwrap_or(WINDOW_BITS_MAX).min(policy.peer_window_bits()),
        // It would not understand to be told.
        None => WINDOW_BITS_MAX,
    };
    let parameters = Parameters {
        server_no_context_takeover: !policy.context_takeover || offer.server_no_context_takeover,
        client_no_context_takeover: !policy.context_takeover || offer.client_no_context_takeover,
        server_max_window_bits: server.min(policy.own_window_bits()),
        client_max_window_bits: client,
    };
    Answer { parameters, names_server_window: offer.server_max_window_bits.is_some() }
}

/// Writes what a client offers: the value of `Sec-WebSocket-Extensions`.
pub fn offer(policy: &Policy, out: &mut Vec<u8>) {
    out.extend_from_slice(NAME.as_bytes());
    if !policy.context_takeover {
        out.extend_from_slice(b"; server_no_context_takeover; client_no_context_takeover");
    }
    if policy.peer_window_bits() < WINDOW_BITS_MAX {
        out.extend_from_slice(b"; server_max_window_bits=");
        write_bits(policy.peer_window_bits(), out);
    }
    out.extend_from_slice(b"; client_max_window_bits");
    if policy.own_window_bits() < WINDOW_BITS_MAX {
        out.push(b'=');
        write_bits(policy.own_window_bits(), out);
    }
}

/// Holds the answer of a server against what [`offer`] writes for the same policy. `None` if the
/// server does not take the extension.
///
/// # Errors
/// Any [`ExtensionError`]: the handshake fails (RFC 7692, section 5.1, RFC 6455, section 4.1).
pub fn check<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    policy: &Policy,
) -> Result<Option<Parameters>, ExtensionError> {
    let mut found = None;
    for line in lines {
        each(line, |name, named| {
            if name != NAME {
                return Err(ExtensionError::NotOffered);
            }
            if found.is_some() {
                return Err(ExtensionError::Repeated);
            }
            found = Some(agreed(&named.ok_or(ExtensionError::Parameter)?, policy)?);
            Ok(())
        })?;
    }
    Ok(found)
}

fn agreed(answer: &Named, policy: &Policy) -> Result<Parameters, ExtensionError> {
    let server_no_context_takeover = answer.server_no_context_takeover;
    if !policy.context_takeover && !server_no_context_takeover {
        return Err(ExtensionError::Missing);
    }
    let server_max_window_bits = match answer.server_max_window_bits {
        Some(bits) if bits > policy.peer_window_bits() => return Err(ExtensionError::Window),
        Some(bits) => bits,
        None if policy.peer_window_bits() < WINDOW_BITS_MAX => return Err(ExtensionError::Missing),
        None => WINDOW_BITS_MAX,
    };
    let client_max_window_bits = match answer.client_max_window_bits {
        Some(None) => return Err(ExtensionError::Parameter),
        Some(Some(bits)) if bits > policy.own_window_bits() => return Err(ExtensionError::Window),
        Some(Some(bits)) => bits,
        // The server can take any; this end keeps to what it offered.
        None => policy.own_window_bits(),
    };
    Ok(Parameters {
        server_no_context_takeover,
        client_no_context_takeover: !policy.context_takeover || answer.client_no_context_takeover,
        server_max_window_bits,
        client_max_window_bits,
    })
}

/// Reads one value of `Sec-WebSocket-Extensions` and gives each extension with the parameters of
/// permessage-deflate; `None` instead if one of them is unknown, repeated or invalid.
fn each(
    line: &[u8],
    mut extension: impl FnMut(&str, Option<Named>) -> Result<(), ExtensionError>,
) -> Result<(), ExtensionError> {
    let mut rest = Scan { rest: line };
    loop {
        // Empty elements of a list are skipped (RFC 9110, section 5.6.1).
        while rest.eat(b',') {}
        if rest.is_empty() {
            return Ok(());
        }
        let name = rest.token()?;
        let mut named = Some(Named::default());
        while rest.eat(b';') {
            let parameter = rest.token()?;
            let value = if rest.eat(b'=') { Some(rest.value()?) } else { None };
            named = named.and_then(|mut named| {
                named.take(parameter, value.as_deref())?;
                Some(named)
            });
        }
        extension(name, named)?;
        if !rest.is_empty() && !rest.eat(b',') {
            return Err(ExtensionError::Malformed);
        }
    }
}

/// What is left of a value.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn is_empty(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a str, ExtensionError> {
        self.skip_space();
        let end = self.rest.iter().position(|&byte| !is_token(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match std::str::from_utf8(token) {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => Err(ExtensionError::Malformed),
        }
    }

    /// A token, or a quoted string whose content is one (RFC 6455, section 9.1).
    fn value(&mut self) -> Result<Cow<'a, str>, ExtensionError> {
        if !self.eat(b'"') {
            return Ok(Cow::Borrowed(self.token()?));
        }
        let mut value = String::new();
        loop {
            let (byte, rest) = match self.rest {
                [b'\\', byte, rest @ ..] => (*byte, rest),
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.rest = rest;
                    return Ok(Cow::Owned(value));
                }
                [byte, rest @ ..] => (*byte, rest),
                [] => return Err(ExtensionError::Malformed),
            };
            if !is_token(byte) {
                return Err(ExtensionError::Malformed);
            }
            value.push(char::from(byte));
            self.rest = rest;
        }
    }
}

/// A byte of a token (RFC 9110, section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Policy = Policy { context_takeover: false, window_bits_max: 15 };
    const TAKEOVER: Policy = Policy { context_takeover: true, window_bits_max: 15 };
    const SMALL: Policy = Policy { context_takeover: true, window_bits_max: 10 };
    const SMALLEST: Policy = Policy { context_takeover: false, window_bits_max: 8 };
    const NO_TAKEOVER: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answered(lines: &[&str], policy: &Policy) -> Option<String> {
        let lines = lines.iter().map(|line| line.as_bytes());
        let answer = accept(lines, policy).expect("it is well-formed")?;
        let mut out = Vec::new();
        answer.write(&mut out);
        Some(String::from_utf8(out).expect("it is ASCII"))
    }

    fn checked(lines: &[&str], policy: &Policy) -> Result<Option<Parameters>, ExtensionError> {
        check(lines.iter().map(|line| line.as_bytes()), policy)
    }

    #[test]
    fn a_server_answers_the_first_offer_that_it_can_take() {
        let plain = Some(NO_TAKEOVER.to_owned());
        for lines in [
            &["permessage-deflate"][..],
            &["permessage-deflate; client_max_window_bits"],
            &["permessage-deflate;client_max_window_bits=15"],
            &["x-unknown; a=b; c=\"d\", permessage-deflate"],
            &["x-unknown", "permessage-deflate"],
            &[", ,permessage-deflate ,"],
            &["permessage-deflate; server_no_context_takeover"],
            &["permessage-deflate; client_no_context_takeover"],
            // Offers that are declined, and one that is not.
            &["permessage-deflate; unknown, permessage-deflate"],
            &["permessage-deflate; server_max_window_bits, permessage-deflate"],
            &["permessage-deflate; server_max_window_bits=7", "permessage-deflate"],
        ] {
            assert_eq!(answered(lines, &PLAIN), plain, "{lines:?}");
        }
        let first = "permessage-deflate; server_max_window_bits=9, permessage-deflate";
        let answer = format!("{NO_TAKEOVER}; server_max_window_bits=9");
        assert_eq!(answered(&[first], &PLAIN), Some(answer));
    }

    #[test]
    fn a_server_declines_offers_with_wrong_parameters() {
        for parameters in [
            "unknown",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "server_max_window_bits=9.0",
            "server_max_window_bits=100",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=010",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits=9; client_max_window_bits",
            "Server_no_context_takeover",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answered(&[&offer], &PLAIN), None, "{offer}");
            let answer = checked(&[&offer], &PLAIN);
            assert_eq!(answer, Err(ExtensionError::Parameter), "{offer}");
        }
        assert_eq!(answered(&["x-webkit-deflate-frame"], &PLAIN), None);
        assert_eq!(answered(&[], &PLAIN), None);
        assert_eq!(answered(&[""], &PLAIN), None);
    }

    #[test]
    fn a_server_obeys_and_tells_windows() {
        for (offered, policy, answer) in [
            ("", TAKEOVER, ""),
            ("; server_max_window_bits=15", TAKEOVER, "; server_max_window_bits=15"),
            ("; server_max_window_bits=8", TAKEOVER, "; server_max_window_bits=8"),
            ("; server_max_window_bits=\"12\"", TAKEOVER, "; server_max_window_bits=12"),
            ("; server_max_window_bits = \"1\\2\"", TAKEOVER, "; server_max_window_bits=12"),
            ("; client_max_window_bits=12", TAKEOVER, "; client_max_window_bits=12"),
            ("; client_no_context_takeover", TAKEOVER, "; client_no_context_takeover"),
            ("; server_no_context_takeover", TAKEOVER, "; server_no_context_takeover"),
            ("", SMALL, "; server_max_window_bits=10"),
            ("; server_max_window_bits=9", SMALL, "; server_max_window_bits=9"),
            (
                "; client_max_window_bits",
                SMALL,
                "; server_max_window_bits=10; client_max_window_bits=10",
            ),
            (
                "; client_max_window_bits=8",
                SMALL,
                "; server_max_window_bits=10; client_max_window_bits=8",
            ),
        ] {
            let offer = format!("permessage-deflate{offered}");
            let answer = format!("permessage-deflate{answer}");
            assert_eq!(answered(&[&offer], &policy), Some(answer), "{offer} {policy:?}");
        }
        // No peer is asked for what zlib has no encoder for.
        let answer = answered(&["permessage-deflate; client_max_window_bits"], &SMALLEST);
        let expected = format!("{NO_TAKEOVER}; server_max_window_bits=8; client_max_window_bits=9");
        assert_eq!(answer, Some(expected));
    }

    #[test]
    fn what_is_no_list_of_extensions_fails() {
        for line in [
            "permessage-deflate;",
            "permessage-deflate; =8",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"8",
            "permessage-deflate; server_max_window_bits=\"8\\",
            "permessage-deflate; server_max_window_bits=\"8 \"",
            "permessage-deflate; server_max_window_bits=\"8\"9",
            "permessage-deflate permessage-deflate",
            "permessage-deflate, ;a",
            "x/y",
            "\u{fc}",
        ] {
            let accepted = accept([line.as_bytes()], &PLAIN);
            assert_eq!(accepted, Err(ExtensionError::Malformed), "{line}");
            let lines = ["permessage-deflate".as_bytes(), line.as_bytes()];
            assert_eq!(accept(lines, &PLAIN), Err(ExtensionError::Malformed), "{line}");
            assert!(checked(&[line], &PLAIN).is_err(), "{line}");
        }
    }

    #[test]
    fn a_client_offers_its_policy() {
        for (policy, rest) in [
            (
                PLAIN,
                "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
            ),
            (TAKEOVER, "; client_max_window_bits"),
            (SMALL, "; server_max_window_bits=10; client_max_window_bits=10"),
        ] {
            let mut out = Vec::new();
            offer(&policy, &mut out);
            assert_eq!(out, format!("permessage-deflate{rest}").into_bytes());
        }
    }

    #[test]
    fn a_client_takes_what_it_offered_and_nothing_else() {
        for (answer, policy, expected) in [
            (NO_TAKEOVER, PLAIN, Ok((true, true, 15, 15))),
            ("permessage-deflate; server_no_context_takeover", PLAIN, Ok((true, true, 15, 15))),
            ("permessage-deflate", PLAIN, Err(ExtensionError::Missing)),
            ("permessage-deflate", TAKEOVER, Ok((false, false, 15, 15))),
            (NO_TAKEOVER, TAKEOVER, Ok((true, true, 15, 15))),
            ("permessage-deflate; client_max_window_bits=8", TAKEOVER, Ok((false, false, 15, 8))),
            ("permessage-deflate; server_max_window_bits=8", TAKEOVER, Ok((false, false, 8, 15))),
            (
                "permessage-deflate; client_max_window_bits",
                TAKEOVER,
                Err(ExtensionError::Parameter),
            ),
            ("permessage-deflate", SMALL, Err(ExtensionError::Missing)),
            ("permessage-deflate; server_max_window_bits=11", SMALL, Err(ExtensionError::Window)),
            ("permessage-deflate; server_max_window_bits=10", SMALL, Ok((false, false, 10, 10))),
            (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=11",
                SMALL,
                Err(ExtensionError::Window),
            ),
            ("permessage-deflate, permessage-deflate", TAKEOVER, Err(ExtensionError::Repeated)),
            ("x-other", TAKEOVER, Err(ExtensionError::NotOffered)),
        ] {
            let found = checked(&[answer], &policy).map(|found| {
                let found = found.expect("it is named");
                (
                    found.server_no_context_takeover,
                    found.client_no_context_takeover,
                    found.server_max_window_bits,
                    found.client_max_window_bits,
                )
            });
            assert_eq!(found, expected, "{answer} {policy:?}");
        }
        assert_eq!(checked(&[], &PLAIN), Ok(None));
        let twice = ["permessage-deflate"; 2];
        assert_eq!(checked(&twice, &TAKEOVER), Err(ExtensionError::Repeated));
    }

    #[test]
    fn a_client_and_a_server_of_any_policies_agree() {
        let policies = |takeover| {
            (8..=15)
                .map(move |window_bits_max| Policy { context_takeover: takeover, window_bits_max })
        };
        let all = || policies(false).chain(policies(true));
        for (client, server) in all().flat_map(|client| all().map(move |server| (client, server))) {
            let mut offered = Vec::new();
            offer(&client, &mut offered);
            let answer = accept([&offered[..]], &server).expect("it is well-formed");
            let answer = answer.expect("it is acceptable");
            let mut answered = Vec::new();
            answer.write(&mut answered);
            let agreed = check([&answered[..]], &client);
            assert_eq!(agreed, Ok(Some(answer.parameters)), "{client:?} {server:?}");
        }
    }
}

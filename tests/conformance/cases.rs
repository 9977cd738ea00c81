//! The form of a conformance case.
//!
//! A case is one connection's input and what comes of it, whatever pieces the bytes come in. Where
//! a case is refused, the head or chunk with the fault is all there, or is beyond its limit: a
//! reader may look at it as late as it likes.

/// What comes to the server on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestCase {
    /// The fact that it states.
    pub(crate) name: &'static str,
    /// Where the fact has its reason: `RFC 9112, section 6.1`.
    pub(crate) rfc: &'static str,
    /// All that the client sends; it does not close the connection.
    pub(crate) input: &'static [u8],
    /// What comes of it, within the limits that `requests/limits.rs` names.
    pub(crate) expect: Expect,
}

/// What a server makes of its input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// Requests accepted in this order, each with its body to the end, as method, normalised target
    /// as forwarded (path in normal form and query as it came; `*`; `host:port` for `CONNECT`) and
    /// the body's bytes. What follows the last one is not read, because the connection ends there.
    Accept(&'static [(&'static str, &'static str, &'static [u8])]),
    /// After `accepted` whole requests, this status, and the connection is closed.
    Refuse { accepted: usize, status: u16 },
    /// After `accepted` whole requests more bytes are needed: nothing is answered.
    Incomplete { accepted: usize },
}

impl RequestCase {
    /// Requests that are accepted.
    pub(crate) const fn accept(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        requests: &'static [(&'static str, &'static str, &'static [u8])],
    ) -> Self {
        Self { name, rfc, input, expect: Expect::Accept(requests) }
    }

    /// A first request that is refused.
    pub(crate) const fn refuse(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        status: u16,
    ) -> Self {
        Self::refuse_after(name, rfc, input, 0, status)
    }

    /// A request that is refused after others.
    pub(crate) const fn refuse_after(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        accepted: usize,
        status: u16,
    ) -> Self {
        Self { name, rfc, input, expect: Expect::Refuse { accepted, status } }
    }

    /// A request that is not all there, after others.
    pub(crate) const fn incomplete(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        accepted: usize,
    ) -> Self {
        Self { name, rfc, input, expect: Expect::Incomplete { accepted } }
    }
}

/// What comes from an upstream as the answer to one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseCase {
    /// The fact that it states.
    pub(crate) name: &'static str,
    /// Where the fact has its reason.
    pub(crate) rfc: &'static str,
    /// The method of the request that it answers.
    pub(crate) request_method: &'static str,
    /// All that the upstream sends.
    pub(crate) input: &'static [u8],
    /// Whether the upstream closes the connection after it.
    pub(crate) closes: bool,
    /// What comes of it.
    pub(crate) expect: ResponseExpect,
}

/// What a proxy makes of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ResponseExpect {
    /// The statuses of the interim responses, the final status, its body, and whether the
    /// connection may be reused: never when it is closed, or when bytes follow that belong to no
    /// answer.
    Accept { interim: &'static [u16], status: u16, body: &'static [u8], reusable: bool },
    /// The answer is refused: the client gets a 502.
    Refuse,
    /// The head is accepted, and the message breaks off after these bytes of its body. A proxy that
    /// has passed on nothing by then may answer with a 502 instead.
    Truncated { status: u16, body: &'static [u8] },
}

impl ResponseCase {
    /// An answer to `GET` that is refused; the connection stays open.
    pub(crate) const fn refuse(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
    ) -> Self {
        let (request_method, closes) = ("GET", false);
        Self { name, rfc, request_method, input, closes, expect: ResponseExpect::Refuse }
    }

    /// An answer to `GET` whose final response comes first and leaves the connection open.
    pub(crate) const fn accept(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        status: u16,
        body: &'static [u8],
        reusable: bool,
    ) -> Self {
        let expect = ResponseExpect::Accept { interim: &[], status, body, reusable };
        Self { name, rfc, request_method: "GET", input, closes: false, expect }
    }

    /// An answer to `GET` with a status of 200 whose body breaks off; the connection stays open.
    pub(crate) const fn truncated(
        name: &'static str,
        rfc: &'static str,
        input: &'static [u8],
        body: &'static [u8],
    ) -> Self {
        let expect = ResponseExpect::Truncated { status: 200, body };
        Self { name, rfc, request_method: "GET", input, closes: false, expect }
    }

    /// The same as the answer to another method.
    pub(crate) const fn to(self, request_method: &'static str) -> Self {
        Self { request_method, ..self }
    }

    /// The same from an upstream that closes the connection after it.
    pub(crate) const fn closed(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The same after these interim responses.
    pub(crate) const fn after(self, interim: &'static [u16]) -> Self {
        let expect = match self.expect {
            ResponseExpect::Accept { status, body, reusable, .. } => {
                ResponseExpect::Accept { interim, status, body, reusable }
            }
            ResponseExpect::Refuse | ResponseExpect::Truncated { .. } => self.expect,
        };
        Self { expect, ..self }
    }
}

/// `start`, as often as it fits exactly into `N` bytes `pattern`, and `end`.
pub(crate) const fn filled<const N: usize>(start: &[u8], pattern: &[u8], end: &[u8]) -> [u8; N] {
    let fill = N - start.len() - end.len();
    assert!(fill.is_multiple_of(pattern.len()), "the pattern does not fit");
    let mut bytes = [0; N];
    let (head, rest) = bytes.split_at_mut(start.len());
    let (middle, tail) = rest.split_at_mut(fill);
    head.copy_from_slice(start);
    tail.copy_from_slice(end);
    if fill > 0 {
        middle.split_at_mut(pattern.len()).0.copy_from_slice(pattern);
    }
    // What is there is copied behind itself: byte by byte would take the compiler too long.
    let mut done = pattern.len();
    while done < fill {
        let (from, to) = middle.split_at_mut(done);
        let len = if from.len() < to.len() { from.len() } else { to.len() };
        to.split_at_mut(len).0.copy_from_slice(from.split_at(len).0);
        done += len;
    }
    bytes
}

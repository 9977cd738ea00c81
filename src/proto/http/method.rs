//! Methods (RFC 9110, section 9).

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PATCH` (RFC 5789).
    Patch,
    /// `QUERY` (RFC 10008): a GET whose question is its body.
    Query,
    /// Another one, whose name the head knows.
    Other,
}

impl Method {
    /// The method of this name; names are compared as they are written.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            b"QUERY" => Self::Query,
            _ => Self::Other,
        }
    }

    /// Its name; nothing for [`Method::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Query => "QUERY",
            Self::Other => "",
        }
    }

    /// Whether a request may be repeated when it is not known whether it was carried out
    /// (RFC 9110, section 9.2.2; RFC 10008, section 2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        match self {
            Self::Get
            | Self::Head
            | Self::Put
            | Self::Delete
            | Self::Options
            | Self::Trace
            | Self::Query => true,
            Self::Post | Self::Connect | Self::Patch | Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_found_by_its_name_as_it_is_written() {
        for method in [Method::Get, Method::Head, Method::Post, Method::Put, Method::Query] {
            assert_eq!(Method::of(method.name().as_bytes()), method);
        }
        for other in ["get", "Get", "PROPFIND", ""] {
            assert_eq!(Method::of(other.as_bytes()), Method::Other, "{other}");
        }
        assert!(Method::Query.is_idempotent() && Method::Put.is_idempotent());
        assert!(!Method::Post.is_idempotent());
    }
}

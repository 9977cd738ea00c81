//! `[[listener.route]]`: which requests it is for, and what is done with them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::super::defaults;
use super::{AccessLists, SocketLimits, TryFile, WebSocketOptions};

/// One route of an HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name in logs and metrics, unique within the listener.
    pub name: String,
    /// `host`: one of these matches. At least one.
    pub hosts: Vec<HostPattern>,
    /// `path`, `path_prefix` or `path_regex`.
    pub path: PathPattern,
    /// `method`: one of these. Empty: any method.
    pub methods: Vec<String>,
    /// `header`: each of these holds.
    pub headers: Vec<HeaderCondition>,
    /// `client_certificate`: what the client has to show. `None`: nothing.
    pub client_certificate: Option<CertificateCondition>,
    /// What is done with a request.
    pub action: Action,
    /// `prefix_rewrite`: what stands in the place of the matched prefix, for a proxy or files.
    pub prefix_rewrite: Option<String>,
    /// `request_headers`: edits of what a server gets, for a proxy.
    pub request_headers: HeaderEdits,
    /// `response_headers`: edits of what a client gets.
    pub response_headers: HeaderEdits,
    /// `body_max`: bytes of the body of a request, at most, by default those of the listener.
    /// `None`: any number.
    pub body_max: Option<u64>,
    /// `total_timeout`: how long a request may take in all. `None`: any time.
    pub total_timeout: Option<Duration>,
    /// `grpc_web`: calls of browsers are translated.
    pub grpc_web: bool,
    /// `grpc_message_max`: bytes of a message of gRPC, at most, either way, for a proxy. `None`:
    /// any number.
    pub grpc_message_max: Option<u32>,
    /// `websocket_inspect`: what the frames of WebSockets may be, for a proxy. `None`: they are not
    /// looked at.
    pub websocket_inspect: Option<SocketLimits>,
    /// `allow` and `deny`: who may use it.
    pub access: AccessLists,
    /// `rate_limit`: how many requests are answered. `None`: all.
    pub rate_limit: Option<RateLimit>,
    /// `auth`: who has to give a password. `None`: nobody.
    pub auth: Option<Auth>,
    /// `compress*`: whether answers are compressed on the fly.
    pub compression: Compression,
}

/// A host that a route is for, in lower case and without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `"*"`: any host.
    Any,
    /// This host: a name, or an address (of IPv6 in its brackets).
    Exact(String),
    /// `"*.example.com"`: all names below this one, and not itself.
    Below(String),
}

/// A path that a route is for, without a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// Any path.
    Any,
    /// `path`: this path.
    Exact(String),
    /// `path_prefix`: paths that start with this one, at the end of a segment.
    Prefix(String),
    /// `path_regex`: paths in which this regular expression finds something.
    Regex(String),
}

/// One entry of `header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderCondition {
    /// The name of the field, in lower case.
    pub name: String,
    /// What its value is. `None`: the field is there.
    pub value: Option<String>,
}

/// `client_certificate`: what the certificate of a client is. Without any key, it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CertificateCondition {
    /// `subject`: its subject, in which one `*` stands for anything.
    pub subject: Option<String>,
    /// `name`: one of its other names, in which one `*` stands for anything.
    pub name: Option<String>,
    /// `fingerprint`: its SHA-256, in hexadecimal digits of lower case.
    pub fingerprint: Option<String>,
}

impl CertificateCondition {
    /// Any certificate.
    pub(in crate::config) const ANY: Self = Self { subject: None, name: None, fingerprint: None };
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `proxy`: a server of an upstream answers.
    Proxy {
        /// The index of the upstream in
        /// [`Config::upstreams`](super::super::Config::upstreams).
        upstream: usize,
    },
    /// `files`: the files of a directory are given.
    Files(Box<FilesOptions>),
    /// `redirect`: the client is sent elsewhere.
    Redirect {
        /// The value of `location`: a template.
        location: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// `respond`: a text is given.
    Respond {
        /// The text.
        body: String,
        /// 200 to 599.
        status: u16,
        /// The value of `content-type`.
        content_type: String,
    },
    /// `echo`: the body of the request is given back.
    Echo,
    /// `status_page`: a page shows what runs.
    StatusPage,
    /// `websocket_page`: a page that tries the endpoints of WebSockets below it.
    WebSocketPage,
    /// `handler`: the program's handler of this name.
    Handler(String),
    /// `websocket`: an endpoint of WebSockets answers.
    WebSocket(Box<WebSocketOptions>),
}

impl Action {
    /// The index of the upstream in [`Config::upstreams`](super::super::Config::upstreams), of a
    /// proxy or a relay of WebSockets.
    #[must_use]
    pub fn upstream(&self) -> Option<usize> {
        self.origin().or_else(|| self.websocket()?.upstream())
    }

    /// The same of a proxy alone: its servers speak HTTP.
    #[must_use]
    pub const fn origin(&self) -> Option<usize> {
        match self {
            Self::Proxy { upstream } => Some(*upstream),
            Self::Files(_)
            | Self::Redirect { .. }
            | Self::Respond { .. }
            | Self::Echo
            | Self::Handler(_)
            | Self::WebSocket(_)
            | Self::StatusPage
            | Self::WebSocketPage => None,
        }
    }

    /// The endpoint of WebSockets, if it is one.
    #[must_use]
    pub fn websocket(&self) -> Option<&WebSocketOptions> {
        match self {
            Self::WebSocket(options) => Some(options),
            Self::Proxy { .. }
            | Self::Files(_)
            | Self::Redirect { .. }
            | Self::Respond { .. }
            | Self::Echo
            | Self::Handler(_)
            | Self::StatusPage
            | Self::WebSocketPage => None,
        }
    }
}

/// How the files of a directory are given: the key `files`, and those that only it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOptions {
    /// `files`: the directory.
    pub root: PathBuf,
    /// `index`: names of the files that stand for a directory, the first that is there.
    pub index: Vec<String>,
    /// `try_files`: what is tried for a request, the first that is there.
    pub try_files: Vec<TryFile>,
    /// `listing`: whether a directory without such a file is listed.
    pub listing: bool,
    /// `symlinks`: which symbolic links are followed.
    pub symlinks: Symlinks,
    /// `dot_files`: whether files whose names start with a dot are given.
    pub dot_files: bool,
    /// `content_types`: content types by the ends of names, in lower case and without the dot
    /// before them, sorted by these.
    pub content_types: Vec<(String, String)>,
    /// `default_type`: the content type of files of which none is known.
    pub default_type: String,
    /// `precompressed`: codings for which a compressed file may lie beside a file, the preferred
    /// one first.
    pub precompressed: Vec<Coding>,
    /// `cache_control`: the value of `cache-control`. `None`: no such field.
    pub cache_control: Option<String>,
    /// `cache_control_by`: values of `cache-control` by patterns of types, such as `image/*`,
    /// sorted by pattern.
    pub cache_control_by: Vec<(String, String)>,
    /// `error_pages`: paths of files below the directory that are the bodies of errors, sorted by
    /// status.
    pub error_pages: Vec<(u16, String)>,
    /// `file_cache_entries`: files that are kept open.
    pub cache_entries: u32,
    /// `file_cache_ttl`: how long a kept file is given without another look at it.
    pub cache_ttl: Duration,
    /// `small_file_max`: bytes of a file, at most, that is given from memory.
    pub small_file_max: u32,
}

impl FilesOptions {
    /// The files of a directory, with defaults.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            index: defaults::INDEX.map(str::to_owned).to_vec(),
            try_files: defaults::try_files(),
            listing: defaults::LISTING,
            symlinks: defaults::SYMLINKS,
            dot_files: defaults::DOT_FILES,
            content_types: Vec::new(),
            default_type: defaults::DEFAULT_TYPE.to_owned(),
            precompressed: Vec::new(),
            cache_control: None,
            cache_control_by: Vec::new(),
            error_pages: Vec::new(),
            cache_entries: defaults::FILE_CACHE_ENTRIES,
            cache_ttl: defaults::FILE_CACHE_TTL,
            small_file_max: defaults::SMALL_FILE_MAX,
        }
    }
}

/// Which symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// None.
    Never,
    /// Those that stay below the directory.
    Beneath,
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `br`, in files that end with `.br`.
    Brotli,
    /// `zstd`, in files that end with `.zst`.
    Zstd,
    /// `gzip`, in files that end with `.gz`.
    Gzip,
}

/// Edits of header fields, in the order in which they are made. Names are in lower case, and each
/// list is sorted by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// `remove`: fields that are removed.
    pub remove: Vec<String>,
    /// `set`: fields, with a template of the value that stands in the place of all others.
    pub set: Vec<(String, String)>,
    /// `add`: fields, with a template of a value that is added to the others.
    pub add: Vec<(String, String)>,
}

/// `rate_limit`: a token bucket for each source or value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// `rate`: requests per second.
    pub rate: u32,
    /// `burst`: requests at once, after a pause.
    pub burst: u32,
    /// `by`: what has a bucket of its own.
    pub by: RateKey,
    /// `entries_max`: buckets that are remembered.
    pub entries_max: u32,
}

/// What has a rate of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateKey {
    /// `"source"`: each source address.
    Source,
    /// `"header:NAME"`: each value of this field, whose name is in lower case.
    Header(String),
}

/// `auth`: basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// `realm`: what the client is told that the password is for.
    pub realm: String,
    /// Who may use the route.
    pub users: Users,
}

/// Users and their hashed passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// `users`: names with hashes (bcrypt, SHA-256-crypt or SHA-512-crypt), sorted by name.
    Listed(Vec<(String, String)>),
    /// `users_file`: a file in the form of htpasswd.
    File(PathBuf),
}

/// `compress`, `compress_types` and `compress_min`: compression on the fly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// `compress`: whether it is done.
    pub enabled: bool,
    /// `compress_types`: content types, in lower case, that are compressed. Routes that do not say
    /// so share the default.
    pub types: Arc<[String]>,
    /// `compress_min`: bytes of an answer, at least.
    pub min: u32,
}

impl Default for Compression {
    fn default() -> Self {
        static TYPES: LazyLock<Arc<[String]>> =
            LazyLock::new(|| defaults::COMPRESS_TYPES.map(str::to_owned).into());
        Self { enabled: defaults::COMPRESS, types: Arc::clone(&TYPES), min: defaults::COMPRESS_MIN }
    }
}

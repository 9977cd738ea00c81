//! `[[listener.route]]`: which requests it is for, and what is done with them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value as Schema, json};
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::super::accept::{Fault, parsed};
use super::super::kinds::{
    Bool, Bytes, Choice, Custom, Kind, List, Pairs, Text, Time, Unless, Whole,
};
use super::super::schema::HOUR;
use super::super::section::{Field, Section};
use super::super::table::table;
use super::files::{self, TryFiles};
use super::schema::{CODING_WORDS, ENTRIES_MAX, RATE_RANGE, SYMLINKS_WORDS};
use super::{AccessLists, SocketLimits, TryFile, WebSocketOptions, accept};

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

table! {
    /// How the files of a directory are given: the key `files`, and those that only it has.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FilesOptions {
        /// Names of the files that stand for a directory, the first that is there.
        "index" index: Vec<String> = vec!["index.html".to_owned()],
            List { counts: ENTRIES, each: Text { accept: accept::file_name } };
        /// What is tried for a request, the first that is there.
        "try_files" try_files: Vec<TryFile> =
            vec![TryFile::Path(String::new()), TryFile::Folder], TryFiles;
        /// Whether a directory without an index file is listed. Off by default, so that names of
        /// files are not disclosed.
        "listing" listing: bool = false, Bool;
        /// Which symbolic links are followed.
        "symlinks" symlinks: Symlinks = Symlinks::Never, Choice(SYMLINKS_WORDS);
        /// Whether files whose names start with a dot are served. Off by default: they often belong
        /// to tools.
        "dot_files" dot_files: bool = false, Bool;
        /// Content types by the ends of names, in lower case and without the dot before them,
        /// sorted by these.
        "content_types" content_types: Vec<(String, String)> = Vec::new(),
            Pairs {
                counts: ENTRIES,
                names: "ends of names",
                name: files::extension,
                accept: files::content_type,
            };
        /// The content type of files of which none is known.
        "default_type" default_type: String = "application/octet-stream".to_owned(),
            Text { accept: files::content_type };
        /// Codings for which a compressed file may lie beside a file, the preferred one first.
        "precompressed" precompressed: Vec<Coding> = Vec::new(),
            List { counts: 0..=CODING_WORDS.len(), each: Choice(CODING_WORDS) };
        /// The value of `cache-control`. `"off"`: no such field.
        "cache_control" cache_control: Option<String> = None,
            Unless("off", Text { accept: accept::value_of_field });
        /// Values of `cache-control` by patterns of types, such as `image/*`, sorted by pattern.
        "cache_control_by" cache_control_by: Vec<(String, String)> = Vec::new(),
            Pairs {
                counts: ENTRIES,
                names: "content types",
                name: |text| accept::media_type(text, true),
                accept: accept::value_of_field,
            };
        /// Paths of files below the directory that are the bodies of errors, sorted by status.
        "error_pages" error_pages: Vec<(u16, String)> = Vec::new(),
            Pairs {
                counts: ENTRIES,
                names: "statuses",
                name: accept::error_status,
                accept: accept::path,
            };
        /// Files that are kept open.
        "file_cache_entries" cache_entries: u32 = 1024, Whole(0..=1_000_000);
        /// How long a kept file is given without another look at it.
        "file_cache_ttl" cache_ttl: Duration = Duration::from_secs(2), Time(Duration::ZERO..=HOUR);
        /// Bytes of a file, at most, that is given from memory.
        "small_file_max" small_file_max: u32 = 64 << 10, Bytes(0..=16 << 20);
        .. {
            /// `files`: the directory.
            root: PathBuf = PathBuf::new();
        }
    }
}

/// Entries of a small list or table.
const ENTRIES: RangeInclusive<usize> = 0..=ENTRIES_MAX;

impl FilesOptions {
    /// The files of a directory, with defaults.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, ..Self::default() }
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

table! {
    /// `rate_limit`: a token bucket for each source or value of a field.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RateLimit {
        /// Requests at once, after a pause: by default those of a second.
        "burst" burst: u32 = 1, Whole(RATE_RANGE);
        /// What has a bucket of its own.
        "by" by: RateKey = RateKey::Source, RATE_KEY;
        /// Buckets that are remembered.
        "entries_max" entries_max: u32 = 65_536, Whole(16..=10_000_000);
        .. {
            /// `rate`: requests per second.
            rate: u32 = 1;
        }
    }
}

const RATE_KEY: Custom<RateKey> = Custom {
    accept: accept::rate_key,
    write: |key| match key {
        RateKey::Source => Value::from("source"),
        RateKey::Header(name) => Value::from(format!("header:{name}")),
    },
    schema: || json!({ "type": "string", "pattern": "^(source|header:.+)$" }),
};

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

table! {
    /// `compress`, `compress_types` and `compress_min`: compression on the fly.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Compression {
        /// Whether answers are compressed on the fly. Off by default: it costs CPU time, and can
        /// leak secrets that share a body with text of an attacker (BREACH).
        "compress" enabled: bool = false, Bool;
        /// Content types, in lower case, that are compressed: by default text, of which little is
        /// left. Routes that do not say so share the default.
        "compress_types" types: Arc<[String]> = Arc::clone(&COMPRESS_TYPES), MediaTypes;
        /// Bytes of an answer, at least: less fits into one segment anyway.
        "compress_min" min: u32 = 1 << 10, Bytes(0..=1 << 30);
    }
}

static COMPRESS_TYPES: LazyLock<Arc<[String]>> = LazyLock::new(|| {
    [
        "text/html",
        "text/css",
        "text/plain",
        "text/javascript",
        "application/javascript",
        "application/json",
        "application/xml",
        "image/svg+xml",
    ]
    .map(str::to_owned)
    .into()
});

/// Content types, which routes share.
struct MediaTypes;

impl MediaTypes {
    const LIST: List<Text> = List {
        counts: ENTRIES,
        each: Text {
            accept: |v| parsed(v, "a content type", |text| accept::media_type(text, false)),
        },
    };
}

impl Kind for MediaTypes {
    type Value = Arc<[String]>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault> {
        Self::LIST.accept(value).map(Into::into)
    }

    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<Self::Value> {
        match Self::LIST.read(key, section).value() {
            Some(types) => Field::Value(Spanned::new(types.span(), types.into_inner().into())),
            None => Field::Nothing,
        }
    }

    fn write(&self, value: &Self::Value) -> Value {
        Self::LIST.write(&value.to_vec())
    }

    fn schema(&self) -> Schema {
        Self::LIST.schema()
    }
}

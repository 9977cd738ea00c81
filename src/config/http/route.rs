//! `[[listener.route]]`: which requests it is for, and what is done with them.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value as Schema, json};
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::super::accept::{Fault, parsed};
use super::super::kinds::{
    Bool, Bytes, Choice, Custom, Kind, List, Pairs, Text, Time, Unless, Whole,
};
use super::super::schema::{DAY, HOUR, MILLISECOND};
use super::super::section::{Field, Section};
use super::super::table::table;
use super::files::{self, TryFiles};
use super::schema::{CODING_WORDS, ENTRIES_MAX, GRPC_MESSAGE_RANGE, RATE_RANGE, SYMLINKS_WORDS};
use super::{AccessLists, SocketLimits, WebSocketOptions, accept};
use crate::service::http::files::attempt::Attempt;
use crate::service::http::route::PathRegex;
use crate::service::http::template::Template;

table! {
    /// One route of an HTTP listener.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Route {
        /// How long a request may take in all. "off": any time.
        "total_timeout" total_timeout: Option<Duration> = None,
            Unless("off", Time(MILLISECOND..=DAY));
        /// Whether calls of browsers (gRPC-Web, binary and text) are translated.
        "grpc_web" grpc_web: bool = false, Bool;
        /// Bytes of a message of gRPC, at most, in either direction, as it is sent. "off": any
        /// number.
        "grpc_message_max" grpc_message_max: Option<u32> = None,
            Unless("off", Bytes(GRPC_MESSAGE_RANGE));
        .. {
            /// Its name in logs and metrics, unique within the listener.
            name: String = String::new();
            /// `host`: one of these matches. At least one.
            hosts: Vec<HostPattern> = vec![HostPattern::Any];
            /// `path`, `path_prefix` or `path_regex`.
            path: PathPattern = PathPattern::Any;
            /// `method`: one of these. Empty: any method.
            methods: Vec<String> = Vec::new();
            /// `header`: each of these holds.
            headers: Vec<HeaderCondition> = Vec::new();
            /// `client_certificate`: what the client has to show. `None`: nothing.
            client_certificate: Option<CertificateCondition> = None;
            /// What is done with a request.
            action: Action = Action::Echo;
            /// `prefix_rewrite`: what stands in the place of the matched prefix, for a proxy or
            /// files.
            prefix_rewrite: Option<String> = None;
            /// `path_rewrite`: the path that a request gets, of what the regular expression of its
            /// path has found, for a proxy or files.
            path_rewrite: Option<Template> = None;
            /// `request_headers`: edits of what a server gets, for a proxy.
            request_headers: HeaderEdits = HeaderEdits::default();
            /// `response_headers`: edits of what a client gets.
            response_headers: HeaderEdits = HeaderEdits::default();
            /// `body_max`: bytes of the body of a request, at most, by default those of the
            /// listener. `None`: any number.
            body_max: Option<u64> = None;
            /// `websocket_inspect`: what the frames of WebSockets may be, for a proxy. `None`: they
            /// are not looked at.
            websocket_inspect: Option<SocketLimits> = None;
            /// `allow` and `deny`: who may use it.
            access: AccessLists = AccessLists::default();
            /// `rate_limit`: how many requests are answered. `None`: all.
            rate_limit: Option<RateLimit> = None;
            /// `auth`: who has to give a password. `None`: nobody.
            auth: Option<Auth> = None;
            /// `compress*`: whether answers are compressed on the fly.
            compression: Compression = Compression::default();
        }
    }
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
    Regex(PathRegex),
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
        /// The value of `location`.
        location: Template,
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
        if let Self::Proxy { upstream } = self { Some(*upstream) } else { None }
    }

    /// The endpoint of WebSockets, if it is one.
    #[must_use]
    pub fn websocket(&self) -> Option<&WebSocketOptions> {
        if let Self::WebSocket(options) = self { Some(options) } else { None }
    }

    /// Where a redirect sends clients.
    pub(in crate::config) const fn location(&self) -> Option<&Template> {
        if let Self::Redirect { location, .. } = self { Some(location) } else { None }
    }
}

table! {
    /// How the files of a directory are given: the key `files`, and those that only it has.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FilesOptions {
        /// Names of files that stand for a directory, up to 256; the first that is there is given.
        "index" index: Vec<String> = vec!["index.html".to_owned()],
            List { counts: ENTRIES, each: Text { accept: accept::file_name } };
        /// What is tried for a request, up to 16; the first that is there is given: "$path", the
        /// file of that path; "$path.html" or "$path/page.html", a file with more behind that name;
        /// "$path/", the directory, if it has something to show; "/app.html", always this file
        /// below the directory; and, as the last one, "=404" or another status from 400 to 599.
        "try_files" try_files: Vec<Attempt> = Attempt::usual(), TryFiles;
        /// Whether a directory without such a file is listed. Off by default, so that names of
        /// files are not disclosed.
        "listing" listing: bool = false, Bool;
        /// Symbolic links that are followed: "never", or "beneath" for those that stay below the
        /// directory.
        "symlinks" symlinks: Symlinks = Symlinks::Never, Choice(SYMLINKS_WORDS);
        /// Whether files whose names start with a dot are given. Off by default: they often belong
        /// to tools.
        "dot_files" dot_files: bool = false, Bool;
        /// Content types by the ends of names, before the well-known ones, as in { wasm =
        /// "application/wasm", "tar.gz" = "application/x-tar" }, up to 256.
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
        /// Codings of compressed files that may lie beside a file, the best one first: "br"
        /// (NAME.br), "zstd" (NAME.zst) and "gzip" (NAME.gz).
        "precompressed" precompressed: Vec<Coding> = Vec::new(),
            List { counts: 0..=CODING_WORDS.len(), each: Choice(CODING_WORDS) };
        /// The field `cache-control`: a text, or "off" for none.
        "cache_control" cache_control: Option<String> = None,
            Unless("off", Text { accept: accept::value_of_field });
        /// Other values of it, by content types, as { "image/*" = "max-age=86400" }, up to 256.
        "cache_control_by" cache_control_by: Vec<(String, String)> = Vec::new(),
            Pairs {
                counts: ENTRIES,
                names: "content types",
                name: |text| accept::media_type(text, true),
                accept: accept::value_of_field,
            };
        /// Files whose contents are the bodies of errors, as { "404" = "/404.html" }: statuses from
        /// 400 to 599, and paths below the directory.
        "error_pages" error_pages: Vec<(u16, String)> = Vec::new(),
            Pairs {
                counts: ENTRIES,
                names: "statuses",
                name: accept::error_status,
                accept: accept::path,
            };
        /// Files that are kept open, for each route and worker.
        "file_cache_entries" cache_entries: u32 = 1024, Whole(0..=1_000_000);
        /// How long a kept file is given without another look at it.
        "file_cache_ttl" cache_ttl: Duration = Duration::from_secs(2), Time(Duration::ZERO..=HOUR);
        /// Bytes of a file, at most, that is kept in memory.
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
    /// `set`: fields, with the value that stands in the place of all others.
    pub set: Vec<(String, Secret<Template>)>,
    /// `add`: fields, with a value that is added to the others.
    pub add: Vec<(String, Secret<Template>)>,
}

/// A value that may be a secret: it is written in the configuration, or in a file that this names,
/// as `"file:PATH"`. It is shown in no message.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret<T> {
    /// This one.
    Written(T),
    /// What this file has, without the end of its line.
    File(PathBuf),
}

/// What a text begins with that names a file with a secret.
pub(in crate::config) const SECRET_FILE: &str = "file:";

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(_) => f.write_str("Written(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl<T> Secret<T> {
    /// As it stands in a file.
    pub(in crate::config) fn text<'t>(&'t self, of: impl FnOnce(&'t T) -> &'t str) -> Cow<'t, str> {
        match self {
            Self::Written(value) => of(value).into(),
            Self::File(path) => format!("{SECRET_FILE}{}", path.display()).into(),
        }
    }

    /// Puts something else in the place of a value that is written in the configuration.
    pub(in crate::config) fn hide(&mut self, other: T) {
        if let Self::Written(value) = self {
            *value = other;
        }
    }

    /// The file that has it, if it is in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Written(_) => None,
            Self::File(path) => Some(path),
        }
    }

    pub(in crate::config) const fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Written(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

table! {
    /// `rate_limit`: a token bucket for each source or value of a field.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RateLimit {
        /// Requests at once after a pause. By default, as many as `rate`.
        "burst" burst: u32 = 1, Whole(RATE_RANGE);
        /// What has a rate of its own: "source" (each address), or "header:NAME" (each value of a
        /// field).
        "by" by: RateKey = RateKey::Source, RATE_KEY;
        /// Sources or values that are remembered, by each worker.
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
    Listed(Vec<(String, Secret<String>)>),
    /// `users_file`: a file in the form of htpasswd.
    File(PathBuf),
}

table! {
    /// `compress`, `compress_types` and `compress_min`: compression on the fly.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Compression {
        /// Whether answers are compressed on the fly, if the client takes it. Off by default: it
        /// costs CPU time, and can leak secrets that share a body with text of an attacker
        /// (BREACH).
        "compress" enabled: bool = false, Bool;
        /// Content types that are compressed, up to 256. By default text, of which little is left;
        /// routes that do not say so share it.
        "compress_types" types: Arc<[String]> = Arc::clone(&COMPRESS_TYPES), MediaTypes;
        /// Bytes of the least answer that is compressed. By default, less fits into one segment
        /// anyway.
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

//! HTTP in the configuration: listeners, routes, and upstreams of HTTP proxies.

use std::time::Duration;

use ringway::config::{
    AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, Action, Auth, Balance,
    CertificateCondition, Coding, Compression, Config, EjectOptions, FilesOptions, Forwarded,
    GrpcCheck, HalfClose, HashOn, HeaderCondition, HeaderEdits, HealthKind, HealthOptions,
    HostHeader, HostPattern, Http2Options, HttpCheck, HttpOptions, HttpUpstream, ListenerService,
    PathPattern, RateKey, RateLimit, RetryOn, Route, Secret, ServerProtocol, ServerShare, Symlinks,
    UnderscoreHeaders, Users,
};
use ringway::service::http::files::attempt::Attempt;
use ringway::service::http::route::PathRegex;
use ringway::service::http::template::{Purpose, Template};

use super::{assert_lines_are_reported, assert_reported, bad, expected, good};

/// Further tables in which no optional key has its default.
pub(super) const UNUSUAL: &str = r#"
[[listener]]
name = "http"
listen = ["0.0.0.0:5", "unix:/run/http.sock"]
protocol = "http"
max_connections = 7
accept_proxy_protocol = true
proxy_header_timeout = "1s"
nodelay = false
keepalive = "off"
backlog = 2
unix_mode = "0600"
head_size_max = "1MiB"
fields_max = 1000
target_size_max = "64KiB"
body_max = "off"
head_timeout = "1ms"
body_timeout = "1h"
body_rate_min = "off"
write_timeout = "2s"
write_rate_min = "1KiB"
keepalive_timeout = "1d"
keepalive_requests = "off"
keepalive_max_age = "off"
tunnel_timeout = "7d"
half_close = "refuse"
server_header = "off"
reason_header = false
forwarded = "replace"
trusted_proxies = ["10.0.0.0/8", "unix"]
underscore_headers = "pass"
request_id_header = "off"
http2 = false
http2_streams_max = 1
http2_window_max = "64KiB"
http2_cookie_parts_max = 10000
http2_continuations_max = 0
http2_resets_max = 2
http2_forced_resets_max = 3
http2_control_frames_max = 4
http2_empty_frames_max = 5
source_connections_max = 1
allow = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]
deny = "10.1.0.0/16"
access_log = { format = "template", template = "$time ${user} $$ \"$host\"", path = "/var/log/a b" }
request_headers = {}
response_headers = {}

[[listener.route]]
name = "api"
host = ["API.example.com", "*.Example.com", "[::1]", "192.0.2.1"]
path_prefix = "/api/"
method = ["GET", "PURGE"]
header = { X-Version = "2", x-any = "*" }
proxy = "origin"
prefix_rewrite = "/"
body_max = "1GiB"
total_timeout = "1m"
grpc_web = true
grpc_message_max = "4MiB"
allow = "::/0"
deny = ["::1"]
compress = true
compress_types = "Text/HTML"
compress_min = 0

[listener.route.request_headers]
set = { Host = "$upstream", x-b = "$source:$source_port", x-a = "" }
add = { via = "1.1 ringway" }
remove = ["Cookie", "x-z"]
[listener.route.response_headers]
set = { x-frame-options = "DENY" }
add = { set-cookie = "a=$$b", link = "<$scheme://$host$path>" }
remove = "server"
[listener.route.rate_limit]
rate = 1_000_000
burst = 1
by = "header:X-Key"
entries_max = 16
[listener.route.auth]
realm = "all of \"it\""
users = { b = "$5$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", a = "$2b$05$yT8vbxmcYzM2cBz0B0zO8eP9CI0cLdFAZLvyLhuNxdRDyzyOsY5dS" }

[[listener.route]]
name = "static"
path_prefix = "/static"
files = "/srv/www"
prefix_rewrite = "/public"
index = ["index.htm", "default.htm"]
try_files = ["$path", "$path.html", "$path/page.html", "$path/", "/app%20x.html", "=410"]
listing = true
symlinks = "beneath"
dot_files = true
content_types = { WASM = "application/wasm", "tar.gz" = "application/x-tar" }
default_type = "text/plain; charset=utf-8"
precompressed = ["br", "zstd", "gzip"]
cache_control = "no-cache"
cache_control_by = { "image/*" = "max-age=86400", "text/css" = "max-age=60" }
error_pages = { 404 = "/404.html", "500" = "/500.html" }
file_cache_entries = 0
file_cache_ttl = "0s"
small_file_max = 0
body_max = "off"
auth = { users_file = "/etc/users" }

[[listener.route]]
path = "/old/%20x"
redirect = "https://$host/new$query"
status = 308

[[listener.route]]
path_regex = '^/u/[0-9]+\.json$'
respond = "{}\n"
status = 503
content_type = "application/json"

[[listener.route]]
echo = true
method = "POST"

[[listener.route]]
host = "*"
path = "/status"
status_page = true

[[listener.route]]
path = "/ws"
websocket_page = true

[[listener.route]]
handler = "own"

[[listener.route]]
path_regex = "^/a/(.)/(.)$"
path_rewrite = "/$2/$1"
proxy = "origin"

[[listener]]
name = "http-defaults"
listen = "0.0.0.0:6"
protocol = "http"
[listener.access_log]
[[listener.route]]
proxy = "hashed"
[listener.route.client_certificate]
subject = "*,O=Example"
name = "DNS:*.ops.example"
fingerprint = "AB:CD:ef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
[listener.tls]
certificate = ["/etc/a.pem", "/etc/b.pem"]
key = ["/etc/a.key", "/etc/b.key"]
ocsp = ["off", "/etc/b.ocsp"]
strict_sni = true
min_version = "1.3"
cipher_suites = ["TLS_AES_128_GCM_SHA256"]
groups = "X25519"
client_auth = "optional"
client_ca = "/etc/clients.pem"
client_crl = "/etc/clients.crl"
tickets = 4
ticket_keys = ["/etc/tickets.key"]
ticket_rotation = "1h"
handshake_timeout = "1s"
handshake_max = "16KiB"
handshakes_max = 10

[upstream.origin]
servers = ["10.0.0.1:1", { address = "Origin.example.net:2", weight = 1000, priority = 9 }]
balance = "ewma"
connect_timeout = "1s"
retries = 3
nodelay = false
keepalive = "off"
pool_max = 10
pool_min_idle = 10
pool_idle_timeout = "1s"
pool_max_age = "off"
pool_queue = 1
pool_queue_timeout = "2s"
retry_backoff = "1ms"
retry_backoff_max = "1ms"
retry_budget = 0.5
slow_start = "30s"
retry_on = ["503", "connect", "reset", "grpc:unavailable", "timeout", "502", "503", "grpc:aborted"]
retry_body_max = 0
try_timeout = "5s"
hedge_after = "20ms"
hedge_calls = true
first_byte_timeout = "1d"
response_idle_timeout = "1ms"
requests_max = 1000
retries_max = 1
protocol = "http2"
host_header = "Internal.example.net:8080"
panic_ratio = 0.5
[upstream.origin.health]
kind = "http"
path = "/health?full"
status = ["200-399", 401]
body = "ok"
host = "health.example.net"
interval = "10s"
timeout = "10s"
jitter = 0
rise = 1
fall = 100
[upstream.origin.tls]
ca = "/etc/ca.pem"
verify = false
server_name = "inner.example"
pins = ["spki:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
certificate = "/etc/own.pem"
key = "/etc/own.key"
crl = "/etc/ca.crl"
min_version = "1.3"
cipher_suites = []
groups = ["secp256r1"]
[upstream.origin.eject]
consecutive_failures = 0
consecutive_connect_failures = 7
error_rate = 0
latency_factor = 2.5
min_requests = 1
interval = "1s"
time = "1d"
share_max = 1

[upstream.hashed]
servers = { address = "unix:/run/x", weight = 2 }
balance = "hash"
hash_on = "cookie:Session"
retry_on = []
host_header = "server"
health = { kind = "grpc", service = "a.B", host = "grpc.example" }
"#;

/// A file to which lines are added.
const BASE: &str = r#"[[listener]] # http
name = "http"
listen = "127.0.0.1:8080"
protocol = "http"
[[listener.route]] # proxy
path_prefix = "/api"
proxy = "origin"
[[listener.route]] # files
files = "/srv"
[[listener.route]] # redirect
redirect = "/"
[[listener.route]] # respond
respond = ""
[[listener.route]] # echo
echo = true
[[listener.route]] # status
status_page = true
[[listener.route]] # none
path = "/none"
proxy = "hashed"
[[listener]] # log
name = "log"
listen = "127.0.0.1:8081"
protocol = "http"
route = [{ proxy = "origin" }]
[listener.access_log]
[[listener]] # tcp
name = "tcp"
listen = "127.0.0.1:8082"
protocol = "tcp"
upstream = "stream"
[[listener]] # frame
name = "frame"
listen = "127.0.0.1:8083"
protocol = "frame"
upstream = "frames"
[upstream.origin]
servers = ["10.0.0.5:80"]
[upstream.origin.health]
[upstream.origin.eject]
[upstream.hashed]
servers = ["10.0.0.5:80"]
[upstream.stream]
servers = ["10.0.0.5:80"]
[upstream.frames]
servers = ["10.0.0.5:80"]
"#;

/// Mistakes of one line each, in the form that the tests of other protocols have.
const BROKEN_LINES: &str = r#"
[[listener]] # http
head_size_max = "1023B"
                ^^^^^^^
error: `head_size_max`: expected a size from 1KiB to 1MiB
help: the least is 1KiB

[[listener]] # http
fields_max = 7
             ^
error: `fields_max`: expected an integer from 8 to 1000, got 7
help: the least is 8

[[listener]] # http
target_size_max = "65KiB"
                  ^^^^^^^
error: `target_size_max`: expected a size from 256B to 64KiB
help: the most 64KiB

[[listener]] # http
body_max = "any"
           ^^^^^
error: `body_max`: expected "off" or a size from 0B to 1024GiB
help: start with a whole number

[[listener]] # http
head_timeout = "0s"
               ^^^^
error: `head_timeout`: expected a duration from 1ms to 1h
help: the least is 1ms

[[listener]] # http
body_timeout = 30
               ^^
error: `body_timeout`: expected a duration
help: "30s"

[[listener]] # http
body_rate_min = 0
                ^
error: `body_rate_min`: expected "off" or a size from 1B to 1GiB
help: the least is 1B

[[listener]] # http
write_timeout = "2h"
                ^^^^
error: `write_timeout`: expected a duration from 1ms to 1h
help: the most 1h

[[listener]] # http
keepalive_timeout = "off"
                    ^^^^^
error: `keepalive_timeout`: expected a duration
help: start with a whole number

[[listener]] # http
keepalive_max_age = "8d"
                    ^^^^
error: `keepalive_max_age`: expected "off" or a duration from 1ms to 7d, got "8d"
help: the least is 1ms, the most 7d

[[listener]] # http
keepalive_requests = 4294967296
                     ^^^^^^^^^^
error: `keepalive_requests`: expected "off" or an integer from 1 to 4294967295
help: the most 4294967295

[[listener]] # http
tunnel_timeout = "8d"
                 ^^^^
error: `tunnel_timeout`: expected a duration from 1ms to 7d
help: the most 7d

[[listener]] # http
server_header = "a\r\nb"
                ^^^^^^^^
error: `server_header`: expected "off" or the value of a header field
help: control characters

[[listener]] # http
server_header = ""
                ^^
error: `server_header`: expected
help: neither starts nor ends with a space

[[listener]] # http
reason_header = "on"
                ^^^^
error: `reason_header`: expected true or false
help: write true or false

[[listener]] # http
forwarded = "apend"
            ^^^^^^^
error: `forwarded`: expected one of "append", "replace", "off"
help: did you mean "append"?

[[listener]] # http
request_id_header = "x id"
                    ^^^^^^
error: `request_id_header`: expected "off" or the name of a header field
help: letters, digits and `-`

[[listener]] # http
request_id_header = "Content-Length"
                    ^^^^^^^^^^^^^^^^
error: `request_id_header`: expected
help: `content-length` belongs to one connection

[[listener]] # http
source_connections_max = 0
                         ^
error: `source_connections_max`: expected "off" or an integer from 1 to 1000000
help: the least is 1

[[listener]] # http
allow = ["10.0.0.0/8", "10.0.0.1/8"]
                       ^^^^^^^^^^^^
error: `allow`: expected a network such as "10.0.0.0/8", got "10.0.0.1/8"
help: did you mean "10.0.0.0/8"?

[[listener]] # http
deny = "10.0.0.0/33"
       ^^^^^^^^^^^^^
error: `deny`: expected a network
help: the length of a prefix

[[listener]] # http
deny = [1]
        ^
error: `deny`: expected a network such as "10.0.0.0/8", got an integer
help: in quotes

[[listener]] # http
idle_timeout = "1m"
^^^^^^^^^^^^
error: `idle_timeout` is for a `protocol` of "tcp", "echo", "frame", "messages" or "sni"
help: this listener has `protocol = "http"`

[[listener]] # http
window = 1
^^^^^^
error: `window` is for `protocol = "frame"`
help: this listener has `protocol = "http"`

[[listener]] # http
files = "/srv"
^^^^^
error: `files` is for `protocol = "frame"`
help: remove it

[[listener]] # http
upstream = "origin"
           ^^^^^^^^
error: a listener with `protocol = "http"` has no upstream
help: as in proxy = "NAME"

[[listener]] # http
access_log = "json"
             ^^^^^^
error: expected a table, got a string
help: write it as [listener.access_log], with the keys: format, path, template

[[listener]] # tcp
head_timeout = "1s"
^^^^^^^^^^^^
error: `head_timeout` is for `protocol = "http"`
help: this listener has `protocol = "tcp"`

[[listener]] # tcp
deny = []
^^^^
error: `deny` is for `protocol = "http"`
help: remove it

[[listener]] # tcp
access_log = {}
^^^^^^^^^^
error: `access_log` is for `protocol = "http"`
help: remove it

[[listener]] # tcp
route = [{ echo = true }]
^^^^^
error: `route` is for `protocol = "http"`
help: remove it

[[listener]] # tcp
rout = 1
^^^^
error: unknown key `rout`
help: did you mean `route`?

[listener.access_log]
format = "apache"
         ^^^^^^^^
error: `format`: expected one of "common", "combined", "json", "template"
help: write "common"

[listener.access_log]
template = "$host"
           ^^^^^^^
error: `template` is for `format = "template"`
help: or set `format` to "template"

[listener.access_log]
template = "$hots"
           ^^^^^^^
error: `template`: expected a template, got "$hots"
help: there is no variable `$hots`; there are: $host, $path, $query

[listener.access_log]
template = "${time"
           ^^^^^^^^
error: `template`: expected a template
help: close the brace

[listener.access_log]
template = ""
           ^^
error: `template`: expected a template
help: write what a line has

[listener.access_log]
path = "sdtout"
       ^^^^^^^^
error: `path`: expected "stdout" or a path
help: did you mean "stdout"? A file of this name is "./sdtout"

[listener.access_log]
file = "/a"
^^^^
error: unknown key `file`
help: Keys of [listener.access_log] are: format, path, template

[[listener.route]] # proxy
name = "Api"
       ^^^^^
error: `name`: expected a name
help: a name is a letter

[[listener.route]] # proxy
name = "route-2"
       ^^^^^^^^^
error: `route-2` is the name of a later route
help: choose another name

[[listener.route]] # echo
name = "route-2"
       ^^^^^^^^^
error: there is already a route named `route-2` in this listener
help: a name of its own

[[listener.route]] # proxy
host = "example.com:80"
       ^^^^^^^^^^^^^^^^
error: `host`: expected a host such as "example.com"
help: leave out the port

[[listener.route]] # proxy
host = ["a", "http://b/"]
             ^^^^^^^^^^^
error: `host`: expected a host
help: leave out the scheme

[[listener.route]] # proxy
host = "a.*.com"
       ^^^^^^^^^
error: `host`: expected a host
help: a `*` stands alone

[[listener.route]] # proxy
host = "-a"
       ^^^^
error: `host`: expected a host
help: letters, digits

[[listener.route]] # proxy
host = "[0:0::1]"
       ^^^^^^^^^^
error: `host`: expected a host
help: write the address as "[::1]"

[[listener.route]] # proxy
host = []
       ^^
error: `host`: expected 1 to 256 values, got 0
help: write one value

[[listener.route]] # files
path = "a"
       ^^^
error: `path`: expected a path such as "/api/", got "a"
help: start with a `/`

[[listener.route]] # files
path = "/a/../b"
       ^^^^^^^^^
error: `path`: expected a path
help: leave out `.` and `..`

[[listener.route]] # files
path = "/a b"
       ^^^^^^
error: `path`: expected a path
help: as in %20

[[listener.route]] # files
path = "/%2f"
       ^^^^^^
error: `path`: expected a path
help: in upper case

[[listener.route]] # files
path = "/%41"
       ^^^^^^
error: `path`: expected a path
help: write `A` without the escape

[[listener.route]] # files
path = "/%4"
       ^^^^^
error: `path`: expected a path
help: two digits follow

[[listener.route]] # files
path = "/%00"
       ^^^^^^
error: `path`: expected a path
help: zero byte

[[listener.route]] # files
path_prefix = "/a?b"
              ^^^^^^
error: `path_prefix`: expected a path
help: ends before `?`

[[listener.route]] # files
path_regex = "("
             ^^^
error: `path_regex`: expected a regular expression
help: unclosed group

[[listener.route]] # files
path_regex = "(\\w{100}){100}"
             ^^^^^^^^^^^^^^^^^
error: `path_regex`: expected a regular expression
help: too much memory

[[listener.route]] # files
method = "get"
         ^^^^^
error: `method`: expected a method such as "GET", got "get"
help: did you mean "GET"?

[[listener.route]] # files
method = ["GET", "P T"]
                 ^^^^^
error: `method`: expected a method
help: a word of letters

[[listener.route]] # files
header = "x-a"
         ^^^^^
error: `header`: expected a table, got a string
help: header = { NAME = "VALUE" }

[[listener.route]] # files
header = { "x a" = "1" }
           ^^^^^
error: `header`: expected names of header fields, got "x a"
help: letters, digits

[[listener.route]] # files
header = { x-a = 1 }
                 ^
error: `header`: expected "*" or the value of a header field, got an integer
help: in quotes

[[listener.route]] # files
header = { x-a = "1", X-A = "2" }
                      ^^^
error: `header`: the same name stands there already
help: upper and lower case

[[listener.route]] # proxy
fles = "/srv"
^^^^
error: unknown key `fles`
help: did you mean `files`?

[[listener.route]] # proxy
index = "a"
^^^^^
error: `index` is for a route with `files`
help: remove it: this route has `proxy`

[[listener.route]] # proxy
status = 200
^^^^^^
error: `status` is for a route with `redirect` or `respond`
help: this route has `proxy`

[[listener.route]] # redirect
content_type = "a/b"
^^^^^^^^^^^^
error: `content_type` is for a route with `respond`
help: this route has `redirect`

[[listener.route]] # redirect
request_headers = {}
^^^^^^^^^^^^^^^
error: `request_headers` is for a route with `proxy`
help: this route has `redirect`

[[listener.route]] # echo
prefix_rewrite = "off"
^^^^^^^^^^^^^^
error: `prefix_rewrite` is for a route with `proxy` or `files`
help: this route has `echo`

[[listener.route]] # files
prefix_rewrite = "/a"
                 ^^^^
error: `prefix_rewrite` replaces `path_prefix`, and this route has none
help: set `path_prefix`

[[listener.route]] # proxy
prefix_rewrite = "new/"
                 ^^^^^^
error: `prefix_rewrite`: expected "off" or a path
help: start with a `/`

[[listener.route]] # redirect
status = 304
         ^^^
error: `status`: expected 301, 302, 303, 307 or 308, got 304
help: 302 is for now

[[listener.route]] # respond
status = 199
         ^^^
error: `status`: expected an integer from 200 to 599
help: the least is 200

[[listener.route]] # respond
content_type = 1
               ^
error: `content_type`: expected the value of a header field
help: in quotes

[[listener.route]] # proxy
body_max = true
           ^^^^
error: `body_max`: expected "off" or a size
help: write a number

[[listener.route]] # proxy
total_timeout = "0s"
                ^^^^
error: `total_timeout`: expected "off" or a duration from 1ms to 1d
help: the least is 1ms

[[listener.route]] # proxy
allow = "everybody"
        ^^^^^^^^^^^
error: `allow`: expected a network
help: 192.0.2.1

[[listener.route]] # proxy
compress = "gzip"
           ^^^^^^
error: `compress`: expected true or false
help: write true or false

[[listener.route]] # proxy
compress_types = ["text/*"]
                  ^^^^^^^^
error: `compress_types`: expected a content type
help: without parameters

[[listener.route]] # proxy
compress_min = "2GiB"
               ^^^^^^
error: `compress_min`: expected a size from 0B to 1GiB
help: the most 1GiB

[[listener.route]] # proxy
request_headers = { set = { Connection = "close" } }
                            ^^^^^^^^^^
error: `set`: expected names of header fields, got "Connection"
help: `connection` belongs to one connection

[[listener.route]] # proxy
request_headers = { add = { host = "a" } }
                            ^^^^
error: `add`: expected names of header fields, got "host"
help: `host` can be set in request_headers only

[[listener.route]] # proxy
request_headers = { remove = ["Transfer-Encoding"] }
                              ^^^^^^^^^^^^^^^^^^^
error: `remove`: expected the name of a header field
help: no edit may touch it

[[listener.route]] # proxy
request_headers.set.x-a = "$nam"
                          ^^^^^^
error: `set`: expected a template, got "$nam"
help: there is no variable `$nam`; there are: $host, $path

[[listener.route]] # proxy
request_headers.set.x-a = "$time"
                          ^^^^^^^
error: `set`: expected a template
help: there is no variable `$time`

[[listener.route]] # proxy
request_headers.put.x-a = "a"
                ^^^
error: unknown key `put`
help: Keys of [listener.route.request_headers] are: set, add, remove

[[listener.route]] # proxy
response_headers.set.host = "a"
                     ^^^^
error: `set`: expected names of header fields
help: in request_headers only

[[listener.route]] # proxy
response_headers.set.x-a = "a\nb"
                           ^^^^^^
error: `set`: expected a template
help: control characters

[[listener.route]] # proxy
response_headers.remove = "content-length"
                          ^^^^^^^^^^^^^^^^
error: `remove`: expected the name
help: `content-length` belongs

[[listener.route]] # proxy
rate_limit = { burst = 1 }
             ^^^^^^^^^^^^^
error: missing key `rate` in [listener.route.rate_limit]
help: add rate = 100

[[listener.route]] # proxy
rate_limit.rate = 0
                  ^
error: `rate`: expected an integer from 1 to 1000000
help: the least is 1

[[listener.route]] # proxy
rate_limit = { rate = 1, burst = 0 }
                                 ^
error: `burst`: expected an integer from 1 to 1000000
help: the least is 1

[[listener.route]] # proxy
rate_limit = { rate = 1, by = "client" }
                              ^^^^^^^^
error: `by`: expected "source" or "header:NAME"
help: as in "header:x-api-key"

[[listener.route]] # proxy
rate_limit = { entries_max = 15, rate = 1 }
                             ^^
error: `entries_max`: expected an integer from 16 to 10000000
help: the least is 16

[[listener.route]] # proxy
auth = {}
       ^^
error: missing key `users` or `users_file`
help: add users_file

[[listener.route]] # proxy
auth = { users = {} }
                 ^^
error: `users`: expected 1 to 1024 values, got 0
help: names of users

[[listener.route]] # proxy
auth = { users.a = "secret" }
                   ^^^^^^^^
error: `users`: expected the hash of a password, got something else
help: $2b$ (bcrypt)

[[listener.route]] # proxy
auth = { users.a = "$apr1$secret$" }
                   ^^^^^^^^^^^^^^^
error: `users`: expected the hash of a password, got a weak one
help: htpasswd -nB

[[listener.route]] # proxy
auth = { users = { "a:b" = "$6$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" } }
                   ^^^^^
error: `users`: expected names of users, got "a:b"
help: no colon

[[listener.route]] # proxy
auth = { users.a = "$6$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", users_file = "/a" }
                                                                                      ^^^^^^^^^^
error: `users_file` stands beside `users`
help: remove one

[[listener.route]] # proxy
auth = { users_file = "" }
                      ^^
error: `users_file`: expected the path of a file
help: an empty path

[[listener.route]] # proxy
auth = { realm = 1, users_file = "/a" }
                 ^
error: `realm`: expected the value of a header field
help: in quotes

[[listener.route]] # files
index = "a/b"
        ^^^^^
error: `index`: expected the name of a file
help: without a `/`

[[listener.route]] # files
listing = 1
          ^
error: `listing`: expected true or false
help: write true

[[listener.route]] # files
symlinks = "follow"
           ^^^^^^^^
error: `symlinks`: expected "never" or "beneath"
help: write "never" or "beneath"

[[listener.route]] # files
dot_files = "no"
            ^^^^
error: `dot_files`: expected true or false
help: write true

[[listener.route]] # files
precompressed = ["deflate"]
                 ^^^^^^^^^
error: `precompressed`: expected one of "br", "zstd", "gzip"
help: write "br"

[[listener.route]] # files
cache_control = "a\u0000"
                ^^^^^^^^^
error: `cache_control`: expected "off" or the value of a header field
help: control characters

[[listener.route]] # files
cache_control_by = { "image" = "a" }
                     ^^^^^^^
error: `cache_control_by`: expected content types, got "image"
help: "image/*"

[[listener.route]] # files
error_pages = { "200" = "/a" }
                ^^^^^
error: `error_pages`: expected statuses, got "200"
help: from 400 to 599

[[listener.route]] # files
error_pages = { 404 = "a" }
                      ^^^
error: `error_pages`: expected a path
help: start with a `/`

[[listener.route]] # files
try_files = ["$uri", "/index.html"]
             ^^^^^^
error: `try_files`: expected "$path"
help: write "$path"

[[listener.route]] # files
try_files = ["=404", "$path"]
             ^^^^^^
error: `try_files`: nothing is tried after "=404"
help: move it to the end

[[listener.route]] # files
try_files = ["$path", "$path/", "$path"]
                                ^^^^^^^
error: `try_files`: "$path" is there already
help: remove it

[[listener.route]] # files
try_files = ["/a/../b"]
             ^^^^^^^^^
error: `try_files`: expected "$path"
help: leave out `.` and `..`

[[listener.route]] # files
try_files = "/folder/"
            ^^^^^^^^^^
error: `try_files`: expected "$path"
help: name a file

[[listener.route]] # files
try_files = "/a%2Fb"
            ^^^^^^^^
error: `try_files`: expected "$path"
help: name a file

[[listener.route]] # files
try_files = "$path/../b"
            ^^^^^^^^^^^^
error: `try_files`: expected "$path"
help: leave out `.` and `..`

[[listener.route]] # files
try_files = "$path$query"
            ^^^^^^^^^^^^^
error: `try_files`: expected "$path"
help: write the end of a name

[[listener.route]] # files
try_files = "index.html"
            ^^^^^^^^^^^^
error: `try_files`: expected "$path"
help: a file as in "/index.html"

[[listener.route]] # files
try_files = ["$path", "=200"]
                      ^^^^^^
error: `try_files`: expected "$path"
help: from 400 to 599

[[listener.route]] # files
try_files = []
            ^^
error: `try_files`: expected 1 to 16
help: write one value

[[listener.route]] # files
content_types = { ".wasm" = "application/wasm" }
                  ^^^^^^^
error: `content_types`: expected ends of names, got ".wasm"
help: without its dot

[[listener.route]] # files
content_types = { wasm = "wasm" }
                         ^^^^^^
error: `content_types`: expected a content type
help: text/html; charset=utf-8

[[listener.route]] # files
default_type = "image/*"
               ^^^^^^^^^
error: `default_type`: expected a content type
help: text/html; charset=utf-8

[[listener.route]] # files
file_cache_entries = 1000001
                     ^^^^^^^
error: `file_cache_entries`: expected an integer from 0 to 1000000
help: the most 1000000

[[listener.route]] # files
file_cache_ttl = "2h"
                 ^^^^
error: `file_cache_ttl`: expected a duration from 0s to 1h
help: the most 1h

[[listener.route]] # files
small_file_max = "17MiB"
                 ^^^^^^^
error: `small_file_max`: expected a size from 0B to 16MiB
help: the most 16MiB

[upstream.origin]
balance = "hash"
          ^^^^^^
error: `balance = "hash"` needs `hash_on`
help: add hash_on = "source"

[upstream.origin]
hash_on = "path"
          ^^^^^^
error: `hash_on` is for `balance = "hash"`
help: set `balance` to "hash"

[upstream.origin]
hash_on = "query"
          ^^^^^^^
error: `hash_on`: expected "source", "path", "header:NAME" or "cookie:NAME"
help: write "source"

[upstream.origin]
hash_on = "cookie:"
          ^^^^^^^^^
error: `hash_on`: expected
help: the name of a cookie

[upstream.origin]
slow_start = "0s"
             ^^^^
error: `slow_start`: expected "off" or a duration from 1ms to 1h
help: the least is 1ms

[upstream.origin]
retry_on = ["conect"]
            ^^^^^^^^
error: `retry_on`: expected "connect", "reset", "timeout", a status such as "503", or one of gRPC
help: did you mean "connect"?

[upstream.origin]
retry_on = ["grpc:unavailible"]
            ^^^^^^^^^^^^^^^^^^
error: `retry_on`: expected "connect", "reset", "timeout", a status such as "503", or one of gRPC
help: did you mean "grpc:unavailable"?

[upstream.origin]
retry_on = "404"
           ^^^^^
error: `retry_on`: expected
help: from 500 to 599

[upstream.origin]
retry_on = 503
           ^^^
error: `retry_on`: expected
help: in quotes

[upstream.origin]
retry_body_max = "17MiB"
                 ^^^^^^^
error: `retry_body_max`: expected a size from 0B to 16MiB
help: the most 16MiB

[upstream.origin]
hedge_after = "0s"
              ^^^^
error: `hedge_after`: expected "off" or a duration from 1ms to 1d
help: the least is 1ms

[upstream.origin]
try_timeout = "2d"
              ^^^^
error: `try_timeout`: expected "off" or a duration from 1ms to 1d
help: the most 1d

[upstream.origin]
first_byte_timeout = "off"
                     ^^^^^
error: `first_byte_timeout`: expected a duration
help: start with

[upstream.origin]
response_idle_timeout = 1
                        ^
error: `response_idle_timeout`: expected a duration
help: "1s"

[upstream.origin]
requests_max = 0
               ^
error: `requests_max`: expected "off" or an integer from 1 to 1000000
help: the least is 1

[upstream.origin]
retries_max = 0
              ^
error: `retries_max`: expected an integer from 1 to 1000000
help: the least is 1

[upstream.origin]
host_header = "a b"
              ^^^^^
error: `host_header`: expected "pass", "server" or a host
help: letters

[upstream.origin]
host_header = "a:0"
              ^^^^^
error: `host_header`: expected
help: a port is a number

[upstream.origin]
panic_ratio = 1.5
              ^^^
error: `panic_ratio`: expected a number from 0.0 to 1.0
help: the most 1.0

[upstream.origin]
streams_max = 0
              ^
error: `streams_max`: expected an integer from 1 to 65535
help: the least is 1

[upstream.origin]
protocol = "h2"
           ^^^^
error: `protocol`: expected one of "auto", "http1", "http2"
help: write "auto" or "http1" or "http2"

[[listener]] # http
http2_streams_max = 0
                    ^
error: `http2_streams_max`: expected an integer from 1 to 10000
help: the least is 1

[upstream.origin]
request_timeout = "1s"
^^^^^^^^^^^^^^^
error: only frame proxies use `request_timeout`
help: remove it

[upstream.origin]
send_proxy_protocol = "v2"
                      ^^^^
error: is for TCP and SNI proxies, and an HTTP proxy uses this upstream
help: set it to "off"

[upstream.frames]
pool_min_idle = 65
                ^^
error: `pool_min_idle` is 65, and `pool_max` 64
help: must not be above

[upstream.stream]
retry_on = []
^^^^^^^^
error: only HTTP proxies use `retry_on`
help: no listener with a `protocol` of "http" has this upstream

[upstream.stream]
retries_max = 1
^^^^^^^^^^^
error: only HTTP proxies use `retries_max`
help: remove it

[upstream.frames]
balance = "consistent_hash"
          ^^^^^^^^^^^^^^^^^
error: `balance = "consistent_hash"` is for TCP, UDP, SNI and HTTP proxies, and a frame proxy uses this upstream
help: requests of many clients share its connections

[upstream.origin.health]
kind = "ping"
       ^^^^^^
error: `kind`: expected one of "tcp", "tls", "http", "frame", "grpc"
help: write "tcp" or "tls"

[upstream.origin.health]
path = "health"
       ^^^^^^^^
error: `path`: expected a path such as "/health"
help: start with a `/`

[upstream.origin.health]
status = ["399-200"]
          ^^^^^^^^^
error: `status`: expected a status such as 200
help: did you mean "200-399"?

[upstream.origin.health]
status = ["2xx"]
          ^^^^^
error: `status`: expected
help: the first and the last

[upstream.origin.health]
status = 600
         ^^^
error: `status`: expected an integer from 100 to 599
help: the most 599

[upstream.origin.health]
body = 1
       ^
error: `body`: expected "" or a text
help: in quotes

[upstream.origin.health]
host = "a/b"
       ^^^^^
error: `host`: expected "server" or a host
help: leave out

[upstream.origin.health]
interval = "500ms"
           ^^^^^^^
error: `timeout` is 1s, and `interval` 500ms
help: must not be above

[upstream.origin.health]
timeout = "3s"
          ^^^^
error: `timeout` is 3s, and `interval` 2s
help: must not be above

[upstream.origin.health]
jitter = 2
         ^
error: `jitter`: expected a number from 0.0 to 1.0
help: the most 1.0

[upstream.origin.health]
rise = 0
       ^
error: `rise`: expected an integer from 1 to 100
help: the least is 1

[upstream.origin.health]
fall = 101
       ^^^
error: `fall`: expected an integer from 1 to 100
help: the most 100

[upstream.origin.eject]
consecutive_failures = -1
                       ^^
error: `consecutive_failures`: expected an integer from 0 to 10000
help: the least is 0

[upstream.origin.eject]
error_rate = "half"
             ^^^^^^
error: `error_rate`: expected a number from 0.0 to 1.0
help: the most 1.0

[upstream.origin.eject]
latency_factor = 1001.0
                 ^^^^^^
error: `latency_factor`: expected a number from 0.0 to 1000.0
help: the most 1000.0

[upstream.origin.eject]
min_requests = 0
               ^
error: `min_requests`: expected an integer from 1 to 1000000
help: the least is 1

[upstream.origin.eject]
interval = "1ms"
           ^^^^^
error: `interval`: expected a duration from 1s to 1h
help: the least is 1s

[upstream.origin.eject]
time = "2d"
       ^^^^
error: `time`: expected a duration from 1ms to 1d
help: the most 1d

[upstream.origin.eject]
share_max = nan
            ^^^
error: `share_max`: expected a number from 0.0 to 1.0
help: the most 1.0
"#;

/// Mistakes of whole files.
const BROKEN_FILES: &str = r#"
[[listener]]
^^^^^^^^^^^^
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
error: there is no [[listener.route]], and an HTTP listener needs one at least
help: one action

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.rout]]
           ^^^^
proxy = "b"
[upstream.b]
servers = "10.0.0.1:1"
error: unknown key `rout`
help: did you mean `route`?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
route = []
        ^^
error: `route`: expected 1 to 100000 tables, got 0
help: write each route as a [[listener.route]] table

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[listener.route]
^^^^^^^^^^^^^^^^
echo = true
[upstream.b]
servers = "10.0.0.1:1"
error: `route`: expected an array of tables, got a table
help: as a [[listener.route]] table

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
route = ["b"]
         ^^^
[upstream.b]
servers = "10.0.0.1:1"
error: expected a table, got a string
help: write it as [[listener.route]], with the keys: name, host

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
^^^^^^^^^^^^^^^^^^
path = "/a"
error: this route has no action
help: add one of: proxy, files, redirect, respond, echo, status_page, websocket_page, handler, websocket

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
poxy = "b"
^^^^
[upstream.b]
servers = "10.0.0.1:1"
error: unknown key `poxy`
help: did you mean `proxy`?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
path = "/a"
path_prefix = "/a"
^^^^^^^^^^^
echo = true
error: `path_prefix` stands beside `path`
help: a route has one of: path, path_prefix, path_regex

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
echo = true
respond = "a"
^^^^^^^
error: `respond` stands beside `echo`
help: a route has one of: proxy, files

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
echo = false
       ^^^^^
error: `echo`: expected true, got false
help: or remove it

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
status_page = "yes"
              ^^^^^
error: `status_page`: expected true, got a string
help: write true

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
redirect = "example.com"
           ^^^^^^^^^^^^^
error: `redirect`: expected the template of a URL, got "example.com"
help: start with https://

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
redirect = "/a b"
           ^^^^^^
error: `redirect`: expected the template of a URL
help: no spaces

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
files = ""
        ^^
error: `files`: expected the path of a directory
help: the folder of this file is "."

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
respond = 1
          ^
error: `respond`: expected a text, got an integer
help: in quotes

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = "orign"
        ^^^^^^^
[upstream.origin]
servers = "10.0.0.1:1"
retry_on = "reset"
error: there is no upstream named `orign`
help: did you mean "origin"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = 1
        ^
[upstream.origin]
servers = "10.0.0.1:1"
error: `proxy`: expected a name, got an integer
help: in quotes

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[listener.access_log]
^^^^^^^^^^^^^^^^^^^^^
format = "template"
[[listener.route]]
echo = true
error: missing key `template` in [listener.access_log]
help: add template = "$time

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = "b"
[upstream.b]
servers = ["10.0.0.1:1", { address = "10.0.0.1:1", weight = 2 }]
                                     ^^^^^^^^^^^^
error: `10.0.0.1:1` is already a server of this upstream
help: each server stands once

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = "b"
[upstream.b]
servers = [{ weight = 2 }]
           ^^^^^^^^^^^^^^
error: missing key `address` in [[upstream.NAME.servers]]
help: add address

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = "b"
[upstream.b]
servers = { address = "10.0.0.1:1", weight = 1001 }
                                             ^^^^
error: `weight`: expected an integer from 1 to 1000
help: the most 1000

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
proxy = "b"
[[upstream.b.servers]]
address = "10.0.0.1:1"
priority = 10
           ^^
error: `priority`: expected an integer from 0 to 9
help: the most 9

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = [{ address = "10.0.0.1:1", weight = 0 }]
                                              ^
error: `weight`: expected an integer from 1 to 1000
help: the least is 1
"#;

#[test]
fn each_broken_line_is_reported_where_it_is() {
    assert!(BROKEN_LINES.split("\n\n").count() >= 120);
    good(BASE);
    assert_lines_are_reported(BASE, BROKEN_LINES);
}

#[test]
fn each_broken_file_is_reported_where_it_is() {
    for block in BROKEN_FILES.split("\n\n") {
        assert_reported(&expected(block));
    }
}

/// The options of an HTTP listener.
fn http<'c>(config: &'c Config, name: &str) -> &'c HttpOptions {
    let listener = config.listeners.iter().find(|listener| listener.name == name);
    let ListenerService::Http(options) = &listener.expect("the listener").service else {
        panic!("no HTTP")
    };
    options
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn edits(edits: &[(&str, &str)]) -> Vec<(String, Secret<Template>)> {
    let value = |text| Secret::Written(Template::parse(text, Purpose::Field).unwrap());
    edits.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
}

#[test]
fn values_of_http_listeners_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let log_template = Template::parse("$time ${user} $$ \"$host\"", Purpose::Log).unwrap();
    let expected = HttpOptions {
        head_size_max: 1 << 20,
        fields_max: 1000,
        target_size_max: 64 << 10,
        body_max: None,
        head_timeout: Duration::from_millis(1),
        body_timeout: Duration::from_secs(3600),
        body_rate_min: None,
        write_timeout: Duration::from_secs(2),
        write_rate_min: Some(1024),
        keepalive_timeout: Duration::from_secs(86_400),
        keepalive_requests: None,
        keepalive_max_age: None,
        tunnel_timeout: Duration::from_secs(7 * 86_400),
        half_close: HalfClose::Refuse,
        server_header: None,
        reason_header: false,
        forwarded: Forwarded::Replace,
        trusted_proxies: vec![Some("10.0.0.0/8".parse().unwrap()), None],
        underscore_headers: UnderscoreHeaders::Pass,
        request_id_header: None,
        http2: Http2Options {
            enabled: false,
            streams_max: 1,
            window_max: 64 << 10,
            cookie_parts_max: 10_000,
            continuations_max: 0,
            resets_max: 2,
            forced_resets_max: 3,
            control_frames_max: 4,
            empty_frames_max: 5,
        },
        source_connections_max: Some(1),
        access: AccessLists {
            allow: ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"].map(|n| n.parse().unwrap()).into(),
            deny: vec!["10.1.0.0/16".parse().unwrap()],
        },
        access_log: Some(AccessLog {
            format: AccessLogFormat::Template(log_template),
            target: AccessLogTarget::File("/var/log/a b".into()),
        }),
        routes: Vec::new(),
    };
    let options = http(&config, "http");
    assert_eq!(HttpOptions { routes: Vec::new(), ..options.clone() }, expected);
    assert_eq!(options.upstreams().collect::<Vec<_>>(), [0, 0]);
    assert_eq!(config.listeners[0].max_connections, 7);
    assert!(config.listeners[0].accept_proxy_protocol);
    assert!(config.listeners[0].service.uses(0) && !config.listeners[0].service.uses(1));
    let defaults = http(&config, "http-defaults");
    let log = AccessLog { format: AccessLogFormat::Combined, target: AccessLogTarget::Stdout };
    let expected = HttpOptions {
        access_log: Some(log),
        routes: defaults.routes.clone(),
        ..HttpOptions::default()
    };
    assert_eq!(*defaults, expected);
}

#[test]
fn values_of_routes_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let [proxy, files, redirect, respond, echo, status, socket_page, handler, rewritten] =
        http(&config, "http").routes.as_slice()
    else {
        panic!("nine")
    };
    assert_eq!(rewritten.path_rewrite.as_ref().map(Template::text), Some("/$2/$1"));
    assert_eq!(socket_page.action, Action::WebSocketPage);
    assert_eq!(handler.action, Action::Handler("own".to_owned()));
    let host = |name: &str| HostPattern::Exact(name.to_owned());
    let expected = Route {
        name: "api".to_owned(),
        hosts: vec![
            host("api.example.com"),
            HostPattern::Below("example.com".to_owned()),
            host("[::1]"),
            host("192.0.2.1"),
        ],
        path: PathPattern::Prefix("/api/".to_owned()),
        client_certificate: None,
        methods: texts(&["GET", "PURGE"]),
        headers: vec![
            HeaderCondition { name: "x-any".to_owned(), value: None },
            HeaderCondition { name: "x-version".to_owned(), value: Some("2".to_owned()) },
        ],
        action: Action::Proxy { upstream: 0 },
        prefix_rewrite: Some("/".to_owned()),
        path_rewrite: None,
        request_headers: HeaderEdits {
            remove: texts(&["cookie", "x-z"]),
            set: edits(&[("host", "$upstream"), ("x-a", ""), ("x-b", "$source:$source_port")]),
            add: edits(&[("via", "1.1 ringway")]),
        },
        response_headers: HeaderEdits {
            remove: texts(&["server"]),
            set: edits(&[("x-frame-options", "DENY")]),
            add: edits(&[("link", "<$scheme://$host$path>"), ("set-cookie", "a=$$b")]),
        },
        body_max: Some(1 << 30),
        total_timeout: Some(Duration::from_secs(60)),
        grpc_web: true,
        grpc_message_max: Some(4 << 20),
        websocket_inspect: None,
        access: AccessLists {
            allow: vec!["::/0".parse().unwrap()],
            deny: vec!["::1/128".parse().unwrap()],
        },
        rate_limit: Some(RateLimit {
            rate: 1_000_000,
            burst: 1,
            by: RateKey::Header("x-key".to_owned()),
            entries_max: 16,
        }),
        auth: proxy.auth.clone(),
        compression: Compression { enabled: true, types: texts(&["text/html"]).into(), min: 0 },
    };
    assert_eq!(*proxy, expected);
    let Some(Auth { realm, users: Users::Listed(users) }) = &proxy.auth else { panic!("users") };
    assert_eq!((realm.as_str(), users[0].0.as_str(), users.len()), ("all of \"it\"", "a", 2));
    let Action::Files(options) = &files.action else { panic!("files") };
    let expected = FilesOptions {
        root: "/srv/www".into(),
        index: texts(&["index.htm", "default.htm"]),
        try_files: vec![
            Attempt::Path("".into()),
            Attempt::Path(".html".into()),
            Attempt::Path("/page.html".into()),
            Attempt::Folder,
            Attempt::File("app x.html".into()),
            Attempt::Status(410),
        ],
        content_types: pairs(&[("tar.gz", "application/x-tar"), ("wasm", "application/wasm")]),
        default_type: "text/plain; charset=utf-8".to_owned(),
        listing: true,
        symlinks: Symlinks::Beneath,
        dot_files: true,
        precompressed: vec![Coding::Brotli, Coding::Zstd, Coding::Gzip],
        cache_control: Some("no-cache".to_owned()),
        cache_control_by: pairs(&[("image/*", "max-age=86400"), ("text/css", "max-age=60")]),
        error_pages: vec![(404, "/404.html".to_owned()), (500, "/500.html".to_owned())],
        cache_entries: 0,
        cache_ttl: Duration::ZERO,
        small_file_max: 0,
    };
    assert_eq!(**options, expected);
    let auth = Auth { realm: "restricted".to_owned(), users: Users::File("/etc/users".into()) };
    assert_eq!(files.auth, Some(auth));
    assert_eq!(files.prefix_rewrite.as_deref(), Some("/public"));
    assert_eq!(redirect.path, PathPattern::Exact("/old/%20x".to_owned()));
    let location = Template::parse("https://$host/new$query", Purpose::Location).unwrap();
    assert_eq!(redirect.action, Action::Redirect { location, status: 308 });
    assert_eq!(redirect.name, "route-3");
    let expected = Action::Respond {
        body: "{}\n".to_owned(),
        status: 503,
        content_type: "application/json".to_owned(),
    };
    assert_eq!(respond.action, expected);
    assert_eq!(respond.path, PathPattern::Regex(PathRegex::new("^/u/[0-9]+\\.json$").unwrap()));
    assert_eq!((&echo.action, echo.methods.as_slice()), (&Action::Echo, &texts(&["POST"])[..]));
    assert_eq!((&status.action, &status.hosts[..]), (&Action::StatusPage, &[HostPattern::Any][..]));
    let [defaults] = http(&config, "http-defaults").routes.as_slice() else { panic!("one") };
    let expected = Route {
        name: "route-1".to_owned(),
        client_certificate: Some(CertificateCondition {
            subject: Some("*,O=Example".to_owned()),
            name: Some("DNS:*.ops.example".to_owned()),
            fingerprint: Some(["abcdef0123456789", "abcdef0123456789"].concat().repeat(2)),
        }),
        action: Action::Proxy { upstream: 1 },
        body_max: HttpOptions::default().body_max,
        ..Route::default()
    };
    assert_eq!(*defaults, expected);
}

#[test]
fn values_of_upstreams_for_http_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let [origin, hashed] = config.upstreams.as_slice() else { panic!("two") };
    assert_eq!((origin.balance, hashed.balance), (Balance::Ewma, Balance::Hash));
    assert_eq!(origin.servers[1].to_string(), "origin.example.net:2");
    assert_eq!((origin.pool.max, origin.exchange.budget), (10, 0.5));
    let expected = HttpUpstream {
        shares: vec![ServerShare::default(), ServerShare { weight: 1000, priority: 9 }],
        hash_on: None,
        slow_start: Some(Duration::from_secs(30)),
        retry_on: RetryOn {
            connect: true,
            reset: true,
            timeout: true,
            statuses: vec![502, 503],
            codes: vec!["aborted", "unavailable"],
        },
        retry_body_max: 0,
        try_timeout: Some(Duration::from_secs(5)),
        hedge_after: Some(Duration::from_millis(20)),
        hedge_calls: true,
        first_byte_timeout: Duration::from_secs(86_400),
        response_idle_timeout: Duration::from_millis(1),
        requests_max: Some(1000),
        retries_max: 1,
        protocol: ServerProtocol::Http2,
        host_header: HostHeader::Name("internal.example.net:8080".to_owned()),
        panic_ratio: 0.5,
        health: Some(HealthOptions {
            kind: HealthKind::Http(HttpCheck {
                path: "/health?full".to_owned(),
                statuses: vec![200..=399, 401..=401],
                body: Some("ok".to_owned()),
                host: Some("health.example.net".to_owned()),
            }),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            jitter: 0.0,
            rise: 1,
            fall: 100,
        }),
        eject: Some(EjectOptions {
            consecutive_failures: 0,
            consecutive_connect_failures: 7,
            error_rate: 0.0,
            latency_factor: 2.5,
            min_requests: 1,
            interval: Duration::from_secs(1),
            time: Duration::from_secs(86_400),
            share_max: 1.0,
        }),
    };
    assert_eq!(origin.http, expected);
    let expected = HttpUpstream {
        shares: vec![ServerShare { weight: 2, priority: 0 }],
        hash_on: Some(HashOn::Cookie("Session".to_owned())),
        retry_on: RetryOn { connect: false, ..RetryOn::default() },
        host_header: HostHeader::Server,
        health: Some(HealthOptions {
            kind: HealthKind::Grpc(GrpcCheck {
                service: "a.B".to_owned(),
                host: Some("grpc.example".to_owned()),
            }),
            ..HealthOptions::default()
        }),
        ..HttpUpstream::default()
    };
    assert_eq!(hashed.http, expected);
}

#[test]
fn a_route_has_the_body_limit_of_its_listener_unless_it_says_otherwise() {
    let file = |listener: &str, route: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n\
             {listener}\n[[listener.route]]\necho = true\n{route}\n"
        )
    };
    let table = [
        ("", "", Some(16 << 20)),
        ("body_max = \"1MiB\"", "", Some(1 << 20)),
        ("body_max = \"1MiB\"", "body_max = 5", Some(5)),
        ("body_max = \"off\"", "", None),
        ("body_max = 0", "body_max = \"off\"", None),
    ];
    for (listener, route, most) in table {
        let config = good(&file(listener, route));
        assert_eq!(http(&config, "a").routes[0].body_max, most, "{listener} {route}");
        assert_eq!(good(&config.to_toml()), config);
    }
}

#[test]
fn an_upstream_may_serve_http_and_other_protocols() {
    let text = BASE.replace("proxy = \"hashed\"", "proxy = \"stream\"");
    let text = text.replace("[upstream.hashed]\nservers = [\"10.0.0.5:80\"]\n", "");
    let config = good(&text.replace("[upstream.stream]\n", "[upstream.stream]\npool_max = 3\n"));
    assert_eq!(good(&config.to_toml()), config);
    let shared = config.upstreams.iter().position(|upstream| upstream.name == "stream").unwrap();
    let users = config.listeners.iter().filter(|listener| listener.service.uses(shared));
    assert_eq!(users.map(|user| user.name.as_str()).collect::<Vec<_>>(), ["http", "tcp"]);
}

#[test]
fn tables_of_http_are_limited() {
    let file = |rest: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n{rest}\n"
        )
    };
    let routes = |count| file(&format!("route = [{}]", "{ echo = true },".repeat(count)));
    let networks = |count: usize| {
        let list: String =
            (0..count).map(|n| format!("\"10.0.{}.{}\",", n / 256, n % 256)).collect();
        file(&format!("deny = [{list}]\nroute = [{{ echo = true }}]"))
    };
    let hosts = |count: usize| {
        let list: String = (0..count).map(|n| format!("\"h{n}\",")).collect();
        file(&format!("[[listener.route]]\necho = true\nhost = [{list}]"))
    };
    let body = |length| file(&format!("route = [{{ respond = \"{}\" }}]", "x".repeat(length)));
    for text in [routes(1_000), networks(10_000), hosts(256), body(64 << 10)] {
        let config = good(&text);
        assert_eq!(good(&config.to_toml()), config);
    }
    assert_eq!(good(&routes(100_000)).listeners.len(), 1);
    let table = [
        (routes(100_001), "`route`: expected 1 to 100000 tables, got 100001"),
        (networks(10_001), "`deny`: expected 0 to 10000 values, got 10001"),
        (hosts(257), "`host`: expected 1 to 256 values, got 257"),
        (body((64 << 10) + 1), "`respond`: expected a text, got 65537 bytes"),
    ];
    for (text, message) in table {
        let report = bad(&text);
        let [found] = report.diagnostics() else { panic!("not one mistake, but this:\n{report}") };
        assert_eq!(found.message, message);
    }
}

/// A look at each pair of them would take hours.
#[test]
fn routes_that_nothing_reaches_are_found_among_100_000() {
    let file = |route: &dyn Fn(usize) -> String| {
        let routes: String = (0..100_000)
            .map(|n| format!("[[listener.route]]\necho = true\n{}\n", route(n)))
            .collect();
        good(&format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n{routes}"
        ))
    };
    let by_field = file(&|n| format!("path = \"/x\"\nheader = {{ a = \"{n}\", b = \"1\" }}"));
    assert_eq!(by_field.warnings(), []);
    let by_prefix = file(&|n| format!("path_prefix = \"/api/v1/{}\"", n.min(99_998)));
    assert_eq!(by_prefix.warnings().len(), 1);
    let by_method = file(&|n| format!("path = \"/\"\nmethod = \"M{n}\""));
    assert_eq!(by_method.warnings(), []);
    let all = file(&|_| "path = \"/\"".to_owned());
    assert_eq!(all.warnings().len(), 99_999);
}

#[test]
fn regular_expressions_of_a_listener_are_limited_together() {
    let file = |count: usize| {
        let routes: String = (0..count)
            .map(|n| {
                format!(
                    "[[listener.route]]\nname = \"r{n}\"\necho = true\n\
                     path_regex = '^/{n}/\\pL{{{}}}'\n",
                    n % 2 + 20
                )
            })
            .collect();
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n{routes}"
        )
    };
    let _config = good(&file(20));
    // One regular expression counts once, however many routes have it.
    let same = |count: usize| {
        let text = file(1);
        let (head, route) = text.split_at(text.find("[[listener.route]]").unwrap());
        (0..count)
            .fold(head.to_owned(), |all, n| all + &route.replace("\"r0\"", &format!("\"r{n}\"")))
    };
    let _config = good(&same(2_000));
    let report = bad(&file(400));
    let found = &report.diagnostics()[0];
    assert!(found.message.starts_with("`path_regex`: expected a regular expression"), "{report}");
    let help = "with this one, all those of the listener take more than 256MiB of memory";
    assert!(found.help.starts_with(help), "{report}");
    assert!(found.source_line.starts_with("path_regex = "), "{report}");
}

#[test]
fn passwords_are_not_repeated_in_messages() {
    let text = BASE.replace("echo = true\n", "echo = true\nauth.users.a = \"hunter2\"\n");
    for found in bad(&text).diagnostics() {
        assert!(!found.message.contains("hunter2") && !found.help.contains("hunter2"), "{found:?}");
    }
}

#[test]
fn the_effective_configuration_has_the_keys_of_http_that_apply() {
    let tree: toml::Table = good(UNUSUAL).to_toml().parse().expect("TOML");
    let keys = |table: &toml::Value| table.as_table().expect("a table").clone();
    let listener = keys(&tree["listener"][1]);
    assert!(!listener.contains_key("idle_timeout") && !listener.contains_key("upstream"));
    assert_eq!(listener["keepalive_requests"].as_integer(), Some(10_000));
    assert_eq!(listener["access_log"].as_table().expect("a table").len(), 2);
    let routes = tree["listener"][0]["route"].as_array().expect("routes");
    let has = |route: usize, key: &str| keys(&routes[route]).contains_key(key);
    let all: Vec<usize> = (0..routes.len()).collect();
    let table: [(&str, &[usize]); 12] = [
        ("request_headers", &[0, 8]),
        ("prefix_rewrite", &[0, 1, 8]),
        ("path_rewrite", &[8]),
        ("index", &[1]),
        ("status", &[2, 3]),
        ("content_type", &[3]),
        ("rate_limit", &[0]),
        ("auth", &[0, 1]),
        ("total_timeout", &[0, 7, 8]),
        ("response_headers", &all),
        ("body_max", &all),
        ("compress_types", &all),
    ];
    for (key, expected) in table {
        let found: Vec<_> = all.iter().copied().filter(|route| has(*route, key)).collect();
        assert_eq!(found, expected, "{key}");
    }
    let hashed = keys(&tree["upstream"]["hashed"]);
    for key in ["request_timeout", "eject"] {
        assert!(!hashed.contains_key(key), "{key}");
    }
    assert_eq!(hashed["health"].as_table().expect("a table").len(), 8);
    assert_eq!(hashed["servers"][0]["weight"].as_integer(), Some(2));
}

#[test]
fn routes_ask_for_certificates_only_where_clients_are_asked_for_them() {
    const BARE: &str = "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n\
        [[listener.route]]\necho = true\n[listener.route.client_certificate]\n";
    const TLS: &str = "[listener.tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";
    const AUTH: &str = "client_auth = \"optional\"\nclient_ca = \"/ca\"\n";
    for (text, expected) in [
        (BARE.to_owned(), "are not asked for certificates"),
        ([BARE, TLS].concat(), "are not asked for certificates"),
        ([BARE, "subject = \"a*b*c\"\n", TLS, AUTH].concat(), "no second one"),
        ([BARE, "name = \"\"\n", TLS, AUTH].concat(), "1 to 2048"),
        ([BARE, "fingerprint = \"ab\"\n", TLS, AUTH].concat(), "64 hexadecimal digits"),
        ([BARE, "issuer = \"a\"\n", TLS, AUTH].concat(), "unknown key `issuer`"),
    ] {
        let report = bad(&text);
        assert!(report.to_string().contains(expected), "{report}");
    }
    good(&[BARE, TLS, AUTH].concat());
}

#[test]
fn all_mistakes_of_http_are_reported_in_their_order() {
    const TEXT: &str = r#"
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
idle_timeout = "1m"
upstream = "one"
[[listener.route]]
name = "same"
proxy = "two"
index = "a"
[[listener.route]]
name = "same"
path = "a"
path_regex = "["
[[listener.route]]
name = "route-4"
header.host = 1
files = ""
[[listener.route]]
proxy = "one"
[upstream.one]
servers = [{ address = "10.0.0.1:1", weight = 0, wait = 1 }]
hash_on = "source"
balance = "consistent_hash"
[upstream.one.health]
kind = "tcp"
path = "/"
"#;
    let report = bad(TEXT);
    let found = report.diagnostics().iter();
    let found: Vec<_> = found.map(|found| (found.line, found.message.as_str())).collect();
    let expected = [
        (6, "`idle_timeout` is for"),
        (7, "a listener with `protocol = \"http\"` has no upstream"),
        (10, "there is no upstream named `two`"),
        (11, "`index` is for a route with `files`"),
        (12, "this route has no action"),
        (13, "there is already a route named `same`"),
        (14, "`path`: expected a path"),
        (15, "`path_regex` stands beside `path`"),
        (15, "`path_regex`: expected a regular expression"),
        (17, "`route-4` is the name of a later route"),
        (18, "`header`: expected \"*\" or the value"),
        (19, "`files`: expected the path of a directory"),
        (23, "`weight`: expected an integer"),
        (23, "unknown key `wait`"),
        (24, "`hash_on` is for `balance = \"hash\"`"),
        (28, "`path` is for `kind = \"http\"`"),
    ];
    assert_eq!(found.len(), expected.len(), "{report}");
    for ((line, message), (expected_line, start)) in found.into_iter().zip(expected) {
        assert_eq!(line, expected_line, "{report}");
        assert!(message.starts_with(start), "{message}\n{report}");
    }
}

#[test]
fn every_status_of_grpc_but_ok_may_be_tried_again() {
    use ringway::service::grpc::Code;
    for code in Code::ALL {
        let text = WITH_CODE.replace("CODE", code.name());
        let parsed = ringway::config::parse("t.toml", &text);
        assert_eq!(parsed.is_err(), code == Code::Ok, "{code:?}");
        if let Ok(config) = parsed {
            assert_eq!(config.upstreams[0].http.retry_on.codes, [code.name()]);
        }
    }
}

const WITH_CODE: &str = r#"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
protocol = "http"
[[listener.route]]
proxy = "u"
[upstream.u]
servers = ["127.0.0.1:1"]
retry_on = ["grpc:CODE"]
"#;

//! What is known of directives that are not translated: those that Ringway does without, and what
//! to do instead of others.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::notes::Notes;
use super::parse::Directive;

/// Directives that the translators read, each of which notes what it does not take.
const TRANSLATED: &[&str] = &[
    "access_log",
    "add_header",
    "alias",
    "allow",
    "auth_basic",
    "auth_basic_user_file",
    "autoindex",
    "brotli",
    "brotli_static",
    "brotli_types",
    "client_body_timeout",
    "client_header_timeout",
    "client_max_body_size",
    "default_type",
    "deny",
    "error_page",
    "expires",
    "grpc_pass",
    "grpc_set_header",
    "gzip",
    "gzip_min_length",
    "gzip_static",
    "gzip_types",
    "hash",
    "http",
    "http2",
    "if",
    "index",
    "internal",
    "ip_hash",
    "keepalive_requests",
    "keepalive_timeout",
    "least_conn",
    "limit_conn",
    "limit_conn_zone",
    "limit_except",
    "limit_req",
    "limit_req_zone",
    "listen",
    "location",
    "log_format",
    "map",
    "max_conns",
    "merge_slashes",
    "preread_timeout",
    "proxy_connect_timeout",
    "proxy_hide_header",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_pass",
    "proxy_protocol",
    "proxy_read_timeout",
    "proxy_set_header",
    "proxy_ssl",
    "proxy_ssl_certificate",
    "proxy_ssl_certificate_key",
    "proxy_ssl_crl",
    "proxy_ssl_name",
    "proxy_ssl_server_name",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_verify",
    "proxy_timeout",
    "real_ip_header",
    "return",
    "rewrite",
    "root",
    "satisfy",
    "send_timeout",
    "server",
    "server_name",
    "set",
    "set_real_ip_from",
    "ssl",
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_client_certificate",
    "ssl_crl",
    "ssl_preread",
    "ssl_protocols",
    "ssl_reject_handshake",
    "ssl_verify_client",
    "stream",
    "try_files",
    "underscores_in_headers",
    "upstream",
    "worker_processes",
    "grpc_read_timeout",
    "grpc_connect_timeout",
];

/// Directives that Ringway needs no counterpart of.
const NEEDLESS: &[&str] = &[
    "accept_mutex",
    "aio",
    "charset",
    "charset_types",
    "chunked_transfer_encoding",
    "client_body_buffer_size",
    "client_body_temp_path",
    "client_header_buffer_size",
    "daemon",
    "debug_connection",
    "directio",
    "etag",
    "events",
    "fastcgi_buffers",
    "fastcgi_buffer_size",
    "fastcgi_index",
    "fastcgi_param",
    "fastcgi_read_timeout",
    "fastcgi_split_path_info",
    "gzip_buffers",
    "gzip_comp_level",
    "gzip_disable",
    "gzip_http_version",
    "gzip_proxied",
    "gzip_vary",
    "brotli_comp_level",
    "brotli_min_length",
    "http2_max_concurrent_streams",
    "ignore_invalid_headers",
    "keepalive",
    "keepalive_time",
    "large_client_header_buffers",
    "limit_conn_log_level",
    "limit_conn_status",
    "limit_req_log_level",
    "limit_req_status",
    "lingering_close",
    "lingering_time",
    "lingering_timeout",
    "load_module",
    "lock_file",
    "log_not_found",
    "map_hash_bucket_size",
    "map_hash_max_size",
    "master_process",
    "multi_accept",
    "open_file_cache",
    "open_file_cache_errors",
    "open_file_cache_min_uses",
    "open_file_cache_valid",
    "output_buffers",
    "pcre_jit",
    "pid",
    "port_in_redirect",
    "postpone_output",
    "proxy_buffer_size",
    "proxy_buffering",
    "proxy_buffers",
    "proxy_busy_buffers_size",
    "proxy_headers_hash_bucket_size",
    "proxy_headers_hash_max_size",
    "proxy_http_version",
    "proxy_max_temp_file_size",
    "proxy_request_buffering",
    "proxy_socket_keepalive",
    "proxy_ssl_protocols",
    "proxy_ssl_session_reuse",
    "proxy_temp_file_write_size",
    "proxy_temp_path",
    "random_index",
    "real_ip_recursive",
    "reset_timedout_connection",
    "resolver",
    "resolver_timeout",
    "sendfile",
    "sendfile_max_chunk",
    "server_name_in_redirect",
    "server_names_hash_bucket_size",
    "server_names_hash_max_size",
    "server_tokens",
    "ssl_buffer_size",
    "ssl_conf_command",
    "ssl_dhparam",
    "ssl_early_data",
    "ssl_ecdh_curve",
    "ssl_handshake_timeout",
    "ssl_prefer_server_ciphers",
    "ssl_session_cache",
    "ssl_session_ticket_key",
    "ssl_session_tickets",
    "ssl_session_timeout",
    "ssl_trusted_certificate",
    "ssl_verify_depth",
    "state",
    "tcp_nodelay",
    "tcp_nopush",
    "timer_resolution",
    "types_hash_bucket_size",
    "types_hash_max_size",
    "use",
    "user",
    "variables_hash_bucket_size",
    "variables_hash_max_size",
    "worker_aio_requests",
    "worker_connections",
    "worker_cpu_affinity",
    "worker_priority",
    "worker_rlimit_core",
    "worker_rlimit_nofile",
    "worker_shutdown_timeout",
    "working_directory",
    "zone",
    "access_log_off",
    "absolute_redirect",
    "grpc_buffer_size",
    "uwsgi_param",
    "scgi_param",
];

/// What to do instead of directives that have no counterpart, by the beginning of their names.
const INSTEAD: &[(&str, &str)] = &[
    ("error_log", "the log goes to standard error; [log] has its level"),
    ("types", "well-known content types are built in; `content_types` of a route adds others"),
    ("geo", "there is no geo; [networks] names lists of addresses for `allow` and `deny`"),
    ("split_clients", "there is no split of clients; weights of servers split requests"),
    ("ssl_ciphers", "the suites of Ringway's TLS are all strong; `cipher_suites` restricts them"),
    ("ssl_stapling", "answers of OCSP are read from files: `ocsp` in [listener.tls]"),
    ("proxy_cache", "there is no cache of answers"),
    ("proxy_no_cache", "there is no cache of answers"),
    ("fastcgi_cache", "there is no cache of answers"),
    (
        "proxy_redirect",
        "fields `location` of servers pass as they are; let the server know its URL",
    ),
    ("proxy_cookie_", "cookies of servers pass as they are"),
    ("proxy_intercept_errors", "answers of servers pass as they are, errors too"),
    ("proxy_send_timeout", "`first_byte_timeout` of the upstream bounds this, too"),
    ("proxy_bind", "servers are connected to from any address"),
    ("proxy_method", "methods pass as they are"),
    ("proxy_pass_header", "all fields of servers pass, unless `response_headers` removes them"),
    ("proxy_ignore_headers", "fields of servers have no meaning for Ringway"),
    ("proxy_ignore_client_abort", "`half_close = \"allow\"` goes on for clients that end"),
    ("proxy_responses", "flows of UDP end by `flow_timeout`"),
    ("proxy_requests", "flows of UDP end by `flow_timeout`"),
    ("proxy_ssl_ciphers", "`cipher_suites` in the table `tls` of the upstream restricts them"),
    ("sub_filter", "bodies pass as they are"),
    ("ssi", "bodies pass as they are"),
    ("addition", "bodies pass as they are"),
    ("mirror", "requests are not sent to a second server"),
    ("limit_rate", "there is no limit of bytes per second"),
    ("disable_symlinks", "links are not followed unless `symlinks = \"beneath\"`"),
    ("stub_status", "metrics are at the admin interface: http://127.0.0.1:9901/metrics"),
    ("fastcgi_pass", "there is no FastCGI: serve it by HTTP, as with a PHP server, and `proxy`"),
    ("uwsgi_pass", "there is no uwsgi: let it speak HTTP (http-socket), and `proxy`"),
    ("scgi_pass", "there is no SCGI: let the program speak HTTP, and `proxy`"),
    ("memcached_pass", "there is no client of memcached"),
    ("dav_", "there is no WebDAV"),
    ("mp4", "there is no streaming of media"),
    ("flv", "there is no streaming of media"),
    (
        "sticky",
        "`balance = \"hash\"` with `hash_on = \"cookie:NAME\"` keeps a client on its server",
    ),
    ("random", "`balance` is round_robin here; \"ewma\" chooses the faster of two at random"),
    ("slow_start", "`slow_start` of the upstream holds for all of its servers"),
    ("health_check", "[upstream.NAME.health] has active checks"),
    ("ssl_crl", "`client_crl` in [listener.tls] has revoked certificates"),
    ("recursive_error_pages", "an error page is a file"),
    ("env", "variables of the environment are written as ${NAME} in texts"),
    ("thread_pool", "files are read by the ring"),
    ("mail", "there is no proxy of mail"),
    ("include", "the file could not be read; it has ciphers and caches only"),
    ("content_by_lua", "there is no Lua: write a handler (docs/handlers.md)"),
    ("js_", "there is no JavaScript: write a handler (docs/handlers.md)"),
    ("perl", "there is no Perl: write a handler (docs/handlers.md)"),
    ("lua_", "there is no Lua: write a handler (docs/handlers.md)"),
    ("quic", "there is no HTTP/3"),
    ("http3", "there is no HTTP/3"),
    ("valid_referers", "the field `referer` is not compared"),
    ("opentracing", "requests have an identity: `request_id_header`"),
    ("otel_", "requests have an identity: `request_id_header`"),
];

/// Directives that refuse requests, by the beginning of their names. What is within them is closed.
const CLOSING: &[&str] = &[
    "access_by_lua",
    "rewrite_by_lua",
    "server_rewrite_by_lua",
    "preread_by_lua",
    "auth_request",
    "auth_jwt",
    "auth_oidc",
    "auth_digest",
    "auth_pam",
    "auth_ldap",
    "auth_spnego",
    "auth_gss",
    "auth_delay",
    "js_access",
    "secure_link",
    "require",
    "geoip2_proxy",
    "naxsi",
    "SecRulesEnabled",
    "captcha",
    "testcookie",
];

/// Words in the names of directives that are not known and may refuse requests, in lower case.
const GUARDS: &[&str] = &["auth", "access", "deny", "secure", "waf", "captcha", "jwt", "oidc"];

/// Directives with such words that refuse nothing themselves, by the beginning of their names.
const HARMLESS: &[&str] = &["auth_request_set", "auth_http", "proxy_store_", "fastcgi_store_"];

static TRANSLATED_SET: LazyLock<HashSet<&str>> =
    LazyLock::new(|| TRANSLATED.iter().chain(NEEDLESS).copied().collect());

/// Whether a directive refuses requests in a way that is not translated (`true`), or takes that
/// back for its block (`false`).
pub(super) fn closing(directive: &Directive) -> Option<bool> {
    let name = directive.name.as_str();
    let is_off = directive.arg(0) == "off";
    // Without the fields of clients, servers believe those that nginx sends.
    if name == "proxy_pass_request_headers" {
        return Some(is_off);
    }
    let begins = |start: &&str| name.starts_with(*start);
    if HARMLESS.iter().any(begins) {
        return None;
    }
    let is_known = || TRANSLATED_SET.contains(name) || instead(name).is_some();
    let may_guard = || {
        let lower = name.to_ascii_lowercase();
        GUARDS.iter().any(|word| lower.contains(word))
    };
    let is_guard =
        name == "modsecurity" || CLOSING.iter().any(begins) || !is_known() && may_guard();
    is_guard.then_some(!is_off)
}

/// Whether some of these directives refuses requests in a way that is not translated.
pub(super) fn has_closing(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| closing(directive) == Some(true))
}

/// What to do instead of a directive.
fn instead(name: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(start, _)| name.starts_with(start)).map(|(_, why)| *why)
}

/// Notes all directives that nothing translates, blocks within blocks among them.
pub(super) fn note_unknown(directives: &[Directive], notes: &mut Notes) {
    for directive in directives {
        note_one(directive, notes);
        // Depth is bounded by the parser. What is within an unknown block is part of it.
        if matches!(directive.name.as_str(), "http" | "stream" | "server" | "location" | "upstream")
        {
            note_unknown(directive.inner(), notes);
        }
    }
}

fn note_one(directive: &Directive, notes: &mut Notes) {
    const RULES: &[&str] = &["limit", "modsecurity", "SecRules", "BasicRule", "CheckRule"];
    let name = directive.name.as_str();
    if closing(directive) == Some(true) {
        let why = "access is not checked in this way; what it guards answers 403 here";
        return notes.security(&directive.at, name, why);
    }
    if TRANSLATED_SET.contains(name) {
        return;
    }
    // What is off is not missed, but for what nginx does of itself.
    if directive.arg(0) == "off" && !name.starts_with("proxy_pass_request") {
        return;
    }
    let unknown = "is not known here, and was left out";
    match instead(name) {
        Some(why) => notes.add(&directive.at, name, why),
        None if RULES.iter().any(|word| name.contains(word)) => {
            notes.security(&directive.at, name, unknown);
        }
        None => notes.add(&directive.at, name, unknown),
    }
}

//! What is known of keywords that are not translated.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::notes::Notes;
use super::parse::Line;
use super::proxy::Proxy;

/// Keywords that the translators read, each of which notes what it does not take.
const TRANSLATED: &[&str] = &[
    "acl",
    "backlog",
    "balance",
    "bind",
    "compression",
    "cookie",
    "default-server",
    "default_backend",
    "hash-type",
    "http-check",
    "http-request",
    "http-response",
    "maxconn",
    "mode",
    "monitor-uri",
    "redirect",
    "reqadd",
    "retries",
    "retry-on",
    "server",
    "stats",
    "stick-table",
    "tcp-request",
    "timeout",
    "use_backend",
    "http-after-response",
];

/// Keywords that Ringway needs no counterpart of.
const NEEDLESS: &[&str] = &[
    "description",
    "disabled",
    "enabled",
    "fullconn",
    "hash-balance-factor",
    "http-reuse",
    "id",
    "load-server-state-from-file",
    "log-steps",
    "log-tag",
    "max-keep-alive-queue",
    "bind-process",
    "option",
    "no",
    "unique-id-format",
    "tcp-check",
    "guid",
    "retry-on",
    "clitimeout",
    "contimeout",
    "srvtimeout",
    "dispatch-none",
];

/// Options that Ringway needs no counterpart of, or that are translated.
const OPTIONS: &[&str] = &[
    "abortonclose",
    "accept-invalid-http-request",
    "allbackups",
    "checkcache-none",
    "clitcpka",
    "contstats",
    "dontlog-normal",
    "dontlognull",
    "forceclose",
    "forwardfor",
    "forwarded",
    "http-buffer-request",
    "http-keep-alive",
    "http-no-delay",
    "http-pretend-keepalive",
    "http-server-close",
    "http-tunnel",
    "http-use-htx",
    "httpchk",
    "httpclose",
    "idle-close-on-response",
    "independent-streams",
    "log-health-checks",
    "log-separate-errors",
    "logasap",
    "nolinger",
    "persist",
    "prefer-last-server",
    "redispatch",
    "socket-stats",
    "splice-auto",
    "splice-request",
    "splice-response",
    "srvtcpka",
    "ssl-hello-chk",
    "tcp-check",
    "tcp-smart-accept",
    "tcp-smart-connect",
    "tcpka",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "smtpchk",
    "ldap-check",
    "external-check",
    "http-ignore-probes",
    "disable-h2-upgrade",
];

const OPTIONS_INSTEAD: &[(&str, &str)] = &[
    ("httplog", "[listener.access_log] writes a line for each request"),
    ("tcplog", "`access = true` in [log] writes a line for each connection"),
    ("http_proxy", "there is no forward proxy"),
    ("transparent", "servers are connected to from any address"),
    ("originalto", "the address that was asked is not passed on"),
    ("h1-case-adjust-bogus-client", "names of fields are in lower case"),
    ("h1-case-adjust-bogus-server", "names of fields are in lower case"),
];

const INSTEAD: &[(&str, &str)] = &[
    ("log", "the log goes to standard error, and [listener.access_log] to a file"),
    ("log-format", "[listener.access_log] has a template"),
    ("log-format-sd", "[listener.access_log] has a template"),
    ("error-log-format", "[listener.access_log] has a template"),
    ("capture", "a template of the access log has fields of its own"),
    ("declare", "a template of the access log has fields of its own"),
    ("errorfile", "Ringway has pages of its own for failures"),
    ("errorfiles", "Ringway has pages of its own for failures"),
    ("errorloc", "Ringway has pages of its own for failures"),
    ("errorloc302", "Ringway has pages of its own for failures"),
    ("errorloc303", "Ringway has pages of its own for failures"),
    ("http-error", "Ringway has pages of its own for failures"),
    ("stick", "`balance = \"source_hash\"`, or \"hash\" with `hash_on`, keeps clients on a server"),
    ("appsession", "`hash_on = \"cookie:NAME\"` keeps clients on a server"),
    ("server-template", "write the servers out: names are resolved once, at the start"),
    ("use-server", "an upstream of its own for the server, and a route to it"),
    ("source", "servers are connected to from any address"),
    ("monitor", "checks of Ringway itself: http://127.0.0.1:9901/healthz"),
    ("monitor-net", "checks of Ringway itself: http://127.0.0.1:9901/healthz"),
    ("email-alert", "alerts come of metrics: http://127.0.0.1:9901/metrics"),
    ("grace", "`shutdown_timeout` in [runtime]"),
    ("unique-id-header", "requests have an identity: `request_id_header`"),
    ("force-persist", "there is no persistence by cookie"),
    ("ignore-persist", "there is no persistence by cookie"),
    ("dispatch", "write the address as a server"),
    ("external-check", "checks are made by Ringway itself: [upstream.NAME.health]"),
    ("tcp-response", "answers of servers pass as they are"),
    ("use-fcgi-app", "there is no FastCGI"),
    ("persist", "there is no persistence"),
];

const GLOBAL: &[&str] = &[
    "chroot",
    "user",
    "group",
    "uid",
    "gid",
    "daemon",
    "master-worker",
    "maxconn",
    "pidfile",
    "nbproc",
    "cpu-map",
    "ca-base",
    "crt-base",
    "maxpipes",
    "maxsslconn",
    "maxsslrate",
    "ssl-dh-param-file",
    "ulimit-n",
    "node",
    "description",
    "quiet",
    "hard-stop-after",
    "spread-checks",
    "insecure-fork-wanted",
    "unix-bind",
    "localpeer",
    "lua-load",
    "presetenv",
    "resetenv",
    "setenv",
    "unsetenv",
    "server-state-base",
    "server-state-file",
    "ssl-engine",
    "thread-groups",
    "numa-cpu-mapping",
    "no",
    "stats",
    "noepoll",
    "external-check",
    "log-send-hostname",
    "log-tag",
    "expose-experimental-directives",
    "fd-hard-limit",
    "strict-limits",
    "set-dumpable",
    "busy-polling",
    "max-spread-checks",
    "h1-case-adjust",
    "zero-warning",
    "profiling.tasks",
    "mworker-max-reloads",
    "httpclient.resolvers.prefer",
    "ssl-default-bind-options",
    "ssl-default-server-options",
    "ssl-server-verify",
    "ssl-load-extra-files",
    "nbthread",
];

static KNOWN: LazyLock<HashSet<&str>> =
    LazyLock::new(|| TRANSLATED.iter().chain(NEEDLESS).copied().collect());

/// Notes all lines of a section that nothing translates.
pub(super) fn note_unknown(notes: &mut Notes, proxy: &Proxy<'_>) {
    const GUARDS: &[&str] = &["filter", "limit", "block", "deny", "tarpit", "allow"];
    for line in &proxy.section.lines {
        match line.word(0) {
            "option" => option(notes, line),
            word if KNOWN.contains(word) => {}
            word => match INSTEAD.iter().find(|(own, _)| *own == word) {
                Some((_, why)) => notes.add(&line.at, word, *why),
                None if GUARDS.iter().any(|own| word.contains(own)) => {
                    notes.security(&line.at, &line.shown(2), "is not known here, and was left out");
                }
                None => notes.add(&line.at, word, "is not known here, and was left out"),
            },
        }
    }
}

fn option(notes: &mut Notes, line: &Line) {
    let name = line.word(1);
    if OPTIONS.contains(&name) {
        return;
    }
    let found = OPTIONS_INSTEAD.iter().find(|(own, _)| *own == name);
    let why = found.map_or("is not known here, and was left out", |(_, why)| why);
    notes.add(&line.at, &line.shown(2), why);
}

pub(super) fn note_global(notes: &mut Notes, line: &Line, name: &str) {
    if GLOBAL.contains(&name) || name.starts_with("tune.") || name.starts_with("ssl-default") {
        return;
    }
    notes.add(&line.at, name, "is not known here, and was left out");
}

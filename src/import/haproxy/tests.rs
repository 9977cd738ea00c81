//! Single lines: what stands in the text, and what in the notes.

use super::haproxy;

/// The text and the notes of a frontend and a backend with some lines.
fn translated(frontend: &str, backend: &str) -> (String, String) {
    let lines = |text: &str| text.replace(';', "\n  ");
    let text = format!(
        "defaults\n  mode http\nuserlist staff\n  user a password $5$x$y\n\
         frontend f\n  bind :80\n  {}\n  default_backend b\n\
         backend b\n  {}\n  server s 10.0.0.1:80\nbackend c\n  server s 10.0.0.2:80\n",
        lines(frontend),
        lines(backend)
    );
    let imported = haproxy("t", &text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    (imported.toml, notes.join("\n"))
}

#[test]
fn lines_become_keys() {
    let table: &[(&str, &str, &str)] = &[
        ("maxconn 500", "", "max_connections = 500"),
        ("timeout client 5s", "", "body_timeout = \"5s\"\nwrite_timeout = \"5s\""),
        ("option abortonclose", "", "half_close = \"refuse\""),
        ("monitor-uri /up", "", "path = \"/up\"\nrespond = \"OK\\n\""),
        (
            "redirect scheme https code 301 if !{ ssl_fc }",
            "",
            "redirect = \"https://$host$target\"\nstatus = 301",
        ),
        (
            "http-request redirect prefix https://a.example if { hdr(host) b }",
            "",
            "host = \"b\"\nredirect = \"https://a.example$target\"",
        ),
        (
            "http-request deny if { path_beg /x/ }",
            "",
            "path_prefix = \"/x/\"\nrespond = \"Forbidden\\n\"",
        ),
        (
            "http-request deny if { path_beg /x }",
            "",
            "path_regex = \"^/x\"\nrespond = \"Forbidden\\n\"",
        ),
        ("http-request deny if { src 10.0.0.1 }", "", "deny = [\"10.0.0.1\"]"),
        (
            "http-request deny if { path /x } !{ src 10.0.0.1 }",
            "",
            "path = \"/x\"\nproxy = \"b\"\nallow = [\"10.0.0.1\"]",
        ),
        (
            "http-request deny unless { hdr(host) a.example }",
            "",
            "host = \"a.example\"\nproxy = \"b\"",
        ),
        ("tcp-request connection reject if { src 10.0.0.0/8 }", "", "deny = [\"10.0.0.0/8\"]"),
        ("http-request return status 204", "", "respond = \"\"\nstatus = 204"),
        ("use_backend c if { hdr(host) -i A.example }", "", "host = \"a.example\"\nproxy = \"c\""),
        ("use_backend c if { path_end .css }", "", "path_regex = '\\.css$'\nproxy = \"c\""),
        ("http-request set-header X-A %[src]", "", "set = { x-a = \"$source\" }"),
        ("http-response del-header X-A", "", "remove = [\"x-a\"]"),
        ("", "http-request set-header Host a.example", "set = { host = \"a.example\" }"),
        ("", "balance leastconn", "balance = \"least_requests\""),
        ("", "balance hdr(X-A)", "hash_on = \"header:x-a\""),
        (
            "",
            "timeout connect 2s;timeout queue 7s",
            "connect_timeout = \"2s\"\npool_queue_timeout = \"7s\"",
        ),
        ("", "retries 2", "retries = 2"),
        (
            "",
            "option httpchk GET /up;default-server check inter 5s",
            "path = \"/up\"\nstatus = [\"200-399\"]\ninterval = \"5s\"",
        ),
        ("", "default-server check", "[upstream.b.health]\nkind = \"tcp\""),
        ("", "default-server ssl verify none", "[upstream.b.tls]\nverify = false"),
        ("", "default-server backup", "priority = 1"),
        ("", "default-server maxconn 30", "pool_max = 30"),
        ("", "http-request auth unless { http_auth(staff) }", "users = { a = \"$5$x$y\" }"),
        ("", "compression algo gzip", "compress = true"),
        ("use_backend c if { path_beg /api/ }", "", "path_prefix = \"/api/\"\nproxy = \"c\""),
    ];
    for (frontend, backend, expected) in table {
        let (toml, notes) = translated(frontend, backend);
        assert!(toml.contains(expected), "{frontend}|{backend}\n{toml}\n{notes}");
        assert!(!notes.contains("SECURITY"), "{frontend}|{backend}\n{notes}");
    }
}

/// What guards something is kept or closes it, and is told.
#[test]
fn access_rules_that_are_lost_close_their_routes() {
    let table = [
        ("http-request deny if { hdr_sub(user-agent) bot }", ""),
        ("http-request deny if unknown", ""),
        ("http-request deny if { src -f /etc/list }", ""),
        ("http-request deny if !{ path_beg /x }", ""),
        ("tcp-request connection reject if { src_conn_rate gt 10 }", ""),
        ("http-request deny if { src 10.0.0.1 } { src 10.0.0.2 }", ""),
        ("reqdeny ^x", ""),
        ("http-request lua.check", ""),
        ("", "http-request deny if { sc_http_req_rate(0) gt 5 }"),
        ("", "http-request auth unless { http_auth(nobody) }"),
        ("", "tcp-request content reject if { src 10.0.0.1 }"),
    ];
    for (frontend, backend) in table {
        let (toml, notes) = translated(frontend, backend);
        assert!(notes.contains("SECURITY"), "{frontend}|{backend}\n{toml}\n{notes}");
        assert!(toml.contains("status = 403"), "{frontend}|{backend}\n{toml}");
        assert!(!toml.contains("proxy ="), "{frontend}|{backend}\n{toml}");
    }
    // Rules of defaults are rules of all.
    let text = "defaults\nmode http\nhttp-request deny if { path /x }\nfrontend f\nbind :80\n\
                default_backend b\nbackend b\nserver s a:80\n";
    let toml = haproxy("t", text).expect("a text").toml;
    assert_eq!(toml.matches("path = \"/x\"\nrespond").count(), 1, "{toml}");
    // A listener of TCP with such a rule is left out.
    let text =
        "listen l\nbind :1\ntcp-request connection reject if !{ src 10.0.0.0/8 }\nserver s a:1\n";
    let imported = haproxy("t", text).expect("a text");
    assert!(!imported.toml.contains("[[listener]]"), "{}", imported.toml);
    assert!(imported.notes.iter().any(super::super::Note::is_security));
}

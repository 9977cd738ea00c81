//! Single lines: what stands in the text, and what in the notes.

use super::haproxy;

/// The text and the notes of a frontend and a backend with some lines.
fn translated(frontend: &str, backend: &str) -> (String, String) {
    let lines = |text: &str| text.replace(';', "\n  ");
    let text = format!(
        "defaults\n  mode http\nuserlist staff\n  user a password $5$x$y\n\
         frontend f\n  bind :80\n  {}\n  default_backend b\n\
         backend b\n  {}\n  server s 10.0.0.1:80\nbackend c\n  server s 10.0.0.2:80\n\
         backend none\nbackend refuses\n  http-request deny if {{ path_beg /x }}\n  \
         server s a:80\n",
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
        // Refusals by other words.
        ("http-request return status 403 if { src -f /etc/list }", ""),
        ("http-request return status 401 if { query -m found }", ""),
        ("http-request return status 200 if { query -m found }", ""),
        ("http-request redirect location /login unless { req.cook(auth) -m found }", ""),
        ("redirect location /login unless { req.cook(auth) -m found }", ""),
        ("http-request use-service lua.x if { query -m found }", ""),
        ("use_backend none if { src -f /etc/list }", ""),
        ("use_backend refuses if { src -f /etc/list }", ""),
        ("use_backend refuses if { src 10.0.0.1 }", ""),
        ("use_backend refuses if { hdr(x-a) v }", ""),
        ("use_backend %[req.hdr(x)]", ""),
        // Parts between commas are not compared.
        ("http-request deny if { hdr(x-a) v }", ""),
        ("http-request auth if { hdr(x-a) v }", ""),
        ("http-request deny if { path_reg ^/\\w[{] }", ""),
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
}

#[test]
fn access_rules_of_some_requests_guard_these() {
    let part = "http-request return status 403 if { path_beg /a } !{ src 10.0.0.1 }";
    let (toml, notes) = translated(part, "");
    assert!(toml.contains("path_regex = \"^/a\"\nproxy = \"b\"\nallow = [\"10.0.0.1\"]"), "{toml}");
    assert!(!notes.contains("SECURITY"), "{notes}");
    let part =
        "http-request redirect location https://a.example/ if { path_beg /b } !{ src 10.0.0.1 }";
    let (toml, notes) = translated(part, "");
    assert!(toml.contains("path_regex = \"^/b\"\nrespond = \"Forbidden\\n\""), "{toml}");
    assert!(notes.contains("SECURITY"), "{notes}");
    // A field that is set for some clients is one that no client may send.
    for edit in ["set-header User-Role x", "del-header User-Role", "set-header user-role file:x"] {
        let (toml, notes) = translated(&format!("http-request {edit} if {{ src 10.0.0.1 }}"), "");
        assert!(toml.contains("remove = [\"user-role\"]"), "{edit}\n{toml}");
        assert!(notes.contains("SECURITY"), "{edit}\n{notes}");
    }
    let (toml, notes) = translated("http-request set-header User-Role file:x", "");
    assert!(toml.contains("remove = [\"user-role\"]") && notes.contains("SECURITY"), "{toml}");
}

#[test]
fn access_rules_of_others_are_kept() {
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
    // So is one that leads some clients to a backend that refuses them.
    for asked in ["{ src 10.0.0.1 }", "{ req.ssl_sni a.example }"] {
        let text = format!(
            "frontend f\nbind :1\ntcp-request inspect-delay 5s\nuse_backend none if {asked}\n\
             default_backend b\nbackend b\nserver s a:1\nbackend none\n"
        );
        let imported = haproxy("t", &text).expect("a text");
        assert!(!imported.toml.contains("[[listener]]"), "{}", imported.toml);
        assert!(imported.notes.iter().any(super::super::Note::is_security));
    }
}

//! Single directives: what stands in the text, and what in the notes.

use super::nginx;

/// The text and the notes of a server with some directives, and of what stands around it.
fn translated(around: &str, server: &str) -> (String, String) {
    let text = format!("{around}\nserver {{ listen 80; {server} }}");
    let include = |_: &str| Err("there is no such file".to_owned());
    let imported = nginx("t", &text, &include).unwrap_or_else(|error| panic!("{text}: {error}"));
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    (imported.toml, notes.join("\n"))
}

#[test]
fn directives_become_keys() {
    let table: &[(&str, &str)] = &[
        ("location / { return 200 \"ok\\n\"; }", "respond = \"ok\\n\"\n"),
        (
            "return 301 https://$host$request_uri;",
            "redirect = \"https://$host$target\"\nstatus = 301",
        ),
        ("return https://a.example/x;", "redirect = \"https://a.example/x\"\n"),
        ("return 410;", "respond = \"Gone\\n\"\nstatus = 410"),
        ("return 444;", "respond = \"\"\nstatus = 403"),
        ("root /srv/www;", "files = \"/srv/www\"\n"),
        ("root /srv/www/; autoindex on;", "files = \"/srv/www\"\nlisting = true"),
        ("root /a; index index.html;", "files = \"/a\"\n"),
        ("root /a; index a.html b.html;", "index = [\"a.html\", \"b.html\"]"),
        ("location / { root /a; try_files $uri $uri/ =404; }", "files = \"/a\"\n"),
        ("location / { root /a; try_files $uri /i.html; }", "try_files = [\"$path\", \"/i.html\"]"),
        (
            "location /s/ { alias /a/; }",
            "path_prefix = \"/s/\"\nfiles = \"/a\"\nprefix_rewrite = \"/\"",
        ),
        ("location = /f { alias /a/b.txt; }", "files = \"/a\"\ntry_files = [\"/b.txt\"]"),
        (
            "location ~ ^/d/(.*)$ { alias /a/x/$1; }",
            "path_regex = \"^/d/(.*)$\"\nfiles = \"/a/x\"\npath_rewrite = \"/$1\"",
        ),
        ("location / { proxy_pass http://10.0.0.1:81; }", "servers = [\"10.0.0.1:81\"]"),
        (
            "location / { proxy_pass http://unix:/run/a.sock:/; }",
            "servers = [\"unix:/run/a.sock\"]",
        ),
        ("location /a/ { proxy_pass http://u/b/; }", "proxy = \"u\"\nprefix_rewrite = \"/b/\""),
        ("location /a/ { proxy_pass http://u/a/; }", "path_prefix = \"/a/\"\nproxy = \"u\"\n"),
        (
            "location = /a { proxy_pass http://u/b; }",
            "path_regex = \"^/a$\"\nproxy = \"u\"\npath_rewrite = \"/b\"",
        ),
        (
            "location / { proxy_pass https://a.example; }",
            "host_header = \"a.example\"\n[upstream.a.tls]",
        ),
        ("location / { grpc_pass grpc://u; }", "protocol = \"http2\""),
        ("set $b http://10.9.9.9:1; location / { proxy_pass $b; }", "servers = [\"10.9.9.9:1\"]"),
        (
            "location / { proxy_pass http://u; proxy_set_header X-A \"\"; \
             proxy_set_header X-B $remote_addr; }",
            "remove = [\"x-a\"]\nset = { x-b = \"$source\" }",
        ),
        (
            "rewrite ^(/.*)$ https://b.example$1 permanent; root /a;",
            "redirect = \"https://b.example$target\"\nstatus = 301",
        ),
        ("rewrite ^/a(.*)$ https://b.example$1 permanent; root /a;", "status = 404"),
        ("rewrite ^/a/(.*)$ /b/$1 permanent; root /a;", "redirect = \"/b/$1$query\"\nstatus = 301"),
        (
            "rewrite ^ https://a.example$request_uri? redirect;",
            "redirect = \"https://a.example$target\"",
        ),
        (
            "location /a/ { rewrite ^/a/(.*)$ /$1 break; proxy_pass http://u; }",
            "path_prefix = \"/a/\"\nproxy = \"u\"\nprefix_rewrite = \"/\"",
        ),
        ("location / { root /a; expires 1h; }", "cache_control = \"max-age=3600\""),
        ("root /a; gzip_static on; brotli_static on;", "precompressed = [\"br\", \"gzip\"]"),
        ("root /a; client_max_body_size 0;", "body_max = \"off\""),
        ("root /a; error_page 404 /404.html;", "error_pages = { 404 = \"/404.html\" }"),
        ("root /a; auth_basic x; auth_basic_user_file /u;", "realm = \"x\"\nusers_file = \"/u\""),
        ("root /a; allow 10.1.2.3/8; deny all;", "allow = [\"10.0.0.0/8\"]"),
        ("root /a; deny 10.0.0.1;", "deny = [\"10.0.0.1\"]"),
        ("root /a; limit_req zone=z burst=4;", "rate = 7\nburst = 5"),
        ("root /a; access_log /l combined;", "[listener.access_log]\npath = \"/l\""),
        ("root /a; access_log /l f;", "template = \"$source $status\""),
        ("root /a; keepalive_timeout 10s;", "keepalive_timeout = \"10s\""),
        ("root /a; server_name a.example;", "# a.example\n"),
        (
            "if ($host = b.example) { return 301 https://a.example; } root /a;",
            "host = \"b.example\"\n",
        ),
        ("if ($request_method = POST) { return 405; } root /a;", "method = \"POST\"\n"),
        (
            "if ($scheme = http) { return 301 https://$host; } root /a;",
            "redirect = \"https://$host\"",
        ),
    ];
    let around = "limit_req_zone $remote_addr zone=z:1m rate=7r/s;\n\
                  log_format f '$remote_addr $status';\n\
                  upstream u { server 10.0.0.1; }";
    for (server, expected) in table {
        let (toml, notes) = translated(around, server);
        assert!(toml.contains(expected), "{server}\n{toml}\n{notes}");
        assert!(!notes.contains("SECURITY"), "{server}\n{notes}");
    }
}

#[test]
fn upstreams_become_tables() {
    let table: &[(&str, &str)] = &[
        ("server a:1; server b:2 weight=3;", "\"a:1\",\n    { address = \"b:2\", weight = 3 },"),
        ("server a; server b backup;", "{ address = \"b:80\", priority = 1 }"),
        ("server a; least_conn;", "balance = \"least_requests\""),
        ("server a; ip_hash;", "balance = \"source_hash\""),
        ("server a; hash $request_uri consistent;", "balance = \"hash\"\nhash_on = \"path\""),
        ("server a; hash $http_x_user;", "hash_on = \"header:x-user\""),
        (
            "server a max_fails=5 fail_timeout=1m;",
            "consecutive_connect_failures = 5\ntime = \"60s\"",
        ),
        ("server a max_conns=10; server b max_conns=10;", "requests_max = 20"),
        ("server a; keepalive 16; zone x 64k;", "servers = [\"a:80\"]\n"),
    ];
    for (inner, expected) in table {
        let around = format!("upstream u {{ {inner} }}");
        let (toml, notes) = translated(&around, "location / { proxy_pass http://u; }");
        assert!(toml.contains(expected), "{inner}\n{toml}\n{notes}");
    }
}

/// What guards something is kept or closes it, and is told.
#[test]
fn access_rules_that_are_lost_close_their_routes() {
    let table = [
        "location / { auth_request /a; proxy_pass http://u; }",
        "auth_request /a; location / { proxy_pass http://u; }",
        "location / { access_by_lua_block { if x then y { } end } proxy_pass http://u; }",
        "location / { if ($http_user_agent ~ bot) { return 403; } proxy_pass http://u; }",
        "if ($bad) { return 444; } location / { proxy_pass http://u; }",
        "location / { satisfy any; allow 10.0.0.1; deny all; auth_basic x; \
         auth_basic_user_file /u; proxy_pass http://u; }",
        "location / { auth_basic x; proxy_pass http://u; }",
        "location / { allow 10.0.0.0/8; deny 10.0.0.1; deny all; proxy_pass http://u; }",
        "location / { proxy_pass http://u; } location ~ ^/(?=a) { deny all; }",
        "location / { secure_link $arg_x; proxy_pass http://u; }",
        // What a block around a location says holds within it, too.
        "location /a/ { auth_request /x; proxy_pass http://u; location /a/b/ { proxy_pass \
         http://u; } location ~ ^/a/c { proxy_pass http://u; } }",
        "location / { modsecurity on; proxy_pass http://u; }",
        "location / { SecRulesEnabled; proxy_pass http://u; }",
        "location / { some_auth on; proxy_pass http://u; }",
        "location / { proxy_pass_request_headers off; proxy_pass http://u; }",
        // A named location has rules of its own.
        "location /d/ { try_files $uri @app; } location @app { auth_request /x; \
         proxy_pass http://u; } root /r;",
        "location /d/ { try_files $uri @app; } location @app { if ($cookie_x = \"\") { \
         return 403; } proxy_pass http://u; } root /r;",
        "location / { satisfy any; allow 10.0.0.0/8; deny all; auth_basic x; \
         auth_basic_user_file /u; try_files $uri @app; } location @app { satisfy all; \
         proxy_pass http://u; } root /r;",
        "location / { allow 10.0.0.0/8; deny all; try_files $uri @app; } \
         location @app { allow 10.1.0.0/16; deny all; proxy_pass http://u; } root /r;",
        // A guarded location of which the expression is lost.
        "auth_basic x; auth_basic_user_file f; location / { auth_basic off; proxy_pass http://u; } \
         location ~ ^/(?=adm)admin { proxy_pass http://u; }",
        "location / { proxy_pass http://u; } location ~ ^/(?=a) { location /a { deny all; } }",
        "location / { proxy_pass http://u; } location ~ /a { proxy_pass http://u; \
         location /a/b { deny all; } }",
        // What a condition keeps from a server.
        "location / { if ($cookie_a = \"\") { return 302 /login; } proxy_pass http://u; }",
        "location / { if ($cookie_a = \"\") { rewrite ^ /login redirect; } proxy_pass http://u; }",
        "location / { if ($cookie_a = \"\") { rewrite ^ /no last; } proxy_pass http://u; }",
        "if ($request_uri ~* \"(union.*select|\\?cmd=)\") { return 403; } \
         location / { proxy_pass http://u; }",
        "server_name a.example b.example; if ($server_name = a.example) { return 403; } \
         location / { proxy_pass http://u; }",
    ];
    for server in table {
        let (toml, notes) = translated("upstream u { server 10.0.0.1; }", server);
        assert!(notes.contains("SECURITY"), "{server}\n{toml}\n{notes}");
        assert!(toml.contains("status = 403"), "{server}\n{toml}");
        assert!(!toml.contains("proxy ="), "{server}\n{toml}");
    }
    // Rules that nothing is told of.
    let (toml, notes) = translated("", "location / { deny all; root /a; }");
    assert!(toml.contains("status = 403") && !toml.contains("files"), "{toml}\n{notes}");
    // The source of a program is not given as a file.
    let (toml, _) = translated("", "root /a; location ~ \\.php$ { fastcgi_pass x; }");
    assert!(toml.contains("path_regex = '\\.php$'\nrespond = \"Not Implemented\\n\""), "{toml}");
    // A prefix that is guarded is exact.
    let (toml, _) =
        translated("", "location / { proxy_pass http://a:1; } location /x { deny all; root /a; }");
    assert!(toml.contains("path_regex = \"^/x\"") && toml.contains("//|%2F"), "{toml}");
}

#[test]
fn locations_are_asked_in_the_order_of_nginx() {
    let (toml, notes) = translated(
        "",
        "location / { return 200 a; } location ~ x { return 200 b; } \
         location /a/ { return 200 c; } location ^~ /b/ { return 200 d; } \
         location = /e { return 200 e; } location /a/b/ { return 200 f; } \
         location ~ y { return 200 g; } location /b { return 200 h; }",
    );
    let order: Vec<&str> =
        toml.lines().filter_map(|line| line.strip_prefix("respond = ")).collect();
    assert_eq!(order.concat().replace('"', ""), "edbgfcha", "{toml}\n{notes}");
}

#[test]
fn servers_are_asked_in_the_order_of_nginx() {
    let text = "server { listen 80 default_server; return 200 d; } \
                server { listen 80; server_name *.a.example; return 200 b; } \
                server { listen 80; server_name x.a.example; return 200 a; } \
                server { listen 80; server_name *.example; return 200 c; }";
    let imported = nginx("t", text, &|_| Ok(Vec::new())).expect("a text");
    let lines = imported.toml.lines();
    let order: Vec<&str> = lines.filter_map(|line| line.strip_prefix("respond = ")).collect();
    assert_eq!(order.concat().replace('"', ""), "abcd", "{}", imported.toml);
    assert_eq!(imported.toml.matches("[[listener]]").count(), 1);
}

/// The places of texts, in this order.
fn in_order(toml: &str, texts: &[&str]) -> bool {
    let places: Vec<Option<usize>> = texts.iter().map(|text| toml.find(text)).collect();
    places.iter().all(Option::is_some) && places.is_sorted()
}

#[test]
fn rules_of_both_locations_guard_what_a_named_one_answers() {
    let table = [
        (
            "location /a/ { auth_basic x; auth_basic_user_file f; allow 10.0.0.0/8; deny all; \
             try_files $uri @app; } location @app { proxy_pass http://u; }",
            "allow = [\"10.0.0.0/8\"]\n[listener.route.auth]\nrealm = \"x\"\nusers_file = \"f\"",
        ),
        (
            "try_files $uri @app; auth_basic x; auth_basic_user_file f; \
             location @app { proxy_pass http://u; auth_basic off; }",
            "users_file = \"f\"",
        ),
        (
            "location /a/ { limit_req zone=z; deny 10.0.0.1; try_files $uri @app; } \
             location @app { proxy_pass http://u; deny 10.0.0.2; }",
            "deny = [\"10.0.0.2\", \"10.0.0.1\"]\n[listener.route.rate_limit]\nrate = 7",
        ),
        (
            "location /a/ { deny all; try_files $uri @app; } \
             location @app { proxy_pass http://u; }",
            "status = 403",
        ),
        (
            "location /a/ { try_files $uri @app; } location @app { \
             if ($request_method = DELETE) { return 403; } proxy_pass http://u; }",
            "method = \"DELETE\"\nrespond = \"Forbidden\\n\"\nstatus = 403",
        ),
    ];
    let around =
        "limit_req_zone $remote_addr zone=z:1m rate=7r/s;\nupstream u { server 10.0.0.1; }";
    for (server, expected) in table {
        let (toml, notes) = translated(around, &format!("root /r; {server}"));
        assert!(toml.contains(expected), "{server}\n{toml}\n{notes}");
        assert!(!notes.contains("SECURITY"), "{server}\n{notes}");
    }
}

#[test]
fn expressions_within_prefixes_come_behind_longer_prefixes() {
    let ends = "location / { proxy_pass http://u; location ~ \\.php$ { proxy_pass http://v; } }";
    let admin = "location /admin/ { deny all; proxy_pass http://u; }";
    let around = "upstream u { server 10.0.0.1; } upstream v { server 10.0.0.2; }";
    let (toml, notes) = translated(around, &format!("{ends} {admin}"));
    assert!(in_order(&toml, &["path_prefix = \"/admin/\"", "\\.php$", "proxy = \"u\""]), "{toml}");
    assert!(!notes.contains("SECURITY"), "{notes}");
    // What would have to stand between both closes it.
    let (toml, notes) =
        translated(around, &format!("{ends} {admin} location ~ /x {{ deny all; }}"));
    assert!(!toml.contains("proxy = \"v\"") && notes.contains("SECURITY"), "{toml}\n{notes}");
    // So does what is within it.
    let within = "location /a/ { proxy_pass http://u; location ~ \\.php$ { proxy_pass http://v; } \
                  location /a/b/c/ { proxy_pass http://u; } } location /a/b/ { deny all; }";
    let (toml, notes) = translated(around, within);
    assert!(!toml.contains("proxy = \"v\"") && notes.contains("SECURITY"), "{toml}\n{notes}");
    assert!(!toml.contains("/a/b/c/"), "nginx never asks it: {toml}");
    // An exact path of the block around goes first.
    let exact = "location /a/ { proxy_pass http://u; location = /a/x { proxy_pass http://v; } } \
                 location = /a/x { deny all; proxy_pass http://u; }";
    let (toml, notes) = translated(around, exact);
    assert!(!toml.contains("proxy = \"v\"") && toml.contains("status = 403"), "{toml}\n{notes}");
    // A prefix below one with `^~` that expressions go before.
    let below = "location ^~ /c/ { proxy_pass http://u; } \
                 location /c/adm/ { proxy_pass http://v; } location ~ ^/c/adm/sec { deny all; }";
    let (toml, notes) = translated(around, below);
    assert!(!toml.contains("proxy = \"v\"") && notes.contains("SECURITY"), "{toml}\n{notes}");
}

#[test]
fn paths_with_double_slashes_pass_by_no_guard() {
    let around =
        "limit_req_zone $remote_addr zone=z:1m rate=7r/s;\nupstream u { server 10.0.0.1; }";
    for (server, expected) in [
        ("limit_req zone=z; location /a/ { deny all; } location / { proxy_pass http://u; }", true),
        (
            "allow 10.0.0.0/8; deny all; location / { proxy_pass http://u; } \
             location /a/ { auth_basic x; auth_basic_user_file f; proxy_pass http://u; }",
            true,
        ),
        ("deny 10.0.0.1; location /a/ { proxy_pass http://u; } location / { root /r; }", false),
        (
            "deny 10.0.0.1; location /a/ { proxy_pass http://u; } \
             location / { proxy_pass http://u; }",
            false,
        ),
    ] {
        let (toml, _) = translated(around, server);
        assert_eq!(toml.contains("//|%2F"), expected, "{server}\n{toml}");
    }
}

/// The text and the notes of several servers.
fn servers(text: &str) -> (String, String) {
    let imported = nginx("t", text, &|_| Ok(Vec::new())).expect("a text");
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    (imported.toml, notes.join("\n"))
}

#[test]
fn requests_for_one_server_do_not_go_to_another_one() {
    let open = "location / { proxy_pass http://10.0.0.1; }";
    let tls = "listen 443 ssl; ssl_certificate c; ssl_certificate_key k;";
    let (toml, _) = servers(&format!(
        "server {{ {tls} server_name d.example; {open} }} server {{ {tls} server_name c.example; \
         ssl_verify_client on; ssl_client_certificate a; {open} }}"
    ));
    let closed = "host = \"c.example\"\nrespond = \"Forbidden\\n\"\nstatus = 403";
    assert!(in_order(&toml, &["[listener.route.client_certificate]", closed]), "{toml}");
    // The first server of a name has it.
    let (toml, _) = servers(&format!(
        "server {{ server_name d.example; {open} }} server {{ server_name a.example; deny all; \
         {open} }} server {{ server_name a.example; location / {{ proxy_pass http://10.0.0.2; }} }}"
    ));
    assert!(toml.contains("a.example\"\nrespond") && !toml.contains("10.0.0.2"), "{toml}");
    // Names that a route cannot have.
    for name in ["~^adm.*\\.example$", "internal.*"] {
        for rule in ["deny all;", "auth_basic x; auth_basic_user_file f;"] {
            let (toml, notes) = servers(&format!(
                "server {{ server_name a.example; {open} }} \
                 server {{ server_name {name}; {rule} {open} }}"
            ));
            assert!(toml.contains("host = \"a.example\"\nproxy"), "{toml}");
            assert!(toml.contains("[[listener.route]]\nrespond"), "{toml}");
            assert!(notes.contains("SECURITY"), "{notes}");
        }
        let (toml, notes) = servers(&format!(
            "server {{ server_name a.example; {open} }} server {{ server_name {name}; {open} }}"
        ));
        assert!(!toml.contains("respond") && !notes.contains("SECURITY"), "{toml}\n{notes}");
    }
}

#[test]
fn a_field_is_never_the_text_of_a_file() {
    let (toml, notes) =
        translated("", "location / { proxy_pass http://a:1; proxy_set_header X-A file:/etc/x; }");
    assert!(toml.contains("remove = [\"x-a\"]") && notes.contains("SECURITY"), "{toml}\n{notes}");
}

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
    ];
    for server in table {
        let (toml, notes) = translated("upstream u { server 10.0.0.1; }", server);
        assert!(notes.contains("SECURITY"), "{server}\n{toml}\n{notes}");
        assert!(toml.contains("status = 403"), "{server}\n{toml}");
        assert!(!toml.contains("proxy ="), "{server}\n{toml}");
    }
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

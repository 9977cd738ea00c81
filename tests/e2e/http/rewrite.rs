//! Paths, redirects and header fields that are made of what a route's regular expression has found,
//! of what a listener says for all of its routes, and of secrets in files.

use super::*;

#[test]
fn what_groups_of_the_path_have_found_is_in_the_path_of_servers_and_in_redirects() {
    let server = origin(|head| ok(head.lines().next().unwrap_or_default()));
    let routes = "[[listener.route]]\npath_regex = \"^/u/([0-9]+)/(.*)$\"\n\
        path_rewrite = \"/users/$1/$2\"\nproxy = \"u\"\n\
        [[listener.route]]\npath_regex = \"^/v/x(.*)$\"\npath_rewrite = \"/pub/$1\"\nproxy = \"u\"\n\
        [[listener.route]]\npath_regex = \"^/blog/([0-9]{4})/([^/]+)(/)?$\"\n\
        redirect = \"https://blog.example/$1-$2$3$query\"\nstatus = 301\n";
    let served = web("", &[routes, &upstream(&[server], "")].concat());
    let mut client = Client::new(served.address());
    // What would lead elsewhere is answered here.
    assert_eq!(client.get("/v/x../secret").status, 404);
    assert_eq!(client.get("/v/x.//evil.example/").status, 404);
    assert_eq!(client.get("/v/x..a").text(), "GET /pub/..a HTTP/1.1");
    for (path, line) in [
        ("/u/7/a/b?q=1", "GET /users/7/a/b?q=1 HTTP/1.1"),
        ("/u/7/", "GET /users/7/ HTTP/1.1"),
        ("/u/7/%C3%A9//", "GET /users/7/%C3%A9// HTTP/1.1"),
    ] {
        assert_eq!(client.get(path).text(), line, "{path}");
    }
    for (path, location) in [
        ("/blog/2026/a%20b", "https://blog.example/2026-a%20b"),
        ("/blog/2026/x/?q=1", "https://blog.example/2026-x/?q=1"),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{path}");
    }
}

#[test]
fn what_groups_have_found_names_a_file_and_leads_out_of_no_folder() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("en")).unwrap();
    folder.file("en/page.html", "english");
    folder.file("secret", "no");
    let routes = format!(
        "[[listener.route]]\npath_regex = \"^/([a-z]{{2}})-(.*)$\"\npath_rewrite = \"/$1/$2.html\"\n\
         files = \"{0}\"\n\
         [[listener.route]]\npath_regex = \"^/x/([.]+)(.*)$\"\npath_rewrite = \"/en/$1./$2\"\n\
         files = \"{0}/en\"\n",
        folder.path().display()
    );
    let served = web("", &routes);
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/en-page").text(), "english");
    assert_eq!(client.get("/en-other").status, 404);
    for path in ["/x/.secret", "/x/../secret", "/x/.%2F..%2Fsecret"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
}

#[test]
fn fields_of_a_listener_are_on_the_answers_of_all_routes() {
    let server = origin(|head| ok(&head.replace("\r\n", "|")));
    let routes = "[listener.response_headers]\nset = { strict-transport-security = \"max-age=1\" }\n\
        [listener.request_headers]\nset = { x-edge = \"$route\" }\n\
        [[listener.route]]\npath = \"/fixed\"\nrespond = \"a\"\n\
        [[listener.route]]\npath = \"/own\"\nrespond = \"a\"\n\
        response_headers = { remove = [\"Strict-Transport-Security\"] }\n\
        [[listener.route]]\nname = \"rest\"\nproxy = \"u\"\n";
    let served = web("", &[routes, &upstream(&[server], "")].concat());
    let mut client = Client::new(served.address());
    let field = "strict-transport-security";
    assert_eq!(client.get("/fixed").field(field), Some("max-age=1"));
    assert_eq!(client.get("/own").field(field), None);
    let proxied = client.get("/other");
    assert_eq!(proxied.field(field), Some("max-age=1"));
    assert!(proxied.text().contains("|x-edge: rest|"), "{}", proxied.text());
}

#[test]
fn a_secret_in_a_file_reaches_servers_and_no_page() {
    let server = origin(|head| ok(&head.replace("\r\n", "|")));
    let folder = Folder::new();
    folder.file("token", "Bearer $host $$1\n");
    let edits = format!(
        "[listener.route.request_headers]\nset = {{ authorization = \"file:{}/token\" }}\n",
        folder.path().display()
    );
    let served = proxy::proxied(&[server], "", &edits);
    let mut client = Client::new(served.address());
    let text = client.get("/").text().to_owned();
    assert!(text.contains("|authorization: Bearer $host $$1|"), "{text}");
}

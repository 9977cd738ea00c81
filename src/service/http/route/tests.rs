//! Tests of routes.

use super::*;
use crate::service::http::certificate::CertificateMatch;

fn head(method: &str, host: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::default();
    head.set_method(method.as_bytes());
    head.set_authority(host.as_bytes());
    head.set_path(path);
    head.fields.push(b"X-Version", b"2");
    head.fields.push(b"x-version", b"3");
    head
}

fn route(hosts: &[&str], path: PathMatch) -> RouteMatch {
    let host = |host: &&str| match host.strip_prefix('*') {
        Some("") => HostMatch::Any,
        Some(suffix) => HostMatch::Suffix(suffix.into()),
        None => HostMatch::Exact((*host).into()),
    };
    RouteMatch { hosts: hosts.iter().map(host).collect(), path, ..RouteMatch::default() }
}

fn prefix(text: &str) -> PathMatch {
    PathMatch::Prefix(text.into())
}

fn with_header(name: &str, condition: HeaderMatch) -> RouteMatch {
    let headers = vec![(name.into(), condition)];
    RouteMatch { headers, ..route(&[], prefix("/v")) }
}

#[test]
fn the_first_route_of_which_all_conditions_hold_is_taken() {
    let regex = PathRegex::new("^/u/[0-9]+$").unwrap();
    let posts = RouteMatch { methods: vec!["POST".into()], ..RouteMatch::default() };
    let router = Router::new(vec![
        route(&["a.example"], PathMatch::Exact("/".into())),
        route(&["*.example"], prefix("/api")),
        route(&["a.example", "b.example"], prefix("/api/")),
        route(&[], PathMatch::Regex(regex)),
        posts,
        with_header("x-none", HeaderMatch::Present),
        with_header("X-Version", HeaderMatch::Equal("3".into())),
        route(&["C.example", "[::1]"], PathMatch::Any),
        with_header("host", HeaderMatch::Equal("D:81".into())),
    ]);
    let table = [
        (head("GET", "a.example", "/"), Some(0)),
        (head("GET", "A.EXAMPLE:80", "/"), Some(0)),
        (head("GET", "a.example.", "/"), Some(0)),
        (head("GET", "x.example", "/"), None),
        (head("GET", "a.example", "/api"), Some(1)),
        (head("GET", "a.b.c.example", "/api/x"), Some(1)),
        (head("GET", "a.example", "/apix"), None),
        (head("GET", "example", "/api"), None),
        (head("GET", ".example", "/api"), None),
        (head("GET", "xexample", "/api"), None),
        (head("GET", "", "/u/12"), Some(3)),
        (head("GET", "a.example", "/u/x"), None),
        (head("POST", "other", "/"), Some(4)),
        (head("post", "other", "/"), None),
        (head("GET", "other", "/v/1"), Some(6)),
        (head("GET", "c.example", "/"), Some(7)),
        (head("GET", "[::1]:80", "/"), Some(7)),
        (head("GET", "[::2]:80", "/"), None),
        (head("OPTIONS", "c.example", "*"), Some(7)),
    ];
    for (head, expected) in table {
        assert_eq!(router.find(&head, None), expected, "{head:?}");
        let explained = router.explain(&head, None);
        assert_eq!(explained.iter().find(|one| one.matched).map(|one| one.route), expected);
    }
    assert_eq!((router.len(), router.is_empty()), (9, false));
    assert_eq!(Router::new(Vec::new()).find(&head("GET", "a", "/"), None), None);
}

#[test]
fn a_prefix_stands_for_whole_segments() {
    let table = [
        ("/api/", "/api/x", true),
        ("/api/", "/api/", true),
        ("/api/", "/api", false),
        ("/api", "/api", true),
        ("/api", "/api/x", true),
        ("/api", "/api//x", true),
        ("/api", "/apix", false),
        ("/api", "/ap", false),
        ("/", "/x", true),
        ("/", "*", false),
    ];
    for (text, path, taken) in table {
        let router = Router::new(vec![route(&[], prefix(text))]);
        assert_eq!(router.find(&head("GET", "a", path), None).is_some(), taken, "{text} {path}");
    }
}

#[test]
fn a_host_is_a_field_too() {
    let router = Router::new(vec![
        RouteMatch {
            headers: vec![("host".into(), HeaderMatch::Equal("D:81".into()))],
            ..RouteMatch::default()
        },
        RouteMatch {
            headers: vec![("Host".into(), HeaderMatch::Present)],
            ..RouteMatch::default()
        },
    ]);
    let table = [("d:81", Some(0)), ("d", Some(1)), ("", None)];
    for (host, expected) in table {
        assert_eq!(router.find(&head("GET", host, "/"), None), expected, "{host}");
    }
}

#[test]
fn an_explanation_names_the_first_condition_that_does_not_hold() {
    let hosts: Vec<String> = (0..10).map(|n| format!("h{n}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let methods = vec!["PUT".into(), "POST".into(), "PATCH".into()];
    let router = Router::new(vec![
        route(&["b.example", "*.c.example"], prefix("/none")),
        route(&hosts, PathMatch::Any),
        route(&["*"], PathMatch::Exact("/x".into())),
        route(&[], prefix("/api/")),
        route(&[], PathMatch::Regex(PathRegex::new("^/u/").unwrap())),
        RouteMatch { methods, ..RouteMatch::default() },
        with_header("x-none", HeaderMatch::Present),
        with_header("x-version", HeaderMatch::Equal("1".into())),
        route(&["a.example"], PathMatch::Any),
        route(&[], PathMatch::Any),
    ]);
    let why = [
        "the host `a.example` is not `b.example` or `*.c.example`",
        "the host `a.example` is not `h0`, `h1`, `h2`, `h3`, `h4`, `h5`, `h6`, `h7` \
         or one of 2 more",
        "the path `/v` is not `/x`",
        "the path `/v` does not begin with `/api/`",
        "the path `/v` does not match `^/u/`",
        "the method `GET` is not `PUT`, `POST` or `PATCH`",
        "the field `x-none` is not there",
        "the field `x-version` is not `1`",
        "all conditions hold",
    ];
    let explained = router.explain(&head("GET", "a.example", "/v"), None);
    let found: Vec<&str> = explained.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(found, why);
    let last = explained.last().unwrap();
    assert_eq!((last.route, last.matched), (8, true));
}

/// Numbers that depend on nothing but the state (xorshift64*).
fn random(state: &mut u64, bound: usize) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
    usize::try_from(bits).unwrap() % bound
}

fn random_name(state: &mut u64) -> String {
    let labels = 1 + random(state, 4);
    let labels: Vec<&str> = (0..labels).map(|_| ["a", "b", "ab", ""][random(state, 4)]).collect();
    labels.join(".")
}

fn random_path(state: &mut u64) -> String {
    let mut path = "/".to_owned();
    for _ in 0..random(state, 4) {
        path.push_str(["a", "b", "/", "services"][random(state, 4)]);
    }
    path
}

/// Expressions with texts that they need, with none, and with those that paths often have.
fn random_regex(state: &mut u64) -> PathRegex {
    let mut text = ["", "^", "^/", "(?i)"][random(state, 4)].to_owned();
    for _ in 0..1 + random(state, 3) {
        let parts = [
            "a",
            "/b",
            "[ab]+",
            "(services|aa)",
            ".",
            "s{2,3}",
            "/",
            "\\w*",
            "(a|b/)?",
            "er",
            "\\b",
        ];
        text.push_str(parts[random(state, parts.len())]);
    }
    text.push_str(["", "", "$"][random(state, 3)]);
    PathRegex::new(&text).unwrap()
}

fn random_certificate(state: &mut u64) -> Option<ClientCertificate> {
    let name = ["a", "b"][random(state, 2)].to_owned();
    let fingerprint = "f".to_owned();
    let shown = ClientCertificate { subject: name, names: String::new(), fingerprint };
    (random(state, 2) == 0).then_some(shown)
}

/// `variety` is how many of ten routes have a regular expression.
fn random_route(state: &mut u64, variety: usize) -> RouteMatch {
    let mut hosts = Vec::new();
    for _ in 0..random(state, 4) {
        let name = random_name(state);
        hosts.push(match random(state, 5) {
            0 => HostMatch::Any,
            1 | 2 => HostMatch::Suffix(format!(".{name}").into()),
            _ => HostMatch::Exact(name.into()),
        });
    }
    let path = random_path(state).into_boxed_str();
    let path = match random(state, 10) {
        kind if kind < variety => PathMatch::Regex(random_regex(state)),
        kind if kind % 5 == 0 => PathMatch::Any,
        kind if kind % 5 == 1 => PathMatch::Exact(path),
        _ => PathMatch::Prefix(path),
    };
    let methods = ["GET", "PUT"].map(Into::into).into_iter().take(random(state, 3)).collect();
    let headers = match random(state, 6) {
        0 => vec![("x-version".into(), HeaderMatch::Present)],
        1 => vec![("x-version".into(), HeaderMatch::Equal(["2", "4"][random(state, 2)].into()))],
        2 => vec![("x-none".into(), HeaderMatch::Present)],
        _ => Vec::new(),
    };
    let certificate = (random(state, 6) == 0).then(|| CertificateMatch {
        subject: Some(["a", "*"][random(state, 2)].into()),
        ..CertificateMatch::default()
    });
    let is_folder = random(state, 2) == 0;
    RouteMatch { hosts, path, methods, headers, certificate, is_folder }
}

#[test]
fn random_routes_are_found_as_a_look_at_each_of_them_finds_them() {
    let mut state = 0x5eed;
    let (mut found, mut missed, mut bare) = (0, 0, 0);
    for round in 0..400 {
        let count = 1 + random(&mut state, if round % 20 == 0 { 1000 } else { 24 });
        let variety = [0, 3, 10][round % 3];
        let routes: Vec<_> = (0..count).map(|_| random_route(&mut state, variety)).collect();
        let router = Router::new(routes);
        for _ in 0..100 {
            let mut host = random_name(&mut state);
            host.push_str(["", ".", ":80"][random(&mut state, 3)]);
            let method = ["GET", "PUT", "POST"][random(&mut state, 3)];
            let path = match random(&mut state, 20) {
                0 => "*".to_owned(),
                1 => "/services/".repeat(50),
                2 => "/\u{e9}a/ss".to_owned(),
                _ => random_path(&mut state),
            };
            let head = head(method, &host, &path);
            let certificate = random_certificate(&mut state);
            let request = Request::new(&head, certificate.as_ref());
            let naive = router.routes.iter().position(|route| route.takes(&request));
            let of_host = |route: &RouteMatch| {
                let any = PathMatch::Any;
                let alone = RouteMatch { hosts: route.hosts.clone(), path: any, ..route.clone() };
                alone.takes(&request)
            };
            let folder = || {
                let mut routes = router.routes.iter();
                routes.position(|route| route.takes_bare(&request) && of_host(route))
            };
            let expected = naive.or_else(folder);
            let case = || format!("{head:?} {:?}", router.routes);
            assert_eq!(router.find(&head, certificate.as_ref()), expected, "{}", case());
            let explained = router.explain(&head, certificate.as_ref());
            let taken = explained.iter().find(|one| one.matched).map(|one| one.route);
            assert_eq!(taken, expected);
            let extra = usize::from(expected.is_some());
            assert_eq!(explained.len(), naive.map_or(count + extra, |number| number + 1));
            found += usize::from(naive.is_some());
            missed += usize::from(expected.is_none());
            bare += usize::from(naive.is_none() && expected.is_some());
        }
    }
    assert!(found > 1_000 && missed > 1_000 && bare > 50, "{found} {missed} {bare}");
}

#[test]
fn only_routes_that_may_be_meant_are_looked_at() {
    let mut routes: Vec<_> =
        (0..1000).map(|n| route(&[&format!("h{n}.example")], PathMatch::Any)).collect();
    routes.push(route(&["*.example"], PathMatch::Any));
    routes.push(route(&["*.b.example"], PathMatch::Any));
    routes.push(route(&[], PathMatch::Any));
    let router = Router::new(routes);
    let many_labels = "x.".repeat(120) + "b.example";
    let table = [
        ("h7.example", vec![7, 1000, 1002]),
        ("a.b.example", vec![1000, 1001, 1002]),
        (&many_labels, vec![1000, 1001, 1002]),
        ("other", vec![1002]),
    ];
    for (host, candidates) in table {
        let mut found = Vec::new();
        for root in router.places.roots(host) {
            router.places.along(root, "/x", |_, place| found.extend(router.lists.all(place)));
        }
        found.sort_unstable();
        assert_eq!(found, candidates, "{host}");
    }
}

#[test]
fn a_hostile_path_is_looked_at_as_deep_as_prefixes_are() {
    let router = Router::new(vec![
        route(&[], prefix("/a/a/a")),
        route(&[], PathMatch::Exact("/a//".into())),
        route(&[], prefix("//")),
    ]);
    let looked_at = |path: &str| {
        let mut places = Vec::new();
        for root in router.places.roots("h") {
            router.places.along(root, path, |kind, place| places.push((kind, place)));
        }
        places
    };
    assert_eq!(looked_at(&"/a".repeat(10_000)), [(PlaceKind::Whole, 0)]);
    assert_eq!(looked_at("/a//"), [(PlaceKind::Exact, 1)]);
    assert_eq!(looked_at(&"/".repeat(10_000)), [(PlaceKind::Below, 2)]);
    assert_eq!(looked_at(&format!("/{}", "a".repeat(10_000))), []);
}

#[test]
fn routes_of_one_path_are_told_apart_by_their_methods() {
    let methods: Vec<Box<str>> = (0..10_000).map(|n| format!("M{n}").into()).collect();
    let of = |method: &str| RouteMatch {
        methods: vec![method.into()],
        ..route(&[], PathMatch::Exact("/".into()))
    };
    let mut routes: Vec<_> = methods.iter().map(|method| of(method)).collect();
    routes.push(route(&[], PathMatch::Exact("/".into())));
    routes.push(of(&methods[7]));
    let router = Router::new(routes);
    assert_eq!(router.find(&head("M7", "a", "/"), None), Some(7));
    assert_eq!(router.find(&head("M9999", "a", "/"), None), Some(9_999));
    assert_eq!(router.find(&head("GET", "a", "/"), None), Some(10_000));
}

/// Expressions of each kind among thousands, beside a look at each.
#[test]
fn many_expressions_are_found_as_each_of_them_finds() {
    let kinds: [fn(usize) -> String; 5] = [
        |n| format!("^/r{n}/[0-9]+$"),
        |n| format!("/x{n}(/|$)"),
        |n| format!("^/[a-z]{{{}}}/[0-9]{{{}}}$", 1 + n % 10, 1 + n / 10),
        |n| format!("^/shared/[a-z]{{{}}}$", 1 + n % 64),
        |n| format!("^/\\w{{{}}}x?/", 1 + n % 40),
    ];
    let expressions = (0..1_500).map(|n| PathRegex::new(&kinds[n % 5](n / 5)).unwrap());
    let router = Router::new(expressions.map(|one| route(&[], PathMatch::Regex(one))).collect());
    let mut state = 0x5eed;
    let mut found = 0;
    for _ in 0..300 {
        let n = random(&mut state, 400);
        let path = match random(&mut state, 7) {
            0 => format!("/r{n}/12"),
            1 => format!("/y/x{n}/x{}", n / 2),
            2 => format!("/{}/{}", "a".repeat(1 + n % 12), "1".repeat(1 + n / 10)),
            3 => format!("/shared/{}", "b".repeat(1 + n % 70)),
            4 => format!("/{}/", "c".repeat(1 + n % 45)),
            5 => (0..n).map(|n| format!("/r{n}")).collect(),
            _ => format!("/{}", "\u{e9}".repeat(1 + n % 45)),
        };
        let head = head("GET", "a", &path);
        let naive = router.routes.iter().position(|route| route.path.takes(&path));
        assert_eq!(router.find(&head, None), naive, "{path}");
        found += usize::from(naive.is_some());
    }
    assert!((50..290).contains(&found), "{found}");
}

#[test]
fn a_folder_without_its_slash_is_that_of_its_prefix_if_nobody_else_takes_it() {
    let folder = |hosts: &[&str], path: &str| RouteMatch {
        is_folder: true,
        methods: vec!["GET".into()],
        ..route(hosts, prefix(path))
    };
    let router = Router::new(vec![
        folder(&["a.example"], "/docs/"),
        route(&[], prefix("/api/")),
        folder(&[], "/"),
        route(&[], PathMatch::Exact("/both".into())),
        folder(&[], "/both/"),
    ]);
    let table = [
        (head("GET", "a.example", "/docs/x"), Some(0)),
        (head("GET", "a.example", "/docs"), Some(2)),
        (head("POST", "b.example", "/api"), None),
        (head("GET", "b.example", "*"), None),
    ];
    for (head, expected) in table {
        assert_eq!(router.find(&head, None), expected, "{head:?}");
    }
    let router = Router::new(vec![
        route(&[], PathMatch::Exact("/both".into())),
        folder(&["a.example"], "/docs/"),
        folder(&[], "/both/"),
        route(&[], prefix("/api/")),
    ]);
    let table = [
        (head("GET", "a.example", "/docs"), Some(1)),
        (head("POST", "a.example", "/docs"), None),
        (head("GET", "b.example", "/docs"), None),
        (head("GET", "a.example", "/doc"), None),
        (head("GET", "a.example", "/both"), Some(0)),
        (head("GET", "a.example", "/api"), None),
        (head("GET", "a.example", ""), None),
    ];
    for (head, expected) in table {
        assert_eq!(router.find(&head, None), expected, "{head:?}");
        let explained = router.explain(&head, None);
        assert_eq!(explained.iter().find(|one| one.matched).map(|one| one.route), expected);
    }
}

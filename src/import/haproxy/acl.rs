//! ACLs, and the conditions that are made of them.

use std::collections::HashMap;

use super::super::convert::{self, digits};
use super::super::network::Network;
use super::super::regex;
use super::parse::Line;
use super::region::{Meet, PathPart, Region};

/// Alternatives of a condition. Beyond, it counts as not understood.
const CASES_MAX: usize = 128;

/// What an ACL asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Hosts(Vec<String>),
    Paths(Vec<PathPart>),
    Methods(Vec<String>),
    Headers(Vec<(String, String)>),
    Sources(Vec<String>),
    /// The name that the client asks for by TLS, before that ends.
    Names(Vec<String>),
    Tls,
    /// It holds whenever a ClientHello has come.
    Always,
    Never,
    /// A password of this list of users.
    User(String),
    /// More than so many requests of an address in the time of the table.
    Rate(u64),
    Unknown,
}

/// One alternative of a condition: all of it has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) region: Region,
    /// Hosts of which the request has none.
    pub(super) other_hosts: Vec<String>,
    /// Networks that the client is in, or is not in.
    pub(super) sources: Vec<(bool, Vec<String>)>,
    /// Names that the client asks for by TLS. Empty: any.
    pub(super) names: Vec<String>,
    /// A password is there, or is not.
    pub(super) user: Option<(bool, String)>,
    pub(super) rate: Option<u64>,
    /// There is more to it, which is not understood: the case is for fewer requests than it says.
    pub(super) is_open: bool,
    /// It is for more requests than it says.
    pub(super) is_narrow: bool,
}

impl Case {
    /// Whether all of it is in its region.
    pub(super) fn is_plain(&self) -> bool {
        self.other_hosts.is_empty()
            && self.sources.is_empty()
            && self.names.is_empty()
            && self.user.is_none()
            && self.rate.is_none()
            && !self.is_open
            && !self.is_narrow
    }

    /// The region that has all of its requests, within another one.
    pub(super) fn wide(&self, base: &Region) -> Region {
        let mut region = self.region.clone();
        if self.is_narrow {
            region.headers.clone_from(&base.headers);
        }
        region
    }
}

/// The ACLs of a section.
#[derive(Debug, Default)]
pub(super) struct Acls<'d> {
    by_name: HashMap<&'d str, Vec<&'d Line>>,
}

impl<'d> Acls<'d> {
    pub(super) fn new(lines: impl Iterator<Item = &'d Line>) -> Self {
        let mut by_name: HashMap<&'d str, Vec<&'d Line>> = HashMap::new();
        for line in lines.filter(|line| line.word(0) == "acl") {
            by_name.entry(line.word(1)).or_default().push(line);
        }
        Self { by_name }
    }

    /// The cases of the words behind `if` or `unless`; of no words, the one that always holds.
    /// `tls`: the listener speaks it.
    pub(super) fn cases(&self, words: &[String], tls: bool) -> Vec<Case> {
        let (is_unless, words) = match words.split_first() {
            None => return vec![Case::default()],
            Some((first, words)) => (first == "unless", words),
        };
        let mut all: Vec<Vec<(bool, Vec<Term>)>> = vec![Vec::new()];
        let mut words = words.iter().map(String::as_str);
        let mut is_negated = false;
        while let Some(word) = words.next() {
            let terms = match word {
                "||" | "or" | "OR" => {
                    all.push(Vec::new());
                    continue;
                }
                "!" => {
                    is_negated = !is_negated;
                    continue;
                }
                "{" | "!{" => {
                    is_negated ^= word == "!{";
                    let inner: Vec<&str> = words.by_ref().take_while(|word| *word != "}").collect();
                    vec![term(&inner)]
                }
                name => {
                    let bare = name.trim_start_matches('!');
                    is_negated ^= (name.len() - bare.len()) % 2 == 1;
                    self.named(bare)
                }
            };
            if let Some(last) = all.last_mut() {
                last.push((std::mem::take(&mut is_negated), terms));
            }
        }
        if is_unless {
            all = negated(&all);
        }
        let mut cases = Vec::new();
        for conjunction in all {
            cases.extend(conjoined(&conjunction, tls));
            if cases.len() > CASES_MAX {
                return vec![Case { is_open: true, ..Case::default() }];
            }
        }
        cases
    }

    /// What the lines of an ACL ask, one of which has to hold.
    fn named(&self, name: &str) -> Vec<Term> {
        let Some(lines) = self.by_name.get(name) else { return vec![predefined(name)] };
        let words = |line: &Line| -> Vec<String> { line.from(2).to_vec() };
        let terms = lines.iter().take(CASES_MAX).map(|line| {
            let words = words(line);
            term(&words.iter().map(String::as_str).collect::<Vec<_>>())
        });
        joined(terms.collect())
    }
}

/// Terms of one kind become one.
fn joined(terms: Vec<Term>) -> Vec<Term> {
    let mut found: Vec<Term> = Vec::new();
    for term in terms {
        match (found.last_mut(), term) {
            (Some(Term::Hosts(list)), Term::Hosts(more))
            | (Some(Term::Methods(list)), Term::Methods(more))
            | (Some(Term::Sources(list)), Term::Sources(more))
            | (Some(Term::Names(list)), Term::Names(more)) => list.extend(more),
            (Some(Term::Paths(list)), Term::Paths(more)) => list.extend(more),
            (_, term) => found.push(term),
        }
    }
    found
}

/// The opposite of a condition, where it is one term or several of which each must not hold.
fn negated(all: &[Vec<(bool, Vec<Term>)>]) -> Vec<Vec<(bool, Vec<Term>)>> {
    // not (a or b) is (not a and not b); not (a and b) is (not a or not b).
    let flip = |(is, terms): &(bool, Vec<Term>)| (!is, terms.clone());
    match all {
        [conjunction] => conjunction.iter().map(|one| vec![flip(one)]).collect(),
        _ if all.iter().all(|conjunction| conjunction.len() == 1) => {
            vec![all.iter().flatten().map(flip).collect()]
        }
        _ => vec![vec![(false, vec![Term::Unknown])]],
    }
}

/// The cases of terms that all have to hold, each of which may have alternatives.
fn conjoined(terms: &[(bool, Vec<Term>)], tls: bool) -> Vec<Case> {
    let mut cases = vec![Case::default()];
    for (is_negated, alternatives) in terms {
        let mut next = Vec::new();
        for case in &cases {
            if *is_negated {
                // None of the alternatives holds.
                let mut case = Some(case.clone());
                for term in alternatives {
                    case = case.and_then(|case| without(case, term, tls));
                }
                next.extend(case);
            } else {
                next.extend(alternatives.iter().flat_map(|term| with(case, term, tls)));
            }
            if next.len() > CASES_MAX {
                return vec![Case { is_open: true, ..Case::default() }];
            }
        }
        cases = next;
    }
    cases
}

/// A case for which a term holds, too: none if it never does, several for several paths.
fn with(case: &Case, term: &Term, tls: bool) -> Vec<Case> {
    let region = |region: Region| match case.region.meet(&region) {
        Meet::Nothing => None,
        Meet::Region(region) => Some(Case { region, ..case.clone() }),
        Meet::Unknown => Some(Case { is_open: true, ..case.clone() }),
    };
    match term {
        Term::Hosts(hosts) => {
            region(Region { hosts: hosts.clone(), ..Region::default() }).into_iter().collect()
        }
        Term::Methods(methods) => {
            region(Region { methods: methods.clone(), ..Region::default() }).into_iter().collect()
        }
        Term::Paths(paths) => paths
            .iter()
            .filter_map(|path| region(Region { path: path.clone(), ..Region::default() }))
            .collect(),
        Term::Headers(headers) => headers
            .iter()
            .filter_map(|one| {
                let case = region(Region { headers: vec![one.clone()], ..Region::default() })?;
                // HAProxy compares each part between commas, and Ringway whole values.
                Some(Case { is_narrow: case.is_narrow || one.1 != "*", ..case })
            })
            .collect(),
        Term::Sources(sources) => {
            let mut case = case.clone();
            case.sources.push((true, sources.clone()));
            vec![case]
        }
        Term::Names(names) if case.names.is_empty() => {
            vec![Case { names: names.clone(), ..case.clone() }]
        }
        Term::Tls if tls => vec![case.clone()],
        Term::Always => vec![case.clone()],
        Term::Tls | Term::Never => Vec::new(),
        Term::User(list) => vec![Case { user: Some((true, list.clone())), ..case.clone() }],
        Term::Rate(rate) => vec![Case { rate: Some(*rate), ..case.clone() }],
        Term::Names(_) | Term::Unknown => vec![Case { is_open: true, ..case.clone() }],
    }
}

/// A case for which a term does not hold.
fn without(mut case: Case, term: &Term, tls: bool) -> Option<Case> {
    match term {
        Term::Sources(sources) => case.sources.push((false, sources.clone())),
        Term::Tls if tls => return None,
        Term::Always => return None,
        Term::Tls | Term::Never => {}
        Term::User(list) => case.user = Some((false, list.clone())),
        Term::Hosts(hosts) => case.other_hosts.extend(hosts.iter().cloned()),
        Term::Paths(_)
        | Term::Methods(_)
        | Term::Headers(_)
        | Term::Names(_)
        | Term::Rate(_)
        | Term::Unknown => case.is_open = true,
    }
    Some(case)
}

/// An ACL that HAProxy has of its own.
fn predefined(name: &str) -> Term {
    let methods = |list: &[&str]| Term::Methods(list.iter().map(ToString::to_string).collect());
    match name {
        "TRUE" | "HTTP" | "REQ_CONTENT" | "WAIT_END" | "HTTP_CONTENT" => Term::Always,
        "FALSE" => Term::Never,
        "LOCALHOST" => Term::Sources(vec!["127.0.0.0/8".to_owned(), "::1".to_owned()]),
        "METH_GET" => methods(&["GET", "HEAD"]),
        "METH_POST" => methods(&["POST"]),
        "METH_PUT" => methods(&["PUT"]),
        "METH_DELETE" => methods(&["DELETE"]),
        "METH_OPTIONS" => methods(&["OPTIONS"]),
        "METH_HEAD" => methods(&["HEAD"]),
        "METH_CONNECT" => methods(&["CONNECT"]),
        "METH_TRACE" => methods(&["TRACE"]),
        _ => Term::Unknown,
    }
}

/// What the words of an ACL ask: a sample, flags and patterns.
fn term(words: &[&str]) -> Term {
    let Some((sample, rest)) = words.split_first() else { return Term::Unknown };
    let mut patterns: Vec<&str> = Vec::new();
    let (mut method, mut ignores_case) = ("", false);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-i" => ignores_case = true,
            "-m" => method = rest.next().copied().unwrap_or_default(),
            "--" => {
                patterns.extend(rest.by_ref().copied());
            }
            // Patterns of a file, or look-ups of addresses.
            "-f" | "-M" | "-n" | "-u" => return Term::Unknown,
            pattern => patterns.push(pattern),
        }
    }
    let sample = sample.trim_end_matches(",lower");
    ignores_case |= words.first().is_some_and(|word| word.ends_with(",lower"));
    let (name, argument) = match sample.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or("?")),
        None => (sample, ""),
    };
    let (name, ending) = ending(name, method);
    understood(name, argument, ending, (patterns.as_slice(), ignores_case)).unwrap_or(Term::Unknown)
}

/// The name of a sample, and how it is compared: `path_beg` is `path -m beg`.
fn ending<'w>(name: &'w str, method: &'w str) -> (&'w str, &'w str) {
    const METHODS: &[&str] = &["beg", "end", "dir", "dom", "sub", "reg", "str", "len"];
    let known = |method: &&str| method.len() + 1 < name.len();
    match name.rsplit_once('_').filter(|(_, end)| METHODS.contains(end) && known(end)) {
        Some((bare, end)) if method.is_empty() => (bare, end),
        Some(_) | None => (name, if method.is_empty() { "str" } else { method }),
    }
}

fn understood(
    name: &str,
    argument: &str,
    ending: &str,
    (patterns, ignores_case): (&[&str], bool),
) -> Option<Term> {
    match (name, ending) {
        ("hdr" | "req.hdr" | "req.fhdr", _) if argument.eq_ignore_ascii_case("host") => {
            hosts(patterns, ending).map(Term::Hosts)
        }
        ("hdr" | "req.hdr" | "req.fhdr", "found") => {
            let name = Some(argument).filter(|name| convert::is_field(name))?;
            Some(Term::Headers(vec![(name.to_ascii_lowercase(), "*".to_owned())]))
        }
        ("hdr" | "req.hdr" | "req.fhdr", "str") if !ignores_case => {
            let name = Some(argument).filter(|name| convert::is_field(name))?;
            let is_value = |one: &&str| !one.is_empty() && one.is_ascii() && one.trim() == *one;
            let values = patterns.iter().map(|one| {
                Some((name.to_ascii_lowercase(), (*one).to_owned())).filter(|_| is_value(one))
            });
            values.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()).map(Term::Headers)
        }
        ("path", _) => paths(patterns, ending, ignores_case).map(Term::Paths),
        ("url", "beg") => paths(patterns, "beg", ignores_case).map(Term::Paths),
        ("method", "str") => {
            let is_method = |one: &&str| one.bytes().all(|byte| byte.is_ascii_uppercase());
            let list = patterns.iter().map(|one| (*one).to_owned()).collect();
            (!patterns.is_empty() && patterns.iter().all(is_method)).then_some(Term::Methods(list))
        }
        ("src", "str" | "ip") => {
            let networks =
                patterns.iter().map(|one| Network::parse(one).map(|one| one.to_string()));
            networks.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()).map(Term::Sources)
        }
        ("ssl_fc" | "ssl_fc_has_sni", "str" | "bool") if patterns.is_empty() => {
            (name == "ssl_fc").then_some(Term::Tls)
        }
        ("ssl_fc_sni", _) => hosts(patterns, ending).map(Term::Hosts),
        ("req_ssl_sni" | "req.ssl_sni", "str" | "end") => hosts(patterns, ending).map(Term::Names),
        ("req_ssl_sni" | "req.ssl_sni", "found") => None,
        ("req_ssl_hello_type" | "req.ssl_hello_type" | "req_ssl_ver" | "req.ssl_ver", _) => {
            Some(Term::Always)
        }
        ("req", "len") | ("req.len", _) => Some(Term::Always),
        ("http_auth", _) => Some(Term::User(argument.to_owned())),
        ("sc_http_req_rate" | "sc0_http_req_rate" | "src_http_req_rate", _) => {
            rate(patterns).map(Term::Rate)
        }
        ("always_true", _) => Some(Term::Always),
        ("always_false", _) => Some(Term::Never),
        (_, _) => None,
    }
}

/// The hosts of patterns.
fn hosts(patterns: &[&str], ending: &str) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    for pattern in patterns {
        let lower = pattern.to_ascii_lowercase();
        let bare = lower.rsplit_once(':').map_or(lower.as_str(), |(host, _)| host);
        match ending {
            "str" if convert::is_host(bare) && !bare.contains('*') => hosts.push(bare.to_owned()),
            "end" if convert::is_host(bare.strip_prefix('.')?) => hosts.push(format!("*{bare}")),
            _ => return None,
        }
    }
    (!hosts.is_empty()).then_some(hosts)
}

/// The paths of patterns.
fn paths(patterns: &[&str], ending: &str, ignores_case: bool) -> Option<Vec<PathPart>> {
    let one = |pattern: &&str| -> Option<PathPart> {
        let has_letters = pattern.bytes().any(|byte| byte.is_ascii_alphabetic());
        let escaped = convert::path(pattern).ok();
        match ending {
            "str" if !ignores_case || !has_letters => escaped.map(PathPart::Exact),
            "beg" if !ignores_case || !has_letters => escaped.map(PathPart::Starts),
            "str" => regex::translated(&format!("^{}$", regex::literal(pattern)), true)
                .ok()
                .map(PathPart::Regex),
            "beg" => regex::translated(&format!("^{}", regex::literal(pattern)), true)
                .ok()
                .map(PathPart::Regex),
            "end" => regex::translated(&format!("{}$", regex::literal(pattern)), ignores_case)
                .ok()
                .map(PathPart::Regex),
            "sub" => {
                regex::translated(&regex::literal(pattern), ignores_case).ok().map(PathPart::Regex)
            }
            "dir" => {
                let bare = regex::literal(pattern.trim_matches('/'));
                let text = format!("/{bare}(?:/|$)");
                regex::translated(&text, ignores_case).ok().map(PathPart::Regex)
            }
            "reg" => regex::translated(pattern, ignores_case).ok().map(PathPart::Regex),
            _ => None,
        }
    };
    let paths: Option<Vec<_>> = patterns.iter().map(one).collect();
    paths.filter(|paths| !paths.is_empty())
}

/// The number of `gt 100` or `ge 100`.
fn rate(patterns: &[&str]) -> Option<u64> {
    match patterns {
        ["gt", number] => digits(number),
        ["ge", number] => digits(number).map(|number| number.saturating_sub(1)),
        _ => None,
    }
}

/// Where the condition of a line begins, behind what it does.
pub(super) fn condition(words: &[String]) -> (&[String], &[String]) {
    let at = words.iter().position(|word| matches!(word.as_str(), "if" | "unless"));
    words.split_at_checked(at.unwrap_or(words.len())).unwrap_or((words, &[]))
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let acls = "frontend f\n\
                    acl api path_beg /api/\n\
                    acl office src 10.0.0.0/8 192.168.0.0/16\n\
                    acl bot hdr_sub(user-agent) bot\n\
                    acl shop hdr(host) -i Shop.example\n\
                    acl shop hdr(host) -i www.shop.example:443\n\
                    acl asset path_end .js .css\n";
        let sections = parse("t", acls).expect("sections");
        let acls = Acls::new(sections[0].lines.iter());
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let one = |case: Case| {
            let region = &case.region;
            let mut parts = region.hosts.clone();
            if region.path != PathPart::Any {
                parts.push(format!("{:?}", region.path));
            }
            parts.extend(region.methods.clone());
            parts.extend(region.headers.iter().map(|(name, value)| format!("{name}={value}")));
            parts.extend(case.names.clone());
            parts.extend(case.sources.iter().map(|(is, list)| format!("{is}:{}", list.join(","))));
            parts.extend(case.other_hosts.iter().map(|host| format!("not {host}")));
            parts.extend(case.is_open.then(|| "?".to_owned()));
            parts.join(" ")
        };
        acls.cases(&words, false).into_iter().map(one).collect()
    }

    #[test]
    fn conditions_become_cases() {
        let table: &[(&str, &[&str])] = &[
            ("if api", &["Starts(\"/api/\")"]),
            ("if shop api", &["shop.example www.shop.example Starts(\"/api/\")"]),
            ("if api or shop", &["Starts(\"/api/\")", "shop.example www.shop.example"]),
            ("if asset", &["Regex(\"\\\\.js$\")", "Regex(\"\\\\.css$\")"]),
            ("if api !office", &["Starts(\"/api/\") false:10.0.0.0/8,192.168.0.0/16"]),
            ("unless office", &["false:10.0.0.0/8,192.168.0.0/16"]),
            ("if !{ ssl_fc }", &[""]),
            ("if { ssl_fc }", &[]),
            ("unless { ssl_fc } or api", &["?"]),
            ("if { req.ssl_sni -i a.example }", &["a.example"]),
            ("unless shop", &["not shop.example not www.shop.example"]),
            ("if bot", &["?"]),
            ("if !api", &["?"]),
            ("if nothing", &["?"]),
            ("if METH_POST api", &["Starts(\"/api/\") POST"]),
            ("if { hdr_end(host) .a.example }", &["*.a.example"]),
            ("if { path -m beg /x }", &["Starts(\"/x\")"]),
            ("if { path -f list }", &["?"]),
            ("if { hdr(x-a) b }", &["x-a=b"]),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), *expected, "{text}");
        }
    }
}

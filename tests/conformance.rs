//! What the HTTP/1.1 readers make of malformed, ambiguous and just valid messages: tables with one
//! fact a case, and the section of the RFC that it comes from.
//!
//! Policy beyond the RFCs: what two parties could understand differently is refused, even where an
//! RFC allows to repair it.

#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/readers.rs"]
mod readers;
#[path = "conformance/requests.rs"]
mod requests;
#[path = "conformance/responses.rs"]
mod responses;

use std::collections::{BTreeMap, BTreeSet};

use cases::{Expect, RequestCase, ResponseCase, ResponseExpect};

/// Cases that every family has at least.
const FAMILY_MIN: usize = 8;
/// Cases of requests and of responses at least.
const REQUESTS_MIN: usize = 500;
const RESPONSES_MIN: usize = 200;
/// The statuses that a request may be refused with.
const STATUSES: [u16; 7] = [400, 413, 414, 417, 431, 501, 505];

/// The sections that cases come from.
const SECTIONS: &[(&str, &str)] = &[
    ("RFC 3986", "2 2.1 2.2 2.4 3.2 3.2.2 3.2.3 3.3 3.4 5.2.4 6.2.2 6.2.2.1 6.2.2.2 6.2.2.3 7.3"),
    (
        "RFC 9110",
        "4.2.1 4.2.4 5.1 5.3 5.4 5.5 5.6.1 5.6.2 5.6.3 5.6.4 6.5.1 7.2 7.6.1 7.8 8.4 8.6 9.1 \
         6.2 9.3.1 9.3.2 9.3.6 9.3.7 10.1.1 10.1.4 15 15.2 15.2.1 15.3.5 15.3.6 15.4.5 15.5.14 \
         15.5.15 15.6.6",
    ),
    (
        "RFC 9112",
        "2.1 2.2 2.3 3 3.1 3.2 3.2.1 3.2.2 3.2.3 3.2.4 4 5.1 5.2 6.1 6.2 6.3 7 7.1 7.1.1 7.1.2 8 \
         9.2 9.3 9.3.2 9.5 9.6 11.2 C.2.2",
    ),
];

fn requests() -> impl Iterator<Item = &'static RequestCase> {
    requests::FAMILIES.iter().flat_map(|(_, cases)| cases.iter())
}

fn responses() -> impl Iterator<Item = &'static ResponseCase> {
    responses::FAMILIES.iter().flat_map(|(_, cases)| cases.iter())
}

/// Whether a section is among those that are known.
fn is_known(rfc: &str) -> bool {
    let Some((document, section)) = rfc.split_once(", section ") else { return false };
    let mut known = SECTIONS.iter().filter(|(name, _)| *name == document);
    known.any(|(_, sections)| sections.split_whitespace().any(|one| one == section))
}

fn is_fact(name: &str) -> bool {
    let is_word = |word: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(fits)
    };
    name.split('_').count() >= 3 && name.split('_').all(is_word) && name.len() <= 80
}

#[test]
fn every_case_has_its_own_name_and_input_and_a_section() {
    let requests = requests()
        .map(|case| (case.name, case.rfc, format!("request {}", case.input.escape_ascii())));
    let responses = responses().map(|case| {
        let (method, closes, input) = (case.request_method, case.closes, case.input);
        (case.name, case.rfc, format!("{method} {closes} {}", input.escape_ascii()))
    });
    let (mut names, mut inputs) = (BTreeSet::new(), BTreeMap::new());
    for (name, rfc, input) in requests.chain(responses) {
        assert!(is_fact(name), "{name}: states no fact");
        assert!(names.insert(name), "{name}: twice");
        assert!(is_known(rfc), "{name}: {rfc} is no known section");
        if let Some(other) = inputs.insert(input, name) {
            panic!("{name}: the same input as {other}");
        }
    }
}

#[test]
fn every_family_has_enough_cases() {
    let counts = requests::FAMILIES.iter().map(|(name, cases)| (name, cases.len()));
    let counts = counts.chain(responses::FAMILIES.iter().map(|(name, cases)| (name, cases.len())));
    for (name, count) in counts {
        assert!(count >= FAMILY_MIN, "{name}: {count} cases");
    }
    assert!(requests().count() >= REQUESTS_MIN, "{} requests", requests().count());
    assert!(responses().count() >= RESPONSES_MIN, "{} responses", responses().count());
}

#[test]
fn what_requests_expect_is_possible() {
    let mut seen = BTreeSet::new();
    let (mut accepted_cases, mut incomplete_cases) = (0, 0);
    for RequestCase { name, input, expect, .. } in requests() {
        match *expect {
            Expect::Accept(accepted) => {
                accepted_cases += 1;
                assert!(!accepted.is_empty(), "{name}: accepts nothing");
                for (method, target, body) in accepted {
                    let has = |part: &[u8]| input.windows(part.len()).any(|one| one == part);
                    assert!(has(method.as_bytes()), "{name}: {method} is nowhere");
                    assert!(body.len() < input.len(), "{name}: the body is longer than the input");
                    let is_path = target.starts_with('/') && !target.contains("/../");
                    let is_path = is_path || target.starts_with('/') && target.contains('?');
                    let is_other = match *method {
                        "CONNECT" => target.contains(':'),
                        "OPTIONS" => *target == "*",
                        _ => false,
                    };
                    assert!(is_path || is_other, "{name}: {target} is not in normal form");
                }
            }
            Expect::Refuse { status, .. } => {
                assert!(STATUSES.contains(&status), "{name}: {status}");
                seen.insert(status);
            }
            Expect::Incomplete { .. } => incomplete_cases += 1,
        }
    }
    assert_eq!(seen, BTreeSet::from(STATUSES), "every status is seen");
    assert!(accepted_cases >= 100 && incomplete_cases >= 20);
}

#[test]
fn what_responses_expect_is_possible() {
    let (mut accepted_cases, mut refused_cases, mut truncated_cases) = (0, 0, 0);
    for ResponseCase { name, request_method, closes, expect, .. } in responses() {
        match *expect {
            ResponseExpect::Accept { interim, status, body, reusable } => {
                accepted_cases += 1;
                assert!(interim.iter().all(|one| (100..200).contains(one)), "{name}: {interim:?}");
                assert!((200..=599).contains(&status), "{name}: {status}");
                let never = matches!(status, 204 | 304) || *request_method == "HEAD";
                assert!(!never || body.is_empty(), "{name}: a body where none is");
                assert!(!(reusable && *closes), "{name}: closed, and used again");
            }
            ResponseExpect::Refuse => refused_cases += 1,
            ResponseExpect::Truncated { status, .. } => {
                truncated_cases += 1;
                assert!((200..=599).contains(&status), "{name}: {status}");
            }
        }
    }
    assert!(accepted_cases >= 60 && refused_cases >= 60 && truncated_cases >= 20);
}

//! From the keys and tables within a `[[listener.route]]` to values.

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept::{self as values, parsed};
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept;
use super::schema::{AUTH, CONDITIONS_MAX, ENTRIES_MAX, RATE_RANGE, USERS_MAX};
use super::{
    Auth, CertificateCondition, FilesOptions, HeaderCondition, HeaderEdits, RateLimit, Users,
};

/// What the names of a table of fields are called in messages.
const FIELD_NAMES: &str = "names of header fields";

/// `header`: what fields a request has.
pub(super) fn header_conditions(section: &mut Section<'_, '_>) -> Vec<HeaderCondition> {
    let sizes = 0..=CONDITIONS_MAX;
    let value = |v: &DeValue<'_>| values::unless(v, "*", accept::value_of_field);
    let pairs = section.pairs("header", &sizes, FIELD_NAMES, accept::field_name, value);
    pairs.into_iter().map(|(name, value)| HeaderCondition { name, value }).collect()
}

/// The table `client_certificate`.
pub(super) fn client_certificate(mut section: Section<'_, '_>) -> CertificateCondition {
    let subject = section.optional("subject", accept::certificate_pattern);
    let name = section.optional("name", accept::certificate_pattern);
    let fingerprint = section.optional("fingerprint", accept::fingerprint);
    section.finish();
    CertificateCondition {
        subject: subject.or(None),
        name: name.or(None),
        fingerprint: fingerprint.or(None),
    }
}

/// `request_headers` or `response_headers`.
pub(super) fn edits(mut section: Section<'_, '_>, is_request: bool) -> HeaderEdits {
    let sizes = 0..=ENTRIES_MAX;
    let set_name = |text: &str| accept::edited_name(text, is_request);
    let name = |text: &str| accept::edited_name(text, false);
    let value = |v: &DeValue<'_>| accept::secret(v, accept::template);
    let set = section.pairs("set", &sizes, FIELD_NAMES, set_name, value);
    let add = section.pairs("add", &sizes, FIELD_NAMES, name, value);
    let removed = |v: &DeValue<'_>| parsed(v, "the name of a header field", name);
    let mut remove = section.list("remove", &sizes, removed).unwrap_or_default();
    remove.sort_unstable();
    remove.dedup();
    section.finish();
    HeaderEdits { remove, set, add }
}

/// The table `rate_limit`.
pub(super) fn rate_limit(mut section: Section<'_, '_>) -> Option<RateLimit> {
    let rate = section.required("rate", "rate = 100", |v| values::whole(v, &RATE_RANGE)).value();
    let limit = RateLimit::read(&mut section);
    let has_burst = section.place("burst").is_some();
    section.finish();
    let rate = rate?.into_inner();
    Some(RateLimit { rate, burst: if has_burst { limit.burst } else { rate }, ..limit })
}

/// The table `auth`. What is missing in it is a mistake: nobody is let in by one.
pub(super) fn auth(section: &mut Section<'_, '_>) -> Option<Auth> {
    let mut section = section.table("auth", AUTH)?;
    let given = section.given();
    let place = |key: &str| given.iter().find(|given| *given.get_ref() == key).map(Spanned::span);
    let realm = section.optional("realm", accept::value_of_field);
    let users =
        section.pairs("users", &(1..=USERS_MAX), "names of users", accept::user_name, |v| {
            accept::secret(v, accept::password_hash)
        });
    let file = section.optional("users_file", |v| values::path(v, "the path of a file"));
    match (place("users"), place("users_file")) {
        (Some(_), Some(second)) => section.report(Mistake::new(
            second,
            "`users_file` stands beside `users`",
            "remove one of them",
        )),
        (None, None) => {
            let message = "missing key `users` or `users_file` in [listener.route.auth]";
            let help = "add users_file = \"/PATH\", or users = { NAME = \"HASH\" }";
            let key = if section.has_misspelt("users_file") { "users_file" } else { "users" };
            section.miss(key, message.to_owned(), help.to_owned());
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    section.finish();
    Some(Auth {
        realm: realm.or("restricted".to_owned()),
        users: match file {
            Field::Value(path) => Users::File(path.into_inner()),
            Field::Nothing | Field::Mistake => Users::Listed(users),
        },
    })
}

/// `files` and the keys that only it has.
pub(super) fn files_options(section: &mut Section<'_, '_>) -> Option<FilesOptions> {
    let root = section.optional("files", values::directory).value();
    let options = FilesOptions::read(section);
    Some(FilesOptions { root: root?.into_inner(), ..options })
}

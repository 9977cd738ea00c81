//! From the keys and tables within a `[[listener.route]]` to values.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept::{self as values, parsed};
use super::super::defaults;
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept;
use super::files;
use super::schema::{
    AUTH, CODING_WORDS, COMPRESS_MIN_RANGE, CONDITIONS_MAX, ENTRIES_MAX, FILE_CACHE_ENTRIES_RANGE,
    FILE_CACHE_TTL_RANGE, RATE_ENTRIES_RANGE, RATE_RANGE, SMALL_FILE_RANGE, SYMLINKS_WORDS,
    USERS_MAX,
};
use super::{
    Auth, CertificateCondition, Compression, FilesOptions, HeaderCondition, HeaderEdits, RateKey,
    RateLimit, Users,
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
    let set = section.pairs("set", &sizes, FIELD_NAMES, set_name, accept::template);
    let add = section.pairs("add", &sizes, FIELD_NAMES, name, accept::template);
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
    let burst = section.optional("burst", |v| values::whole(v, &RATE_RANGE));
    let by = section.optional("by", accept::rate_key);
    let entries_max = section.optional("entries_max", |v| values::whole(v, &RATE_ENTRIES_RANGE));
    section.finish();
    let rate = rate?.into_inner();
    Some(RateLimit {
        rate,
        burst: burst.or(rate),
        by: by.or(RateKey::Source),
        entries_max: entries_max.or(defaults::RATE_ENTRIES_MAX),
    })
}

/// The table `auth`. What is missing in it is a mistake: nobody is let in by one.
pub(super) fn auth(section: &mut Section<'_, '_>) -> Option<Auth> {
    let mut section = section.table("auth", AUTH)?;
    let given = section.given();
    let place = |key: &str| given.iter().find(|given| *given.get_ref() == key).map(Spanned::span);
    let realm = section.optional("realm", accept::value_of_field);
    let users = section.pairs(
        "users",
        &(1..=USERS_MAX),
        "names of users",
        accept::user_name,
        accept::password_hash,
    );
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
        realm: realm.or(defaults::REALM.to_owned()),
        users: match file {
            Field::Value(path) => Users::File(path.into_inner()),
            Field::Nothing | Field::Mistake => Users::Listed(users),
        },
    })
}

/// `compress` and its further keys.
pub(super) fn compression(section: &mut Section<'_, '_>) -> Compression {
    let media_type =
        |v: &DeValue<'_>| parsed(v, "a content type", |text| accept::media_type(text, false));
    let enabled = section.optional("compress", values::boolean);
    let types = section.list("compress_types", &(0..=ENTRIES_MAX), media_type);
    let min = section.optional("compress_min", |v| values::size(v, &COMPRESS_MIN_RANGE));
    let default = Compression::default();
    Compression {
        enabled: enabled.or(default.enabled),
        types: types.map_or(default.types, Into::into),
        min: min.or(default.min),
    }
}

/// `files` and the keys that only it has.
pub(super) fn files_options(section: &mut Section<'_, '_>) -> Option<FilesOptions> {
    let root = section.optional("files", values::directory).value();
    let default = FilesOptions::new(PathBuf::new());
    let sizes = 0..=ENTRIES_MAX;
    let index = section.list("index", &sizes, accept::file_name);
    let try_files = files::try_files(section);
    let listing = section.optional("listing", values::boolean);
    let symlinks = section.optional("symlinks", |v| values::choice(v, SYMLINKS_WORDS));
    let dot_files = section.optional("dot_files", values::boolean);
    let content_types = section.pairs(
        "content_types",
        &sizes,
        "ends of names",
        files::extension,
        files::content_type,
    );
    let default_type = section.optional("default_type", files::content_type);
    let precompressed = section
        .list("precompressed", &(0..=CODING_WORDS.len()), |v| values::choice(v, CODING_WORDS));
    let cache_control =
        section.optional("cache_control", |v| values::unless(v, "off", accept::value_of_field));
    let cache_control_by = section.pairs(
        "cache_control_by",
        &sizes,
        "content types",
        |text| accept::media_type(text, true),
        accept::value_of_field,
    );
    let error_pages =
        section.pairs("error_pages", &sizes, "statuses", accept::error_status, accept::path);
    let cache_entries =
        section.optional("file_cache_entries", |v| values::whole(v, &FILE_CACHE_ENTRIES_RANGE));
    let cache_ttl =
        section.optional("file_cache_ttl", |v| values::duration(v, &FILE_CACHE_TTL_RANGE));
    let small_file_max = section.optional("small_file_max", |v| values::size(v, &SMALL_FILE_RANGE));
    Some(FilesOptions {
        index: index.unwrap_or(default.index),
        try_files: try_files.unwrap_or(default.try_files),
        listing: listing.or(default.listing),
        symlinks: symlinks.or(default.symlinks),
        dot_files: dot_files.or(default.dot_files),
        content_types,
        default_type: default_type.or(default.default_type),
        precompressed: precompressed.unwrap_or(default.precompressed),
        cache_control: cache_control.or(default.cache_control),
        cache_control_by,
        error_pages,
        cache_entries: cache_entries.or(default.cache_entries),
        cache_ttl: cache_ttl.or(default.cache_ttl),
        small_file_max: small_file_max.or(default.small_file_max),
        root: root?.into_inner(),
    })
}

//! The JSON Schema of a configuration file (draft 2020-12), for completion and validation in
//! editors. It is made of the tables of keys, and by hand for keys with forms of their own. Rules
//! that span several keys are for `ringway check`, as is that some file has a listener: one that
//! is included may have none.

use serde_json::{Map, Value, json};

use super::http::BODY_MAX;
use super::http::schema::{
    ACCESS_LOG, AUTH, CLIENT_CERTIFICATE, EJECT, HEALTH, HEALTH_KIND_WORDS, LOG_FORM_WORDS,
    RATE_LIMIT, REQUEST_HEADERS, RESPONSE_HEADERS, ROUTE, SERVER,
};
use super::http::websocket::{RELAY_FORMAT_WORDS, SERVICE_WORDS, WEBSOCKET, WEBSOCKET_INSPECT};
use super::inherit::{DEFAULTS, TABLES, is_of_one};
use super::kinds::{Bytes, Choice, Kind};
use super::schema::{
    ADMIN, LISTENER, LOG, PROTOCOL_WORDS, ROOT, RUNTIME, TableKeys, UPSTREAM, Words,
};
use super::table::KeyDescription;
use super::tls::{ADMIN_TLS, LISTENER_TLS, TlsPolicy, UPSTREAM_TLS};
use super::topics::TOPICS;
use super::{
    AccessLists, Admin, Compression, EjectOptions, ExchangeOptions, FilesOptions, FlowOptions,
    FrameOptions, HealthOptions, Http2Options, HttpOptions, HttpUpstream, LineOptions, Listener,
    ListenerTls, Log, PoolOptions, RateLimit, Route, Runtime, SniOptions, SocketLimits,
    SocketOptions, SpliceOptions, Topics, UdpOptions, Upstream, UpstreamTls, WebSocketOptions,
};

/// The identifier of the schema (`$id`).
const ID: &str = "urn:ringway:configuration";

/// The schema, as JSON text with a line end.
#[must_use]
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Configuration of Ringway",
        "type": "object",
        "additionalProperties": false,
        "properties": root(),
        "$defs": { "listener": listener(), "route": route(), "upstream": upstream() },
    });
    // Texts and numbers can always be written.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// A key whose value has a form of its own.
type KeySchema<'a> = (&'a str, Value);

fn root() -> Map<String, Value> {
    let mut root = Map::new();
    for key in ROOT.keys {
        let schema = match *key {
            "runtime" => {
                table(&RUNTIME, &[Runtime::describe(), SpliceOptions::describe()], &[], &[])
            }
            "admin" => table(&ADMIN, &[Admin::describe()], &[("tls", tls(&ADMIN_TLS))], &[]),
            "log" => table(&LOG, &[Log::describe()], &[], &[]),
            "include" => any_number(&text()),
            "defaults" => defaults(),
            "hosts" | "networks" => named(&one_or_more(&text())),
            "listener" => json!({ "type": "array", "minItems": 1, "items": defined("listener") }),
            "upstream" => named(&defined("upstream")),
            "topics" => named(&table(&TOPICS, &[Topics::describe()], &[], &[])),
            // A test allows no other key.
            _ => json!({}),
        };
        root.insert((*key).to_owned(), schema);
    }
    root
}

/// A table that stands in several places.
fn defined(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Tables of which nothing is required, without what each has for itself.
fn defaults() -> Value {
    let tables = [("listener", &LISTENER), ("route", &ROUTE), ("upstream", &UPSTREAM)];
    let tables = tables.map(|(name, table)| {
        let keys = table.keys.iter().filter(|key| !is_of_one(name, key));
        let keys = keys.map(|key| {
            ((*key).to_owned(), json!({ "$ref": format!("#/$defs/{name}/properties/{key}") }))
        });
        let keys: Map<String, Value> = keys.collect();
        let table = json!({ "type": "object", "additionalProperties": false, "properties": keys });
        (name, table)
    });
    table(&DEFAULTS, &[], &tables, &[])
}

/// A table whose keys are names that the file chooses.
fn named(each: &Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_-]{0,62}$" },
        "additionalProperties": each,
    })
}

/// A table with the keys of some groups, and some with forms of their own.
fn table(
    keys: &TableKeys,
    groups: &[Vec<KeyDescription>],
    own: &[KeySchema<'_>],
    required: &[&str],
) -> Value {
    let mut properties = Map::new();
    for key in keys.keys {
        let described = groups.iter().flatten().find(|one| one.key == *key);
        let own = own.iter().find(|(name, _)| name == key).map(|(_, schema)| schema.clone());
        let schema = match (own, described) {
            (Some(schema), _) => schema,
            (None, Some(described)) => described.to_json(),
            // Any value is accepted: a test allows no such key.
            (None, None) => json!({}),
        };
        // So that nothing is taken over.
        let schema = match TABLES.contains(key) && *keys != ADMIN {
            true => json!({ "anyOf": [{ "const": "off" }, schema] }),
            false => schema,
        };
        properties.insert((*key).to_owned(), schema);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

impl KeyDescription {
    fn to_json(&self) -> Value {
        let Value::Object(mut schema) = self.schema.clone() else {
            return self.schema.clone();
        };
        schema.insert("description".to_owned(), self.doc.clone().into());
        // Values of TOML without dates are values of JSON.
        if let Ok(default) = serde_json::to_value(&self.default) {
            schema.insert("default".to_owned(), default);
        }
        Value::Object(schema)
    }
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn words<T: Copy + PartialEq>(words: Words<T>) -> Value {
    Choice(words).schema()
}

/// One value, or an array of at least one.
fn one_or_more(each: &Value) -> Value {
    json!({ "anyOf": [each, { "type": "array", "minItems": 1, "items": each }] })
}

/// One value, or an array of them.
fn any_number(each: &Value) -> Value {
    json!({ "anyOf": [each, { "type": "array", "items": each }] })
}

fn size() -> Value {
    Bytes::<u64>(0..=u64::MAX >> 1).schema()
}

/// A table of names and texts.
fn texts() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn tls(keys: &TableKeys) -> Value {
    let files = one_or_more(&text());
    let own = [("certificate", files.clone()), ("key", files), ("ocsp", any_number(&text()))];
    let groups = [ListenerTls::describe(), TlsPolicy::describe()];
    table(keys, &groups, &own, &["certificate", "key"])
}

fn listener() -> Value {
    let groups = [
        Listener::describe(),
        SocketOptions::describe(),
        FrameOptions::describe(),
        LineOptions::describe(),
        UdpOptions::describe(),
        FlowOptions::describe(),
        SniOptions::describe(),
        HttpOptions::describe(),
        Http2Options::describe(),
        AccessLists::describe(),
    ];
    let log = table(
        &ACCESS_LOG,
        &[],
        &[("format", words(LOG_FORM_WORDS)), ("path", text()), ("template", text())],
        &[],
    );
    let own = [
        ("name", text()),
        ("listen", one_or_more(&text())),
        ("protocol", words(PROTOCOL_WORDS)),
        ("upstream", text()),
        ("values", texts()),
        ("files", text()),
        ("topics", text()),
        ("names", texts()),
        ("access_log", log),
        ("request_headers", edits(&REQUEST_HEADERS)),
        ("response_headers", edits(&RESPONSE_HEADERS)),
        ("route", json!({ "type": "array", "items": defined("route") })),
        ("tls", tls(&LISTENER_TLS)),
    ];
    table(&LISTENER, &groups, &own, &["name", "listen", "protocol"])
}

fn edits(keys: &TableKeys) -> Value {
    let remove = any_number(&text());
    table(keys, &[], &[("set", texts()), ("add", texts()), ("remove", remove)], &[])
}

fn route() -> Value {
    let auth =
        table(&AUTH, &[], &[("realm", text()), ("users", texts()), ("users_file", text())], &[]);
    let rate = json!({ "type": "integer", "minimum": 1 });
    let certificate = table(
        &CLIENT_CERTIFICATE,
        &[],
        &[("subject", text()), ("name", text()), ("fingerprint", text())],
        &[],
    );
    let own = [
        ("name", text()),
        ("host", one_or_more(&text())),
        ("path", text()),
        ("path_prefix", text()),
        ("path_regex", text()),
        ("method", one_or_more(&text())),
        ("header", texts()),
        ("proxy", text()),
        ("files", text()),
        ("redirect", text()),
        ("respond", json!({ "type": "string" })),
        ("content_type", text()),
        ("handler", text()),
        ("status", json!({ "type": "integer", "minimum": 200, "maximum": 599 })),
        ("echo", json!({ "const": true })),
        ("status_page", json!({ "const": true })),
        ("websocket_page", json!({ "const": true })),
        ("body_max", BODY_MAX.schema()),
        ("prefix_rewrite", text()),
        ("path_rewrite", text()),
        ("request_headers", edits(&REQUEST_HEADERS)),
        ("response_headers", edits(&RESPONSE_HEADERS)),
        ("rate_limit", table(&RATE_LIMIT, &[RateLimit::describe()], &[("rate", rate)], &["rate"])),
        ("auth", auth),
        ("client_certificate", certificate),
        ("websocket", websocket()),
        (
            "websocket_inspect",
            table(&WEBSOCKET_INSPECT, &[SocketLimits::describe()], &message_keys(), &[]),
        ),
    ];
    let groups = [
        Route::describe(),
        FilesOptions::describe(),
        Compression::describe(),
        AccessLists::describe(),
    ];
    table(&ROUTE, &groups, &own, &[])
}

/// Sizes and rates of messages.
fn message_keys() -> [KeySchema<'static>; 4] {
    let rate = json!({ "type": "integer", "minimum": 1 });
    [
        ("message_max", size()),
        ("frame_max", size()),
        ("message_rate", json!({ "anyOf": [{ "const": "off" }, rate.clone()] })),
        ("message_burst", rate),
    ]
}

fn websocket() -> Value {
    let own = [
        ("service", words(SERVICE_WORDS)),
        ("relay_format", words(RELAY_FORMAT_WORDS)),
        ("topics", text()),
        ("upstream", text()),
        ("handler", text()),
        ("publish", json!({ "type": "boolean" })),
        ("subscribe", json!({ "type": "boolean" })),
        ("subprotocols", any_number(&text())),
        ("origins", any_number(&text())),
    ];
    let own: Vec<_> = own.into_iter().chain(message_keys()).collect();
    let groups = [SocketLimits::describe(), WebSocketOptions::describe()];
    table(&WEBSOCKET, &groups, &own, &["service"])
}

fn health() -> Value {
    let status = json!({ "type": "integer", "minimum": 100, "maximum": 599 });
    let range = json!({ "type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$" });
    let own = [
        ("kind", words(HEALTH_KIND_WORDS)),
        ("path", text()),
        ("status", one_or_more(&json!({ "anyOf": [status, range] }))),
        ("body", json!({ "type": "string" })),
        ("host", text()),
        ("service", json!({ "type": "string" })),
    ];
    table(&HEALTH, &[HealthOptions::describe()], &own, &[])
}

fn upstream() -> Value {
    let weight = json!({ "type": "integer", "minimum": 1 });
    let priority = json!({ "type": "integer", "minimum": 0 });
    let server = table(
        &SERVER,
        &[],
        &[("address", text()), ("weight", weight), ("priority", priority)],
        &["address"],
    );
    let server = json!({ "anyOf": [text(), server] });
    let tls = table(
        &UPSTREAM_TLS,
        &[UpstreamTls::describe(), TlsPolicy::describe()],
        &[("certificate", text()), ("key", text())],
        &[],
    );
    let own = [
        ("servers", one_or_more(&server)),
        ("health", health()),
        ("eject", table(&EJECT, &[EjectOptions::describe()], &[], &[])),
        ("hash_on", text()),
        ("tls", tls),
    ];
    let groups = [
        Upstream::describe(),
        SocketOptions::describe(),
        PoolOptions::describe(),
        ExchangeOptions::describe(),
        HttpUpstream::describe(),
    ];
    table(&UPSTREAM, &groups, &own, &["servers"])
}

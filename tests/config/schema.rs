//! The JSON Schema: it is valid, it is the one in `docs/`, and takes what the parser takes.

use std::fs;
use std::path::Path;

use ringway::config;

use crate::{REFERENCE, unusual};

const CHECKED_IN: &str = include_str!("../../docs/ringway.schema.json");

fn validator() -> jsonschema::Validator {
    let schema: serde_json::Value = serde_json::from_str(&config::json_schema()).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with a file, by the schema.
fn errors(validator: &jsonschema::Validator, text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    let value = serde_json::to_value(table).unwrap();
    validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_schema_in_the_documentation_is_that_of_the_code() {
    assert!(
        CHECKED_IN == config::json_schema(),
        "write it again: ringway check --schema > docs/ringway.schema.json"
    );
}

#[test]
fn the_reference_in_the_documentation_is_that_of_the_code() {
    let (documented, made) = (REFERENCE, config::reference());
    let different = documented.lines().zip(made.lines()).find(|(one, other)| one != other);
    assert!(
        documented == made,
        "write it again: ringway check --reference > docs/ringway.toml\n{different:#?}"
    );
}

#[test]
fn the_schema_takes_the_reference_and_unusual_values() {
    let validator = validator();
    for text in [REFERENCE, &unusual(), include_str!("../../src/config/embedded.toml")] {
        assert_eq!(errors(&validator, text), Vec::<String>::new());
    }
}

#[test]
fn the_schema_takes_every_whole_example_of_the_documentation() {
    let validator = validator();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut found = 0;
    for entry in fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        for block in page.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            if config::parse("example", text).is_ok() {
                found += 1;
                assert_eq!(errors(&validator, text), Vec::<String>::new(), "{}", path.display());
            }
        }
    }
    assert!(found > 5, "{found}");
}

#[test]
fn the_schema_refuses_what_is_plainly_wrong() {
    let validator = validator();
    let listener = "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"echo\"\n";
    assert_eq!(errors(&validator, listener), Vec::<String>::new());
    for (more, word) in [
        ("max_conections = 5\n", "max_conections"),
        ("max_connections = 0\n", "max_connections"),
        ("idle_timeout = 5\n", "idle_timeout"),
        ("idle_timeout = \"5 s\"\n", "idle_timeout"),
        ("unix_mode = \"0888\"\n", "unix_mode"),
        ("[runtime]\nbuffers = 100\n", "buffers"),
        ("[runtime]\nworkers = 0\n", "workers"),
        ("[log]\nlevel = \"loud\"\n", "level"),
        ("[upstream.Big]\nservers = \"a:1\"\n", "Big"),
        ("[topics.a]\nqueue_policy = \"keep\"\n", "queue_policy"),
    ] {
        let found = errors(&validator, &format!("{listener}{more}"));
        assert!(found.iter().any(|one| one.contains(word)), "{more}: {found:?}");
    }
    let included = "[upstream.cache]\nservers = [\"a:1\"]\nhealth.status = [200, \"300-399\"]\n";
    assert_eq!(errors(&validator, included), Vec::<String>::new(), "a file that is included");
    let unusual = "[upstream.cache]\nservers = \"a:1\"\nhealth.status = \"20x\"\n";
    assert!(!errors(&validator, unusual).is_empty());
}

#[test]
fn the_schema_says_something_of_every_key() {
    fn look(path: &str, schema: &serde_json::Value) {
        for (name, schema) in
            schema.get("$defs").and_then(|one| one.as_object()).into_iter().flatten()
        {
            look(name, schema);
        }
        let Some(properties) = schema.get("properties").and_then(|one| one.as_object()) else {
            for part in ["items", "additionalProperties"] {
                schema.get(part).iter().for_each(|part| look(path, part));
            }
            return;
        };
        for (key, schema) in properties {
            let path = format!("{path}.{key}");
            assert!(schema.as_object().is_some_and(|schema| !schema.is_empty()), "{path}");
            look(&path, schema);
        }
    }
    look("", &serde_json::from_str(&config::json_schema()).unwrap());
}

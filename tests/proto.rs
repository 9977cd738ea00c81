//! The code and the descriptors of `docs/proto`, which lie in the source tree so that building needs
//! neither `protoc` nor a build script, are what those files say.
//!
//! After a change of them: `RINGWAY_BLESS=1 cargo test --test proto`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const FILES: [&str; 4] = [
    "ringway/v1/stream.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is generated, by the name of its file.
fn generated() -> BTreeMap<PathBuf, Vec<u8>> {
    let protos = root().join("docs/proto");
    let descriptors = protox::compile(FILES, [&protos]).expect("they are valid");
    let mut described = descriptors.clone();
    // Texts for people are for those who have the files.
    described.file.iter_mut().for_each(|file| file.source_code_info = None);
    let mut found = BTreeMap::new();
    found.insert("descriptors.bin".into(), described.encode_to_vec());
    let mut config = prost_build::Config::new();
    config.bytes(["."]).format(false);
    // Its messages are those of v1.
    let files = descriptors.file.into_iter().filter(|file| !file.package().ends_with("v1alpha"));
    let requests = files.map(|file| {
        let module = prost_build::Module::from_protobuf_package_name(file.package());
        (module, file)
    });
    let code = config.generate(requests.collect()).expect("code");
    let code = code
        .into_iter()
        .map(|(module, code)| (PathBuf::from(module.to_file_name_or("none")), code.into_bytes()));
    found.extend(code);
    found
}

#[test]
fn what_is_generated_is_in_the_source_tree() {
    let folder = root().join("src/handler/grpc/generated");
    for (name, content) in generated() {
        let path = folder.join(&name);
        if std::env::var_os("RINGWAY_BLESS").is_some() {
            fs::write(&path, &content).expect("it can be written");
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(found == content, "{} is not what docs/proto says: see above", path.display());
    }
}

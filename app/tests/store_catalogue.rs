//! The catalogue: the one built in, the one a person adds, and wrong ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod store_support;

use std::fs;
use std::path::Path;

use partita::store::{Catalogue, Source, Store, StoreError};
use proptest::prelude::*;
use store_support::{NAME, Toy};

fn refused(text: &str) -> String {
    let error = Catalogue::parse(text, Path::new("models.toml")).unwrap_err();
    assert!(matches!(error, StoreError::Catalogue { .. }));
    let line = error.to_string();
    assert!(line.starts_with("models.toml: ") && !line.contains('\n'), "{line}");
    line
}

#[test]
fn the_catalogue_built_in_has_what_the_program_needs() {
    let catalogue = Catalogue::built_in().unwrap();
    let names: Vec<_> = catalogue.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(
        names,
        ["whisper-base", "gemma-3-270m", "smollm2-135m-instruct", "silero-vad", "onnxruntime"]
    );
    let sum = |name: &str, file: &str| {
        let files = &catalogue.model(name).unwrap().files;
        files
            .iter()
            .find(|known| known.name == file)
            .map(|known| (known.size, known.sha256.clone()))
    };
    let whisper = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9";
    assert_eq!(sum("whisper-base", "model.bin"), Some((145_217_532, whisper.to_owned())));
    let gemma = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818";
    let file = "gemma-3-270m-q4_k_m.gguf";
    assert_eq!(sum("gemma-3-270m", file), Some((253_113_024, gemma.to_owned())));
    let asks: Vec<_> = catalogue.models.iter().filter(|model| model.licence.accept).collect();
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].name, "gemma-3-270m");
    for model in &catalogue.models {
        assert!(matches!(model.sources[0], Source::Path { .. }), "{}", model.name);
        assert!(model.licence.terms.starts_with("https://"), "{}", model.name);
    }
}

#[test]
fn a_models_toml_in_the_store_adds_and_replaces() {
    let root = tempfile::tempdir().unwrap();
    let toy = Toy::new(100).toml();
    let replaced = toy.replace(NAME, "silero-vad").replace("Toy", "Mine");
    fs::write(root.path().join("models.toml"), format!("{toy}{replaced}")).unwrap();
    let store = Store::at(root.path()).unwrap();
    assert_eq!(store.catalogue().models.len(), 6);
    assert_eq!(store.catalogue().model(NAME).unwrap().title, "Toy");
    assert_eq!(store.catalogue().model("silero-vad").unwrap().title, "Mine");
    assert!(store.catalogue().model("whisper-base").is_ok());
}

#[test]
fn an_unknown_model_is_told_the_known_ones() {
    let root = tempfile::tempdir().unwrap();
    let error = Store::at(root.path()).unwrap().state("whisper-bse").unwrap_err().to_string();
    assert!(error.contains("\"whisper-bse\"") && error.contains("whisper-base,"), "{error}");
}

#[test]
fn wrong_catalogues_are_refused_with_the_place() {
    let good = Toy::new(100).toml();
    assert!(Catalogue::parse(&good, Path::new("models.toml")).is_ok());
    let line = refused(&good.replace("size = 100\n", "size = \"much\"\n"));
    assert!(line.contains("line 13: "), "{line}");
    assert!(refused(&good.replace("title =", "titel =")).contains("titel"));
    assert!(refused(&format!("{good}{good}")).contains("twice"));
    assert!(refused(&good.replace("size = 100\n", "size = 101\n")).contains("its parts are 100"));
    assert!(refused(&good.replace("size = 100\n", "size = 0\n")).contains("size 0"));
    let huge = format!("size = {}\n", i64::MAX);
    assert!(refused(&good.replace("size = 100\n", &huge)).contains("is not between"));
    assert!(refused(&good.replace("sha256 = \"", "sha256 = \"F")).contains("sha256"));
}

#[test]
fn names_with_paths_in_them_are_refused() {
    let good = Toy::new(100).toml();
    let mut tried = 0;
    for plain in [format!("\"{NAME}\""), "\"config.json\"".to_owned(), "\"toy-model\"".to_owned()] {
        for bad in ["../up", "/root", "a/b", "a\\\\b", "..", ".hidden", "", "-r", "C:x", "a b", "é"]
        {
            refused(&good.replace(&plain, &format!("\"{bad}\"")));
            tried += 1;
        }
    }
    assert_eq!(tried, 33);
    assert!(refused(&good.replace("config.json", "installed.json")).contains("own record"));
}

#[test]
fn a_model_for_other_systems_says_so() {
    let root = tempfile::tempdir().unwrap();
    let text = Toy::new(100).toml().replace("size = 100\n", "size = 100\nplatform = \"vms-vax\"\n");
    let text = text.replace("size = 13\n", "size = 13\nplatform = \"vms-vax\"\n");
    // Only the files' tables take a platform.
    let (files, sources) = text.split_once("[[model.source]]").unwrap();
    let sources = sources.replace("platform = \"vms-vax\"\n", "");
    let text = format!("{files}[[model.source]]{sources}");
    fs::write(root.path().join("models.toml"), text).unwrap();
    let store = Store::at(root.path()).unwrap();
    let error = store.pull(NAME, &mut partita::store::Silent).unwrap_err();
    assert!(matches!(error, StoreError::NotForPlatform { .. }));
    let line = error.to_string();
    assert!(line.contains("not available for this platform") && line.contains("vms-vax"), "{line}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = Catalogue::parse(&text, Path::new("models.toml"));
    }

    #[test]
    fn a_damaged_catalogue_is_read_or_refused(at in any::<prop::sample::Index>(), put in "[\\[\\]\"=a-z0-9\n]{0,8}") {
        let mut text = Toy::new(100).toml();
        text.insert_str(at.index(text.len()), &put);
        let _ = Catalogue::parse(&text, Path::new("models.toml"));
    }
}

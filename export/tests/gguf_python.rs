//! What was written, read by the independent package `gguf`; skipped where Python has none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use std::fs;
use std::path::Path;
use std::process::Command;

use partita_export::gguf::{Options, Quant, export};
use partita_export::inspect::Listing;
use partita_model::files::WeightFile;
use small::{Made, World};

/// A Python that has the package: `$PYTHON`, or the system's.
fn python() -> Option<String> {
    let named = std::env::var("PYTHON").ok();
    let known = named.into_iter().chain(["python3".to_owned()]);
    known.into_iter().find(|python| {
        let asked = Command::new(python).args(["-c", "import gguf, numpy"]).output();
        asked.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn the_independent_reader_finds_the_same() {
    let Some(python) = python() else {
        println!("skipped: no Python with the package `gguf` (PYTHON names one)");
        return;
    };
    let world = World::make(Made::default());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_pair.py");
    for quant in Quant::all() {
        let out = world.out(quant.name());
        let report = export(&Options {
            model: world.run().to_str().unwrap().to_owned(),
            quant,
            // Encoder and adapter in all types too.
            projector: Some(quant),
            vocabulary: None,
            name: Some("small".to_owned()),
            shard_size: None,
            calibration: None,
            card: Vec::new(),
            out: out.clone(),
        })
        .unwrap();
        for written in &report.files {
            // Our own reading of every tensor, for the script to compare bit by bit.
            let file = WeightFile::open(&written.path).unwrap();
            let values = out.join("values");
            let mut all = Vec::new();
            for tensor in file.tensors() {
                let (_, floats) = file.floats(&tensor.name).unwrap();
                all.extend(floats.iter().flat_map(|value| value.to_le_bytes()));
            }
            fs::write(&values, all).unwrap();
            let listing = out.join("listing.json");
            let shown = Listing::open(Path::new(&written.path)).unwrap().json(true);
            fs::write(&listing, shown.to_string()).unwrap();
            let output = Command::new(&python)
                .arg(&script)
                .args([&written.path, &listing, &values])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{quant}: {said}{wrong}");
            print!("{said}");
        }
    }
}

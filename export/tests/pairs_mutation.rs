//! Damaged pairs: opening, loading and hearing end in an error or a text, and
//! opening and loading hold no more than the files' size allows.
//!
//! `scripts/fuzz.sh` searches for longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../crates/model/tests/damage/mod.rs"]
mod damage;
mod small;

use candle_core::Device;
use damage::{damaged, peak_of_all};
use partita_export::gguf::{Options, Quant, export};
use partita_model::ModelError;
use partita_model::engine::{Engine, Request};
use partita_model::speech::{ExportedModel, InstructedModel};
use proptest::prelude::*;
use small::{Made, World, tone};
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What error messages, paths and bookkeeping may take beside the files' share.
const SLACK: usize = 256 << 10;
/// Bytes held for each of the files'.
const SHARE: usize = 16;

/// Held while bytes of all threads are counted.
static ALONE: Mutex<()> = Mutex::new(());

/// A language model, and the encoder with its adapter.
type Pair = [Vec<u8>; 2];

/// A pair of ours and one of somebody else.
static PAIRS: LazyLock<[Pair; 2]> = LazyLock::new(|| {
    let world = World::make(Made { tied: false, ..Made::default() });
    let out = world.out("ours");
    export(&Options {
        model: world.run().to_str().unwrap().to_owned(),
        quant: Quant::Q4KM,
        projector: None,
        vocabulary: None,
        name: Some("ours".to_owned()),
        shard_size: None,
        calibration: None,
        card: Vec::new(),
        out: out.clone(),
    })
    .unwrap();
    let ours = [out.join("ours-Q4_K_M.gguf"), out.join("mmproj-ours-Q8_0.gguf")];
    let others = world.pair_of_others();
    let others = [others.clone(), others.with_file_name("mmproj-others-F32.gguf")];
    [ours, others].map(|pair| pair.map(|path| fs::read(path).unwrap()))
});

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A pair of which one file is damaged.
fn pair(which: usize) -> impl Strategy<Value = Pair> {
    (0..2usize).prop_flat_map(move |half| {
        damaged(PAIRS[which][half].clone()).prop_map(move |bytes| {
            let mut pair = PAIRS[which].clone();
            pair[half] = bytes;
            pair
        })
    })
}

/// Puts a pair into files, loads it and lets it hear a tone. Returns how loading ended.
fn survives(
    pair: &Pair,
    load: impl Fn(&Path) -> Result<Box<dyn Engine>, ModelError>,
) -> Result<(), String> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let llm = folder.path().join("pair-F32.gguf");
    fs::write(&llm, &pair[0]).unwrap();
    fs::write(folder.path().join("mmproj-pair-F32.gguf"), &pair[1]).unwrap();
    let size = pair[0].len() + pair[1].len();
    let (found, held) = peak_of_all(|| load(&llm));
    assert!(held <= SHARE * size + SLACK, "{held} bytes held for {size}");
    let one_line = |error: &ModelError| {
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 2000, "{line}");
        line
    };
    let mut engine = found.map_err(|error| one_line(&error))?;
    let request = Request { translate: Some("de".to_owned()), ..Request::default() };
    if let Err(error) = engine.transcribe(&tone()[..8000], &request) {
        one_line(&error);
    }
    Ok(())
}

fn load_ours(llm: &Path) -> Result<Box<dyn Engine>, ModelError> {
    Ok(Box::new(ExportedModel::open(llm)?.engine(&Device::Cpu)?))
}

fn load_others(llm: &Path) -> Result<Box<dyn Engine>, ModelError> {
    Ok(Box::new(InstructedModel::open(llm)?.engine(&Device::Cpu)?))
}

#[test]
fn what_is_not_damaged_loads() {
    assert_eq!(survives(&PAIRS[0], load_ours), Ok(()));
    assert_eq!(survives(&PAIRS[1], load_others), Ok(()));
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn damaged_pairs(pair in pair(0)) {
        let _ = survives(&pair, load_ours);
    }

    #[test]
    fn damaged_pairs_of_others(pair in pair(1)) {
        let _ = survives(&pair, load_others);
    }
}

//! Which engine "automatic" means where two real ones were measured.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use partita::engines::EngineChoice;
use partita::measure::{Measured, USUAL_MODEL, chosen, measure};
use partita::settings::Engine;
use partita::store::{State, Store};
use std::ops::ControlFlow;

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/partita-part-small.gguf");

#[test]
fn automatic_is_the_engine_that_is_right_most_often() {
    let store = Store::open().unwrap();
    let is_there = |model: &str| matches!(store.state(model), Ok(State::Installed { .. }));
    if ![USUAL_MODEL, "gemma-3-270m"].into_iter().all(is_there) {
        println!("skipped: {USUAL_MODEL} or gemma-3-270m is not in the store");
        return;
    }
    let engine = |name: &str, model: &str| Engine {
        name: name.to_owned(),
        model: model.to_owned(),
        ..Engine::default()
    };
    let root = tempfile::tempdir().unwrap();
    let mut measured = Measured::load(root.path());
    let mut right = Vec::new();
    for (name, model) in [("whisper", ""), ("speech-llm", OURS)] {
        let options = chosen(&engine(name, model), &measured).unwrap();
        let row = measure(&options, &mut |_| ControlFlow::Continue(())).unwrap().unwrap();
        println!("{row:?}");
        assert_eq!(row.engine, name);
        right.push(row.accuracy);
        measured.add(row);
    }
    measured.save(root.path()).unwrap();
    let measured = Measured::load(root.path());
    assert_eq!(measured.rows.len(), 2);
    // Whisper knows two more of the clips' languages and mistakes fewer words of the others.
    assert!(right[0] > right[1] && right[1] > 0.3, "{right:?}");
    let automatic = chosen(&engine("auto", ""), &measured).unwrap();
    assert_eq!((automatic.engine, automatic.model.as_str()), (EngineChoice::Whisper, USUAL_MODEL));

    // A model that is right clearly more often is taken, as long as it is there.
    let mut better = measured.clone();
    better.rows[1].accuracy = (right[0] + 0.05).min(1.0);
    better.rows[1].real_time_factor = 0.5;
    let automatic = chosen(&engine("auto", ""), &better).unwrap();
    assert_eq!((automatic.engine, automatic.model.as_str()), (EngineChoice::SpeechLlm, OURS));
    better.rows[1].model = "/nowhere/model.gguf".to_owned();
    assert_eq!(chosen(&engine("auto", ""), &better).unwrap().engine, EngineChoice::Whisper);
}

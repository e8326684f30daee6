//! An export that is interrupted; alone in its process, since nothing is written in it any more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use partita_export::gguf::{Options, Quant, export};
use partita_export::merged::Merged;
use partita_export::{interrupt, onnx};
use small::{Made, World};

#[test]
fn nothing_is_left_behind() {
    let world = World::make(Made::default());
    let out = world.out("interrupted");
    interrupt::stop();
    let error = export(&Options {
        model: world.run().to_str().unwrap().to_owned(),
        quant: Quant::Q8_0,
        projector: None,
        vocabulary: None,
        name: Some("small".to_owned()),
        shard_size: None,
        calibration: None,
        card: Vec::new(),
        out: out.clone(),
    });
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("interrupted"), "{error}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);

    let model = Merged::open(world.run().to_str().unwrap()).unwrap();
    let error = onnx::export(&model, onnx::Dtype::Fp32, &out, onnx::MOST_INSIDE).unwrap_err();
    let error = format!("{error:#}");
    assert_eq!(error, "onnx/audio_encoder.onnx: interrupted; nothing was written");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

//! `partita-export gguf --calibration`: scales for what matters.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use partita_export::gguf::{Options, Quant, Report, calibration, export, render};
use partita_model::files::WeightFile;
use small::{LAYERS, Made, World};

fn exported(world: &World, quant: Quant, calibrated: bool) -> Report {
    let name = format!("{}-{calibrated}", quant.name());
    let calibration =
        calibrated.then(|| calibration::Options { manifest: world.manifest(), clips: 10 });
    export(&Options {
        model: world.run().to_str().unwrap().to_owned(),
        quant,
        projector: (quant == Quant::Q4_0).then_some(quant),
        vocabulary: None,
        name: Some("small".to_owned()),
        shard_size: None,
        calibration,
        card: Vec::new(),
        out: world.out(&name),
    })
    .unwrap()
}

#[test]
fn what_matters_is_missed_by_less() {
    let world = World::make(Made::default());
    for quant in [Quant::Q4_0, Quant::Q4KM, Quant::Q5KM, Quant::Q6K] {
        let (plain, report) = (exported(&world, quant, false), exported(&world, quant, true));
        let heard = report.calibration.unwrap();
        // The clips for tests are not among them. Seven matrices a block of the language model, six a
        // layer of the encoder, two of the adapter.
        assert_eq!((heard.clips, heard.layers), (4, 7 * LAYERS + 2 * 6 + 2));
        assert_eq!(plain.calibration, None);
        let [llm, projector] = &report.files[..] else { panic!("not a pair") };
        let mut found = 0;
        for (name, class) in &llm.classes {
            let Some([with, without]) = class.weighted else { continue };
            println!("{quant} {name}: {with:.5}, {without:.5} without");
            assert!(with < without, "{quant} {name}: {with} {without}");
            let even = &plain.files[0].classes[name];
            assert_eq!((even.weighted, &even.types), (None, &class.types));
            found += 1;
        }
        // Rows of 96 become Q5_1 or Q8_0 in these two, whose scales are what they are.
        assert_eq!(found, if matches!(quant, Quant::Q5KM | Quant::Q6K) { 1 } else { 7 }, "{quant}");
        let weighted = |name: &str| projector.classes[name].weighted;
        match quant {
            Quant::Q4_0 => {
                for name in ["a.attn_q", "a.ffn_down", "mm.a.mlp.1"] {
                    let [with, without] = weighted(name).unwrap();
                    assert!(with < without, "{name}: {with} {without}");
                }
            }
            _ => assert_eq!(weighted("a.ffn_down"), None),
        }
        assert!(render(&report).contains("scales chosen by what came into layers for 4 clips"));
        let [one, other] = [&plain, &report].map(|r| WeightFile::open(&r.files[0].path).unwrap());
        let name = "blk.2.ffn_down.weight";
        assert_ne!(one.bytes(name).unwrap(), other.bytes(name).unwrap());
        assert_eq!(
            one.bytes("token_embd.weight").unwrap(),
            other.bytes("token_embd.weight").unwrap()
        );
    }
}

#[test]
fn models_that_cannot_hear_are_not_calibrated() {
    let world = World::make(Made::default());
    let options = Options {
        model: world.llm.to_str().unwrap().to_owned(),
        quant: Quant::Q4_0,
        projector: None,
        vocabulary: None,
        name: None,
        shard_size: None,
        calibration: Some(calibration::Options { manifest: world.manifest(), clips: 1 }),
        card: Vec::new(),
        out: world.out("none"),
    };
    let error = export(&options).unwrap_err().to_string();
    assert!(error.contains("--calibration is for trained speech models"), "{error}");
    assert!(!world.out("none").exists());
}

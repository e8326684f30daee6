//! Stages: budgets, plateaus, what is trained and how fast.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod toy;

use partita_train::recipe::{Metric, ModuleName, Recipe};
use partita_train::stages::{Move, Progress, Reason, Stages};

fn recipe(changes: &[(&str, &str)]) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    toy::recipe(folder.path(), changes)
}

fn at(steps: u64) -> Progress {
    Progress { steps, seconds: 0.0 }
}

fn name(stages: &Stages) -> &str {
    stages.current().map_or("", |(name, _)| name)
}

#[test]
fn budgets_are_shared_out_in_steps() {
    let mut stages = Stages::new(&recipe(&[])).unwrap();
    let mut moves = Vec::new();
    for step in 1..=120 {
        if let Some(change) = stages.after_step(at(step)) {
            moves.push((step, change.from, change.to, change.reason));
        }
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        moves,
        [
            (36, "adapter".to_owned(), text("top"), Reason::Budget),
            (72, "top".to_owned(), text("joint"), Reason::Budget),
            (120, "joint".to_owned(), None, Reason::Budget),
        ]
    );
    assert!(stages.current().is_none());
    assert_eq!(stages.after_step(at(121)), None);
    assert!(stages.learning_rates(at(121)).is_empty());
}

#[test]
fn every_stage_gets_a_step_and_no_step_is_added() {
    for steps in 3..40 {
        let budget = format!("steps = {steps} }}");
        let shares = [("share = 0.3", "share = 0.7"), ("share = 0.4", "share = 0.001")];
        let mut stages =
            Stages::new(&recipe(&[("steps = 120 }", &budget), shares[0], shares[1]])).unwrap();
        let ends: Vec<u64> =
            (1..=steps).filter(|step| stages.after_step(at(*step)).is_some()).collect();
        assert_eq!((ends.len(), ends.last()), (3, Some(&steps)), "{ends:?}");
    }
}

#[test]
fn budgets_in_minutes_follow_the_clock() {
    let mut stages = Stages::new(&recipe(&[("steps = 120 }", "minutes = 2.0 }")])).unwrap();
    let at = |steps, seconds| Progress { steps, seconds };
    assert_eq!(stages.after_step(at(500, 35.9)), None);
    assert_eq!(stages.share(at(500, 18.0)), 0.5);
    // It runs over a little, and the others share what is left.
    assert_eq!(stages.after_step(at(501, 50.0)).unwrap().to.as_deref(), Some("top"));
    assert!((stages.state().length - 30.0).abs() < 1e-9);
    assert_eq!(stages.after_step(at(502, 79.8)), None);
    assert_eq!(stages.after_step(at(503, 80.1)).unwrap().from, "top");
    assert_eq!(stages.after_step(at(900, 119.0)), None);
    assert_eq!(stages.after_step(at(901, 120.0)).unwrap().to, None);
}

const PLATEAU: (&str, &str) = (
    "share = 0.3\ntrain.adapter",
    "share = 0.3\nplateau = { patience = 2, improvement = 0.1, from = 0.5 }\ntrain.adapter",
);

#[test]
fn a_plateau_ends_a_stage_and_leaves_its_steps_to_the_others() {
    let mut stages = Stages::new(&recipe(&[PLATEAU])).unwrap();
    // Gains of a tenth count; 3.7 after 4.0 does not.
    for (step, value) in [(3, 5.0), (6, 4.0), (9, 3.7), (12, 3.59), (15, 3.5)] {
        assert_eq!(stages.after_evaluation(at(step), value), None, "{step}");
    }
    let (index, stale) = (stages.state().index, stages.state().stale);
    assert_eq!((index, stale, stages.state().best), (0, 1, Some(3.59)));
    // Stale for long, but not before half of the stage (18 steps) is over.
    assert_eq!(stages.after_evaluation(at(17), 3.5), None);
    let over = stages.after_evaluation(at(18), 3.4).unwrap();
    let expected =
        Move { from: "adapter".to_owned(), to: Some("top".to_owned()), reason: Reason::Plateau };
    assert_eq!(over, expected);
    assert!(over.to_string().contains("`adapter` is over (no more gain); `top` begins"));
    // 102 steps are left for shares of 0.3 and 0.4.
    assert_eq!((stages.state().length, stages.state().best), (44.0, None));
    assert_eq!(stages.after_step(at(61)), None);
    assert!(stages.after_step(at(62)).is_some());
    assert_eq!(stages.state().length, 58.0);
}

#[test]
fn measures_that_rise_and_those_that_are_no_numbers() {
    let mut rising = recipe(&[PLATEAU]);
    rising.evaluation.metric = Metric::Bleu;
    let mut stages = Stages::new(&rising).unwrap();
    for (value, stale) in [(10.0, 0), (12.0, 0), (12.1, 1), (f64::NAN, 2), (5.0, 3), (14.0, 0)] {
        stages.after_evaluation(at(1), value);
        assert_eq!(stages.state().stale, stale, "{value}");
    }
    let mut stages = Stages::new(&recipe(&[PLATEAU])).unwrap();
    stages.after_evaluation(at(1), f64::NAN);
    assert_eq!(stages.state().best, None);
    stages.after_evaluation(at(2), 7.0);
    assert_eq!(stages.state().best, Some(7.0));
}

#[test]
fn learning_rates_by_module_and_step() {
    let mut stages = Stages::new(&recipe(&[])).unwrap();
    let rate = |stages: &Stages, module: &str, done| stages.learning_rates(at(done))[module];
    // 36 steps, a tenth of them warm-up: the first step has 1/3.6 of the peak, the last the floor.
    assert!((rate(&stages, "adapter", 0) - 1e-2 / 3.6).abs() < 1e-12);
    assert!((rate(&stages, "adapter", 35) - 2e-3).abs() < 1e-12);
    assert!(!stages.learning_rates(at(3)).contains_key("encoder"));
    stages.after_step(at(36));
    // Each stage has its own course.
    assert!((rate(&stages, "encoder", 36) - 5e-3 / 3.6).abs() < 1e-12);
    assert!((rate(&stages, "adapter", 71) - 2e-3).abs() < 1e-12);
    let factors: Vec<f64> = (36..72)
        .map(|done| rate(&stages, "adapter", done) / rate(&stages, "encoder", done))
        .collect();
    assert!(factors.iter().all(|factor| (factor - 2.0).abs() < 1e-9));
}

#[test]
fn the_mix_changes_late_in_a_stage() {
    let mut stages = Stages::new(&recipe(&[])).unwrap();
    stages.after_step(at(36));
    stages.after_step(at(72));
    assert_eq!(name(&stages), "joint");
    assert_eq!(stages.tasks(at(95)).st, 0.0);
    assert_eq!(stages.tasks(at(96)).st, 1.0);
}

#[test]
fn what_is_trained_goes_by_names() {
    let names: Vec<String> = [
        "adapter.linear1.weight",
        "encoder.conv1.weight",
        "encoder.layers.0.q.weight",
        "encoder.layers.1.q.weight",
        "encoder.layers.10.q.weight",
        "encoder.ln_post.weight",
        "encoder.positions",
        "lora.layers.0.q.a",
        "marks",
        "markings.weight",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut stages = Stages::new(&recipe(&[("top = 1", "top = 2")])).unwrap();
    let trained = |stages: &Stages| -> Vec<String> {
        stages.trained(&names).unwrap().into_iter().flat_map(|group| group.names).collect()
    };
    assert_eq!(trained(&stages), ["adapter.linear1.weight", "marks"]);
    stages.after_step(at(36));
    // Layers 9 and 10 of 11, the norm behind them, nothing before.
    assert_eq!(
        trained(&stages),
        ["adapter.linear1.weight", "encoder.layers.10.q.weight", "encoder.ln_post.weight", "marks"]
    );
    stages.after_step(at(72));
    let groups = stages.trained(&names).unwrap();
    assert_eq!(
        groups.iter().map(|group| group.module).collect::<Vec<_>>(),
        [ModuleName::Adapter, ModuleName::Encoder, ModuleName::Lora, ModuleName::Marks]
    );
    assert_eq!(groups[1].names.len(), 6);

    let error = stages.trained(&names[..7]).unwrap_err().to_string();
    assert!(
        error.contains("stage `joint` trains `lora`, which this model does not have"),
        "{error}"
    );
    let mut stages = Stages::new(&recipe(&[("top = 1", "top = 3")])).unwrap();
    stages.after_step(at(36));
    let error = stages.trained(&names[..4]).unwrap_err().to_string();
    assert!(error.contains("the encoder has 2 layers, not 3"), "{error}");
}

#[test]
fn a_state_goes_through_json_and_back() {
    let recipe = recipe(&[PLATEAU]);
    let mut stages = Stages::new(&recipe).unwrap();
    for (step, value) in [(3, 5.0), (6, 1.0 / 3.0), (9, 3.7)] {
        stages.after_evaluation(at(step), value);
    }
    let text = serde_json::to_string(&stages.state()).unwrap();
    let again = Stages::resume(&recipe, serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(again.state(), stages.state());
    assert_eq!(again.learning_rates(at(9)), stages.learning_rates(at(9)));
    let mut wrong = stages.state();
    wrong.index = 9;
    assert!(Stages::resume(&recipe, wrong).is_err());
}

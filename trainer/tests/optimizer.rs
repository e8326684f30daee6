//! AdamW against optax (golden/optimizer.py), and against itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use partita_train::accumulation::Accumulator;
use partita_train::optimizer::{AdamW, Group, Hyperparameters, decays};
use partita_train::schedule::{Schedule, Shape};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    peak: BTreeMap<String, f64>,
    warmup: f64,
    floor: f64,
    clip: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    x: Vec<Vec<f32>>,
    y: Vec<Vec<f32>>,
    start: BTreeMap<String, serde_json::Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    norm: f64,
    rates: BTreeMap<String, f64>,
    parameters: BTreeMap<String, Vec<f32>>,
}

fn start(golden: &Golden) -> BTreeMap<String, Var> {
    let variable = |value: &serde_json::Value| {
        let tensor = match value[0].is_array() {
            true => Tensor::new(
                serde_json::from_value::<Vec<Vec<f32>>>(value.clone()).unwrap(),
                &Device::Cpu,
            ),
            false => Tensor::new(
                serde_json::from_value::<Vec<f32>>(value.clone()).unwrap(),
                &Device::Cpu,
            ),
        };
        Var::from_tensor(&tensor.unwrap()).unwrap()
    };
    golden.start.iter().map(|(name, value)| (name.clone(), variable(value))).collect()
}

fn optimizer(golden: &Golden, parameters: &BTreeMap<String, Var>) -> AdamW {
    let Golden { beta1, beta2, epsilon, weight_decay, .. } = *golden;
    let mut optimizer = AdamW::new(golden.clip, 3);
    let group = |name: &String| Group {
        name: name.clone(),
        hyperparameters: Hyperparameters { beta1, beta2, epsilon, weight_decay },
        parameters: parameters
            .iter()
            .filter(|(parameter, _)| parameter.starts_with(name.as_str()))
            .map(|(name, variable)| (name.clone(), variable.clone()))
            .collect(),
    };
    optimizer.set_groups(golden.peak.keys().map(group).collect()).unwrap();
    optimizer
}

/// The loss of some rows, summed.
fn loss(
    golden: &Golden,
    parameters: &BTreeMap<String, Var>,
    rows: std::ops::Range<usize>,
) -> Tensor {
    let x = Tensor::new(golden.x[rows.clone()].to_vec(), &Device::Cpu).unwrap();
    let y = Tensor::new(golden.y[rows].to_vec(), &Device::Cpu).unwrap();
    let hidden = x.matmul(&parameters["slow.weight"]).unwrap();
    let hidden = hidden.broadcast_add(&parameters["slow.bias"]).unwrap().tanh().unwrap();
    let error = (hidden.matmul(&parameters["fast.weight"]).unwrap() - y).unwrap();
    error.sqr().unwrap().sum_all().unwrap()
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/optimizer.json")).unwrap()
}

fn rates(golden: &Golden, step: usize) -> BTreeMap<String, f64> {
    let steps = golden.steps.len() as f64;
    let schedule =
        Schedule { shape: Shape::Cosine, warmup: golden.warmup / steps, floor: golden.floor };
    let factor = schedule.factor((step + 1) as f64 / steps);
    golden.peak.iter().map(|(name, peak)| (name.clone(), peak * factor)).collect()
}

#[test]
fn twenty_steps_are_those_of_optax() {
    let golden = golden();
    let parameters = start(&golden);
    let mut optimizer = optimizer(&golden, &parameters);
    let mut gradients = optimizer.accumulator();
    let (mut clipped, mut furthest) = (0, 0.0_f32);
    for (step, expected) in golden.steps.iter().enumerate() {
        let rates = rates(&golden, step);
        for (name, rate) in &rates {
            assert!((rate / expected.rates[name] - 1.0).abs() < 1e-5, "{name}: {rate}");
        }
        gradients.clear();
        // Two uneven micro-batches.
        gradients.add(&loss(&golden, &parameters, 0..1), 1).unwrap();
        gradients.add(&loss(&golden, &parameters, 1..5), 4).unwrap();
        assert!((gradients.loss() / expected.loss - 1.0).abs() < 1e-5);
        let done = optimizer.step(&gradients, &rates).unwrap();
        assert!((done.norm / expected.norm - 1.0).abs() < 1e-5);
        clipped += u32::from(done.clipped);
        for (name, expected) in &expected.parameters {
            let found = parameters[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                furthest = furthest.max((found - expected).abs());
            }
        }
    }
    println!("furthest from optax after 20 steps: {furthest:e}; {clipped} steps clipped");
    assert!(furthest < 2e-6, "{furthest}");
    assert!((1..20).contains(&clipped), "some steps are clipped and some are not");
}

#[test]
fn a_restored_optimizer_goes_on_bit_by_bit() {
    let golden = golden();
    let (whole, halves) = (start(&golden), start(&golden));
    let mut first = optimizer(&golden, &whole);
    let mut second = optimizer(&golden, &halves);
    for step in 0..10 {
        if step == 5 {
            // A new optimiser takes up moments and state.
            let mut fresh = optimizer(&golden, &halves);
            for ((name, from), (other, to)) in second.moments().iter().zip(fresh.moments()) {
                assert_eq!(*name, other);
                to.set(&from.copy().unwrap()).unwrap();
            }
            let state = serde_json::to_string(&second.state()).unwrap();
            fresh.restore(&serde_json::from_str(&state).unwrap()).unwrap();
            second = fresh;
        }
        for (optimizer, parameters) in [(&mut first, &whole), (&mut second, &halves)] {
            let mut gradients = optimizer.accumulator();
            gradients.add(&loss(&golden, parameters, 0..5), 5).unwrap();
            optimizer.step(&gradients, &rates(&golden, step)).unwrap();
        }
    }
    for (name, variable) in &whole {
        let bits = |variable: &Var| -> Vec<u32> {
            let values = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(variable), bits(&halves[name]), "{name}");
    }
}

#[test]
fn parameters_that_stay_keep_their_moments_and_new_ones_begin() {
    let golden = golden();
    let parameters = start(&golden);
    let mut optimizer = optimizer(&golden, &parameters);
    let mut gradients = optimizer.accumulator();
    gradients.add(&loss(&golden, &parameters, 0..5), 5).unwrap();
    optimizer.step(&gradients, &rates(&golden, 4)).unwrap();
    let hyperparameters =
        Hyperparameters { beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 };
    let new = Var::new(&[1.0_f32, 2.0], &Device::Cpu).unwrap();
    let kept = ("fast.weight".to_owned(), parameters["fast.weight"].clone());
    let group = Group {
        name: "all".to_owned(),
        hyperparameters,
        parameters: vec![("new".to_owned(), new.clone()), kept],
    };
    optimizer.set_groups(vec![group.clone()]).unwrap();
    assert_eq!(
        optimizer.state().steps,
        BTreeMap::from([("fast.weight".to_owned(), 1), ("new".to_owned(), 0)])
    );
    // The gradients of the parameters before do not fit any more.
    assert!(optimizer.step(&gradients, &BTreeMap::from([("all".to_owned(), 0.1)])).is_err());
    let mut gradients = optimizer.accumulator();
    gradients.add(&new.sqr().unwrap().sum_all().unwrap(), 1).unwrap();
    optimizer.step(&gradients, &BTreeMap::from([("all".to_owned(), 0.1)])).unwrap();
    // The first step of Adam has the length of the learning rate; what has no gradient stays.
    let values = new.to_vec1::<f32>().unwrap();
    assert!((values[0] - 0.9).abs() < 1e-5 && (values[1] - 1.9).abs() < 1e-5, "{values:?}");
    assert_eq!(optimizer.state().steps["fast.weight"], 1);

    let twice = Group { parameters: vec![group.parameters[0].clone(); 2], ..group };
    let error = optimizer.set_groups(vec![twice]).unwrap_err().to_string();
    assert!(error.contains("`new` is given twice"), "{error}");
}

#[test]
fn what_is_not_finite_is_skipped_and_too_much_of_it_is_fatal() {
    let golden = golden();
    let parameters = start(&golden);
    let mut optimizer = optimizer(&golden, &parameters);
    let before: Vec<_> =
        parameters.values().map(|v| v.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect();
    let bad = |optimizer: &AdamW, by: f64| -> Accumulator {
        let mut gradients = optimizer.accumulator();
        gradients.add(&(loss(&golden, &parameters, 0..5) * by).unwrap(), 5).unwrap();
        gradients
    };
    let rates = rates(&golden, 3);
    for by in [f64::NAN, f64::INFINITY] {
        let step = optimizer.step(&bad(&optimizer, by), &rates).unwrap();
        assert!(step.skipped);
    }
    let after: Vec<_> =
        parameters.values().map(|v| v.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect();
    assert_eq!(before, after);
    assert!(!optimizer.step(&bad(&optimizer, 1.0), &rates).unwrap().skipped);
    assert_eq!((optimizer.state().skipped, optimizer.state().skipped_in_a_row), (2, 0));
    optimizer.step(&bad(&optimizer, f64::NAN), &rates).unwrap();
    optimizer.step(&bad(&optimizer, f64::NAN), &rates).unwrap();
    let error = optimizer.step(&bad(&optimizer, f64::NAN), &rates).unwrap_err().to_string();
    assert!(error.contains("3 steps in a row"), "{error}");
}

#[test]
fn weight_decay_is_for_matrices() {
    assert!(decays("adapter.linear1.weight", &[64, 32]));
    assert!(decays("encoder.conv1.weight", &[64, 80, 3]));
    assert!(!decays("adapter.linear1.bias", &[64]));
    assert!(!decays("encoder.ln_post.weight", &[64]));
    assert!(!decays("marks", &[32, 640]));
    assert!(!decays("marks.rows", &[32, 640]));
}

/// What a step costs: `cargo test --release --workspace --test optimizer -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed_of_a_step() {
    const SHAPES: [(usize, usize); 3] = [(2048, 2048), (4096, 2048), (1024, 512)];
    let variables: Vec<(String, Var)> = SHAPES
        .iter()
        .enumerate()
        .map(|(i, shape)| (format!("w{i}"), Var::randn(0_f32, 1.0, *shape, &Device::Cpu).unwrap()))
        .collect();
    let count: usize = SHAPES.iter().map(|(a, b)| a * b).sum();
    let mut optimizer = AdamW::new(1.0, 3);
    let hyperparameters =
        Hyperparameters { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.01 };
    let group = Group { name: "all".to_owned(), hyperparameters, parameters: variables.clone() };
    optimizer.set_groups(vec![group]).unwrap();
    let mut gradients = optimizer.accumulator();
    for (_, variable) in &variables {
        gradients.add(&variable.sqr().unwrap().sum_all().unwrap(), 1).unwrap();
    }
    let rates = BTreeMap::from([("all".to_owned(), 1e-3)]);
    let time = |what: &mut dyn FnMut()| {
        let best = (0..7).map(|_| {
            let begun = std::time::Instant::now();
            what();
            begun.elapsed().as_secs_f64()
        });
        best.fold(f64::INFINITY, f64::min) * 1e3
    };
    let step = time(&mut || assert!(!optimizer.step(&gradients, &rates).unwrap().skipped));
    let norm = time(&mut || assert!(gradients.norm().unwrap() > 0.0));
    let moments: Vec<Tensor> = variables.iter().map(|(_, v)| v.zeros_like().unwrap()).collect();
    let plain = time(&mut || {
        // The same arithmetic with the tensor library's operations, as its own AdamW does it.
        for (((_, w), m), g) in variables.iter().zip(&moments).zip(gradients.sums()) {
            let g = g.as_ref().unwrap();
            let mean = ((m * 0.9).unwrap() + (g * 0.1).unwrap()).unwrap();
            let square = ((m * 0.98).unwrap() + (g.sqr().unwrap() * 0.02).unwrap()).unwrap();
            let change = (mean / (square.sqrt().unwrap() + 1e-8).unwrap()).unwrap();
            w.set(&((w.as_tensor() * 0.999).unwrap() - (change * 1e-3).unwrap()).unwrap()).unwrap();
        }
    });
    println!(
        "{count} parameters: step {step:.1} ms, of it norm {norm:.1} ms; by tensors {plain:.1} ms"
    );
}

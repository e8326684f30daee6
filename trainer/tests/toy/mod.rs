//! A small objective with all that real ones have: modules, frozen parts, uneven batches, dropout,
//! a position in shuffled data.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var};
use partita_train::objective::{Loss, Objective, Position};
use partita_train::recipe::Recipe;
use partita_train::stages::Trained;

/// SplitMix64 (Steele et al. 2014): the same numbers everywhere.
#[derive(Clone, Copy)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between -1 and 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn tensor(&mut self, shape: (usize, usize), scale: f32) -> Tensor {
        let values = (0..shape.0 * shape.1).map(|_| self.unit() * scale).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
}

/// Regression with two hidden layers, called encoder layers here, and an adapter behind them.
/// A batch of task `st` is made of twice as many rows.
pub struct Toy {
    pub variables: BTreeMap<String, Var>,
    trained: Vec<String>,
    teacher: [Tensor; 2],
    random: Random,
    used: u64,
    /// Batches whose loss is not a number.
    pub poisoned: Vec<u64>,
    /// A batch that cannot be computed.
    pub broken: Option<u64>,
    /// The tasks of every batch that was asked for.
    pub seen: Vec<Position>,
}

pub const LAYERS: usize = 2;
const WIDTH: usize = 24;

impl Toy {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut variables = BTreeMap::new();
        let mut add = |name: &str, value: Tensor| {
            variables.insert(name.to_owned(), Var::from_tensor(&value).unwrap());
        };
        for layer in 0..LAYERS {
            add(&format!("encoder.layers.{layer}.weight"), random.tensor((WIDTH, WIDTH), 0.25));
            add(&format!("encoder.layers.{layer}.bias"), random.tensor((1, WIDTH), 0.1));
        }
        add("encoder.conv1.weight", random.tensor((8, WIDTH), 0.4));
        add("encoder.ln_post.weight", random.tensor((1, WIDTH), 1.0));
        add("adapter.weight", random.tensor((WIDTH, 4), 0.25));
        add("lora.a", random.tensor((4, 4), 0.1));
        add("marks", random.tensor((1, 4), 0.1));
        let mut random = Random(99);
        let teacher = [random.tensor((8, WIDTH), 0.6), random.tensor((WIDTH, 4), 0.4)];
        let trained = Vec::new();
        let random = Random(seed ^ 0xdada);
        Self {
            variables,
            trained,
            teacher,
            random,
            used: 0,
            poisoned: Vec::new(),
            broken: None,
            seen: Vec::new(),
        }
    }

    fn weight(&self, name: &str) -> Tensor {
        let variable = &self.variables[name];
        match self.trained.iter().any(|trained| trained == name) {
            true => variable.as_tensor().clone(),
            false => variable.as_detached_tensor(),
        }
    }

    /// The rows of the next batch, and what dropout keeps of them.
    fn batch(&mut self, at: &Position) -> Result<(Tensor, Tensor)> {
        self.used += 1;
        let rows = 1 + (self.random.next() % 7) as usize;
        let rows = if at.tasks.st > 0.0 { 2 * rows } else { rows };
        let x = self.random.tensor((rows, 8), 1.0);
        let kept = ((self.random.tensor((rows, WIDTH), 1.0) + 0.9)?.gt(0.0)?)
            .to_dtype(candle_core::DType::F32)?;
        Ok((x, kept))
    }

    fn error(&self, x: &Tensor, dropout: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let mut hidden = x.matmul(&self.weight("encoder.conv1.weight"))?;
        for layer in 0..LAYERS {
            let weight = self.weight(&format!("encoder.layers.{layer}.weight"));
            let bias = self.weight(&format!("encoder.layers.{layer}.bias"));
            hidden = (&hidden + hidden.matmul(&weight)?.broadcast_add(&bias)?.tanh()?)?;
        }
        hidden = hidden.broadcast_mul(&self.weight("encoder.ln_post.weight"))?;
        if let Some(kept) = dropout {
            hidden = (hidden * kept)?;
        }
        let y = hidden.matmul(&self.weight("adapter.weight"))?;
        let y = (&y + y.matmul(&self.weight("lora.a"))?)?.broadcast_add(&self.weight("marks"))?;
        let wanted = x.matmul(&self.teacher[0])?.tanh()?.matmul(&self.teacher[1])?;
        (y - wanted)?.sqr()?.sum_all()
    }
}

impl Objective for Toy {
    fn parameters(&self) -> Vec<(String, Var)> {
        self.variables.iter().map(|(name, variable)| (name.clone(), variable.clone())).collect()
    }

    fn enter_stage(&mut self, _stage: &str, trained: &[Trained]) -> Result<()> {
        self.trained = trained.iter().flat_map(|group| group.names.clone()).collect();
        Ok(())
    }

    fn loss(&mut self, at: &Position) -> Result<Loss> {
        self.seen.push(at.clone());
        let (x, kept) = self.batch(at)?;
        let rows = x.dim(0)?;
        if self.broken == Some(self.used) {
            bail!("batch {} is broken", self.used);
        }
        let mut sum = self.error(&x, Some(&kept))?;
        if self.poisoned.contains(&self.used) {
            sum = (sum * f64::NAN)?;
        }
        let mut loss = Loss::new(sum, rows as u64);
        loss.batch = format!("rows {}", self.used);
        loss.correct = Some(rows as u64 / 2);
        loss.parts.insert("rows".to_owned(), (rows as f64, 1));
        Ok(loss)
    }

    fn pass(&mut self, at: &Position) -> Result<()> {
        self.batch(at).map(drop)
    }

    fn evaluate(&mut self, _stage: &str) -> Result<BTreeMap<String, f64>> {
        let x = Random(1234).tensor((64, 8), 1.0);
        let loss = f64::from(self.error(&x, None)?.to_scalar::<f32>()?) / 64.0;
        Ok(BTreeMap::from([("loss".to_owned(), loss), ("accuracy".to_owned(), -loss)]))
    }

    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "random": self.random.0, "used": self.used }))
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let number = |name| state[name].as_u64().with_context(|| format!("no `{name}`"));
        (self.random, self.used) = (Random(number("random")?), number("used")?);
        Ok(())
    }
}

/// A recipe for the toy: three stages that each train more.
pub const RECIPE: &str = r#"
name = "toy"
order = ["adapter", "top", "joint"]
budget = { steps = 120 }
batch = { accumulate = 3 }
evaluation = { every = 15 }
checkpoints = { steps = 4, minutes = 60.0, keep_last = 2, keep_best = 1 }
schedule = { shape = "cosine", warmup = 0.1, floor = 0.2 }
optimizer = { clip_norm = 5.0, weight_decay = 0.01, skip_limit = 3 }
[stage.adapter]
share = 0.3
train.adapter = { learning_rate = 1e-2 }
train.marks = { learning_rate = 1e-2 }
tasks = { asr = 1.0 }
[stage.top]
share = 0.3
train.adapter = { learning_rate = 1e-2 }
train.encoder = { learning_rate = 5e-3, top = 1 }
train.marks = { learning_rate = 1e-2 }
tasks = { asr = 1.0 }
[stage.joint]
share = 0.4
train.adapter = { learning_rate = 1e-2 }
train.encoder = { learning_rate = 5e-3 }
train.lora = { learning_rate = 1e-2 }
train.marks = { learning_rate = 1e-2 }
tasks = { asr = 1.0 }
late = { from = 0.5, tasks = { asr = 1.0, st = 1.0 } }
"#;

/// [`RECIPE`] with changes.
pub fn recipe(folder: &Path, changes: &[(&str, &str)]) -> Recipe {
    let mut text = RECIPE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.join("toy.toml");
    std::fs::write(&path, text).unwrap();
    Recipe::load(&path).unwrap()
}

//! Whether a recipe can work.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::{Late, Recipe, Stage, Tasks};
use crate::schedule::{Schedule, Shape};

/// Something that cannot work, and the key that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}`: {reason}", path.join("."))]
pub struct Problem {
    /// The key, from the outermost table on.
    pub path: Vec<String>,
    /// Why it cannot work.
    pub reason: String,
}

impl Problem {
    pub(super) fn new<'a>(
        path: impl IntoIterator<Item = &'a str>,
        reason: impl Into<String>,
    ) -> Self {
        Self { path: path.into_iter().map(str::to_owned).collect(), reason: reason.into() }
    }

    /// The same inside another table.
    fn within<'a>(self, path: impl IntoIterator<Item = &'a str>) -> Self {
        let path = path.into_iter().map(str::to_owned).chain(self.path).collect();
        Self { path, ..self }
    }
}

/// Layers of the encoders of Whisper, by the size in the name.
fn known_layers(encoder: &str) -> Option<usize> {
    let sizes = [("tiny", 4), ("base", 6), ("small", 12), ("medium", 24), ("large", 32)];
    let size = encoder.strip_prefix("whisper-")?.split(['-', '.']).next()?;
    sizes.iter().find(|(name, _)| *name == size).map(|(_, layers)| *layers)
}

impl Recipe {
    /// Checks everything that can be known without the model and the data.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn check(&self) -> Result<(), Problem> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return Err(Problem::new(["name"], "must be a name that a folder can have"));
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Problem::new(["seed"], format!("at most {}", i64::MAX)));
        }
        self.check_order()?;
        self.check_budget()?;
        self.check_settings()?;
        self.schedule.check().map_err(|problem| problem.within(["schedule"]))?;
        for name in &self.order {
            let path = ["stage", name.as_str()];
            let Some(stage) = self.stage.get(name) else {
                return Err(Problem::new(["order"], format!("there is no stage `{name}`")));
            };
            self.check_stage(stage).map_err(|problem| problem.within(path))?;
        }
        if let Some(layers) = known_layers(&self.model.encoder) {
            self.check_encoder(layers)?;
        }
        Ok(())
    }

    /// Whether a stage has tasks that need no audio.
    pub fn has_text_tasks(&self) -> bool {
        let stages = self.order.iter().filter_map(|name| self.stage.get(name));
        let mut mixes = stages.flat_map(|stage| [&stage.tasks, &stage.late.tasks]);
        mixes.any(|tasks| tasks.mt > 0.0 || tasks.lm > 0.0)
    }

    /// Checks that an encoder of so many layers has those that stages train.
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn check_encoder(&self, layers: usize) -> Result<(), Problem> {
        for (name, stage) in &self.stage {
            let top = stage.train.encoder.and_then(|encoder| encoder.top).unwrap_or(0);
            if top > layers {
                let reason = format!("the encoder has {layers} layers, not {top}");
                return Err(Problem::new(["stage", name, "train", "encoder", "top"], reason));
            }
        }
        Ok(())
    }

    fn check_order(&self) -> Result<(), Problem> {
        if self.order.is_empty() {
            return Err(Problem::new(["order"], "names no stage"));
        }
        let mut seen = BTreeSet::new();
        for name in &self.order {
            if !seen.insert(name) {
                return Err(Problem::new(["order"], format!("stage `{name}` comes twice")));
            }
        }
        match self.stage.keys().find(|name| !seen.contains(name)) {
            Some(name) => Err(Problem::new(["stage", name], "does not occur in `order`")),
            None => Ok(()),
        }
    }

    fn check_budget(&self) -> Result<(), Problem> {
        match (self.budget.steps, self.budget.minutes) {
            (None, None) => Err(Problem::new(["budget"], "set steps or minutes")),
            (Some(_), Some(_)) => Err(Problem::new(["budget"], "set steps or minutes, not both")),
            (Some(steps), None) if steps < self.order.len() as u64 => {
                Err(Problem::new(["budget", "steps"], "fewer steps than stages"))
            }
            (Some(steps), None) => within(steps as f64, 1.0..=1e12)
                .map_err(|problem| problem.within(["budget", "steps"])),
            (None, Some(minutes)) if !(minutes > 0.0 && minutes.is_finite()) => {
                Err(Problem::new(["budget", "minutes"], "must be more than 0"))
            }
            _ => Ok(()),
        }
    }

    fn check_settings(&self) -> Result<(), Problem> {
        let Self { data, augmentation, batch, optimizer, evaluation, checkpoints, lora, .. } = self;
        if data.cache.is_some() && !augmentation.keeps_samples() {
            let reason = "clips that get another speed, noise, rooms or gain cannot be kept";
            return Err(Problem::new(["data", "cache"], reason));
        }
        let share = 0.0..=1.0;
        let gain = augmentation.gain(data.cache.is_some());
        let numbers = [
            ("data.padded_share", data.padded_share, share.clone()),
            // Were all clips noise, there would be nothing to learn.
            ("data.noise_share", data.noise_share, 0.0..=0.99),
            // Below 1 large languages would be drawn more often than they come.
            ("data.language_temperature", data.language_temperature, 1.0..=100.0),
            ("data.longest", data.longest, 0.1..=30.0),
            ("data.shortest", data.shortest, 0.0..=data.longest),
            (
                "data.cache.gigabytes",
                data.cache.as_ref().map_or(1.0, |cache| cache.gigabytes),
                0.0..=1e6,
            ),
            ("augmentation.speed", augmentation.speed[0], 0.5..=augmentation.speed[1]),
            ("augmentation.speed", augmentation.speed[1], 0.5..=2.0),
            ("augmentation.noise_share", augmentation.noise_share, share.clone()),
            (
                "augmentation.noise_ratio",
                augmentation.noise_ratio[0],
                -20.0..=augmentation.noise_ratio[1],
            ),
            ("augmentation.noise_ratio", augmentation.noise_ratio[1], -20.0..=60.0),
            ("augmentation.room_share", augmentation.room_share, share.clone()),
            ("augmentation.gain", gain[0], -60.0..=gain[1]),
            ("augmentation.gain", gain[1], -60.0..=60.0),
            ("augmentation.frequency_masks", augmentation.frequency_masks as f64, 0.0..=100.0),
            // Of the 80 or 128 bands of Whisper's features.
            ("augmentation.frequency_width", augmentation.frequency_width as f64, 0.0..=128.0),
            ("augmentation.time_masks", augmentation.time_masks as f64, 0.0..=100.0),
            ("augmentation.time_share", augmentation.time_share, share.clone()),
            ("augmentation.frame_dropout", augmentation.frame_dropout, 0.0..=0.9),
            ("batch.seconds", batch.seconds, data.longest..=86_400.0),
            ("batch.text_tokens", batch.text_tokens as f64, 1.0..=1e7),
            ("batch.accumulate", batch.accumulate as f64, 1.0..=1e5),
            ("optimizer.beta1", optimizer.beta1, 0.0..=0.99999),
            ("optimizer.beta2", optimizer.beta2, 0.0..=0.99999),
            ("optimizer.epsilon", optimizer.epsilon, 1e-16..=1.0),
            ("optimizer.weight_decay", optimizer.weight_decay, share),
            // Infinity for none.
            ("optimizer.clip_norm", optimizer.clip_norm, f64::MIN_POSITIVE..=f64::INFINITY),
            ("optimizer.skip_limit", f64::from(optimizer.skip_limit), 1.0..=1e9),
            ("evaluation.every", evaluation.every as f64, 1.0..=1e9),
            ("evaluation.clips", evaluation.clips as f64, 1.0..=1e6),
            ("checkpoints.minutes", checkpoints.minutes, 0.0..=1e6),
            ("checkpoints.steps", checkpoints.steps as f64, 0.0..=1e9),
            ("checkpoints.keep_last", checkpoints.keep_last as f64, 1.0..=1e6),
            ("checkpoints.keep_best", checkpoints.keep_best as f64, 0.0..=1e6),
            ("lora.rank", lora.rank as f64, 1.0..=4096.0),
            ("lora.alpha", lora.alpha, f64::MIN_POSITIVE..=1e6),
            ("lora.dropout", lora.dropout, 0.0..=0.9),
        ];
        for (key, value, range) in numbers {
            within(value, range).map_err(|problem| problem.within(key.split('.')))?;
        }
        if lora.targets.is_empty() {
            return Err(Problem::new(["lora", "targets"], "names no layer"));
        }
        Ok(())
    }

    fn check_stage(&self, stage: &Stage) -> Result<(), Problem> {
        if stage.share <= 0.0 {
            return Err(Problem::new(["share"], "must be more than 0"));
        }
        within(stage.share, 0.0..=1e6).map_err(|problem| problem.within(["share"]))?;
        check_rates(stage)?;
        within(stage.likeness, 0.0..=1e6).map_err(|problem| problem.within(["likeness"]))?;
        if stage.likeness > 0.0 && stage.tasks.ctc == 0.0 {
            return Err(Problem::new(["likeness"], "is of the task `ctc`, which this stage lacks"));
        }
        check_tasks(stage, &stage.tasks).map_err(|problem| problem.within(["tasks"]))?;
        if stage.late.exists() {
            let Late { from, tasks } = &stage.late;
            within(*from, 0.0..=1.0).map_err(|problem| problem.within(["late", "from"]))?;
            check_tasks(stage, tasks).map_err(|problem| problem.within(["late", "tasks"]))?;
        }
        if let Some(schedule) = &stage.schedule {
            schedule.check().map_err(|problem| problem.within(["schedule"]))?;
        }
        let Some(plateau) = stage.plateau else { return Ok(()) };
        let numbers = [
            ("patience", f64::from(plateau.patience), 1.0..=1e6),
            ("improvement", plateau.improvement, 0.0..=0.99),
            ("from", plateau.from, 0.0..=1.0),
        ];
        for (key, value, range) in numbers {
            within(value, range).map_err(|problem| problem.within(["plateau", key]))?;
        }
        Ok(())
    }
}

fn within(value: f64, range: RangeInclusive<f64>) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err(Problem::new([], format!("{value} is not between {low} and {high}")))
}

fn check_rates(stage: &Stage) -> Result<(), Problem> {
    let modules = stage.train.modules();
    if modules.is_empty() {
        return Err(Problem::new(["train"], "names no module, so this stage would train nothing"));
    }
    for (module, settings) in modules {
        let path = ["train", module.name()];
        let rate = settings.learning_rate;
        if !(rate > 0.0 && rate <= 1.0) {
            let reason = format!(
                "{rate} is not above 0 and at most 1; a module that is to stay as it is has no \
                 entry in `train`"
            );
            return Err(Problem::new(["learning_rate"], reason).within(path));
        }
        let decay = settings.weight_decay.unwrap_or(0.0);
        within(decay, 0.0..=1.0)
            .map_err(|problem| problem.within(["weight_decay"]).within(path))?;
    }
    if stage.train.encoder.is_some_and(|encoder| encoder.top == Some(0)) {
        let reason = "0 layers; leave `encoder` out to keep it as it is";
        return Err(Problem::new(["train", "encoder", "top"], reason));
    }
    Ok(())
}

/// Checks that there is a task, and that each task reaches something that is trained.
fn check_tasks(stage: &Stage, tasks: &Tasks) -> Result<(), Problem> {
    for (name, weight) in tasks.all() {
        if !(0.0..=1e6).contains(&weight) {
            let reason = format!("{weight} is not a weight from 0 to a million");
            return Err(Problem::new([name], reason));
        }
    }
    if tasks.all().iter().all(|(_, weight)| *weight == 0.0) {
        return Err(Problem::new([], "all weights are 0, so there is nothing to train on"));
    }
    let train = &stage.train;
    let to_llm = tasks.asr + tasks.st + tasks.direct;
    for (name, weight) in [("mt", tasks.mt), ("lm", tasks.lm)] {
        if weight > 0.0 && train.lora.is_none() {
            let reason = "text passes through the LLM alone, and this stage does not train `lora`";
            return Err(Problem::new([name], reason));
        }
    }
    let speech = to_llm + tasks.ctc;
    for (module, _) in train.modules() {
        let reached = match module.name() {
            "adapter" | "encoder" => speech > 0.0,
            "ctc" => tasks.ctc > 0.0,
            _ => to_llm + tasks.mt + tasks.lm > 0.0,
        };
        if !reached {
            let reason =
                format!("no task of this mix reaches `{}`, which is trained", module.name());
            return Err(Problem::new([], reason));
        }
    }
    Ok(())
}

impl Schedule {
    fn check(&self) -> Result<(), Problem> {
        within(self.floor, 0.0..=1.0).map_err(|problem| problem.within(["floor"]))?;
        within(self.warmup, 0.0..=1.0).map_err(|problem| problem.within(["warmup"]))?;
        if self.shape == Shape::InverseSqrt && self.warmup == 0.0 {
            return Err(Problem::new(["warmup"], "this shape begins where the warm-up ends"));
        }
        Ok(())
    }
}

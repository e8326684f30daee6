//! What is compared: the arms and their recipes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::output;
use crate::recipe::Recipe;

/// An arm of the comparison.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The two-stage baseline.
    A,
    /// PART.
    B,
    /// PART with translation from the start.
    C1,
    /// The same without low-rank updates of the LLM.
    C2,
    /// The same with the encoder released at once.
    C3,
}

/// The recipes of this program, which need not be beside it.
const RECIPES: [(&str, &str); 7] = [
    ("warm.toml", include_str!("../../recipes/warm.toml")),
    ("part.toml", include_str!("../../recipes/part.toml")),
    ("joint.toml", include_str!("../../recipes/joint.toml")),
    ("part-b.toml", include_str!("../../recipes/part-b.toml")),
    ("part-c1.toml", include_str!("../../recipes/part-c1.toml")),
    ("part-c2.toml", include_str!("../../recipes/part-c2.toml")),
    ("part-c3.toml", include_str!("../../recipes/part-c3.toml")),
];

impl Arm {
    /// All arms.
    pub const ALL: [Self; 5] = [Self::A, Self::B, Self::C1, Self::C2, Self::C3];

    /// Its name in files: `a`, `c1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C1 => "c1",
            Self::C2 => "c2",
            Self::C3 => "c3",
        }
    }

    /// Its name for people: `A`, `C1`.
    pub fn title(self) -> String {
        self.name().to_uppercase()
    }

    /// Its recipe among those of this program.
    pub fn recipe(self) -> &'static str {
        match self {
            Self::A => "joint.toml",
            Self::B => "part-b.toml",
            Self::C1 => "part-c1.toml",
            Self::C2 => "part-c2.toml",
            Self::C3 => "part-c3.toml",
        }
    }
}

/// Learning rate of the adapter in its own stage, in every arm, when there is a warm start: that of
/// the recipes is for a random adapter, and would undo what it has learned.
const STARTED_RATE: f64 = 3e-4;

/// What every recipe of a comparison is given beside its own.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// Settings of a test that is to be short.
    pub tiny: Option<Tiny>,
    /// Whether the recipes are to be such as a processor can carry out.
    pub small: bool,
    /// Manifests of clips.
    pub speech: Vec<PathBuf>,
    /// Languages to understand and to translate into; empty for all.
    pub languages: Vec<String>,
    /// The model that every arm begins from.
    pub start: Option<PathBuf>,
    /// Where features are kept for all runs, by recipes that hear clips as they are.
    pub features: Option<PathBuf>,
}

/// Most that the features of a comparison may take, GB: 250 hours of speech.
const FEATURES: f64 = 14.0;

/// The small model of a short test.
#[derive(Debug, Clone)]
pub struct Tiny {
    /// Its encoder.
    pub encoder: PathBuf,
    /// Its language model.
    pub llm: PathBuf,
}

/// Writes this program's recipes into a folder, for others to extend.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_recipes(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    RECIPES
        .iter()
        .try_for_each(|(name, text)| output::write_whole(&folder.join(name), text.as_bytes()))
}

/// Writes `NAME.toml` into the folder of recipes: the recipe `base` with so many steps, and what
/// all have in common. Returns its path.
///
/// # Errors
/// When the folder cannot be written, or a path is not in UTF-8.
pub fn write_variant(
    folder: &Path,
    name: &str,
    base: &str,
    steps: Option<u64>,
    common: &Common,
) -> Result<PathBuf> {
    let mut table: Table = match common.tiny {
        Some(_) => include_str!("tiny.toml").parse()?,
        None if common.small => include_str!("small.toml").parse()?,
        None => Table::new(),
    };
    let text = |path: &Path| -> Result<Value> {
        let text = path.to_str().with_context(|| format!("{}: not in UTF-8", path.display()))?;
        Ok(Value::from(text))
    };
    table.insert("extends".to_owned(), Value::from(base));
    table.insert("name".to_owned(), Value::from(name));
    if let Some(steps) = steps {
        let steps = i64::try_from(steps).context("so many steps")?;
        table.insert(
            "budget".to_owned(),
            Table::from_iter([("steps".to_owned(), Value::Integer(steps))]).into(),
        );
    }
    let mut set = |section: &str, key: &str, value: Value| {
        let section = table.entry(section).or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value);
        }
    };
    let speech = common.speech.iter().map(|path| text(path)).collect::<Result<Vec<_>>>()?;
    set("data", "speech", Value::Array(speech));
    if !common.languages.is_empty() {
        set("data", "languages", Value::from(common.languages.clone()));
        set("data", "targets", Value::from(common.languages.clone()));
    }
    if let Some(start) = &common.start {
        set("model", "start", text(start)?);
        // A stage's `train` is taken whole, so all that the arm trains in it is said again.
        let mut train = Recipe::load(&folder.join(base))?
            .stage
            .remove("adapter")
            .with_context(|| format!("{base}: no stage `adapter`"))?
            .train;
        if let Some(adapter) = &mut train.adapter {
            adapter.learning_rate = STARTED_RATE;
        }
        let train = Table::from_iter([("train".to_owned(), Value::try_from(train)?)]);
        set("stage", "adapter", train.into());
    }
    if let Some(tiny) = &common.tiny {
        set("model", "encoder", text(&tiny.encoder)?);
        set("model", "llm", text(&tiny.llm)?);
    }
    let path = folder.join(format!("{name}.toml"));
    write(&path, &table)?;
    let Some(features) = &common.features else { return Ok(path) };
    if Recipe::load(&path)?.augmentation.keeps_samples() {
        let (folder, gigabytes) = (text(features)?, Value::from(FEATURES));
        let cache = [("folder".to_owned(), folder), ("gigabytes".to_owned(), gigabytes)];
        if let Some(Value::Table(data)) = table.get_mut("data") {
            data.insert("cache".to_owned(), Table::from_iter(cache).into());
        }
        write(&path, &table)?;
    }
    Ok(path)
}

fn write(path: &Path, recipe: &Table) -> Result<()> {
    let about = "# Written by `partita-train reproduce part`.\n\n";
    output::write_whole(path, format!("{about}{}", toml::to_string(recipe)?).as_bytes())
}

/// Refuses arms that could not be compared: all must have the same steps, data, batches, optimiser
/// and model, and a last stage that no plateau ends early.
///
/// # Errors
/// The first arm that differs from the first, and in what.
pub fn expect_comparable(arms: &[(Arm, Recipe)]) -> Result<()> {
    let Some((first, reference)) = arms.first() else { return Ok(()) };
    for (arm, recipe) in arms {
        let (name, other) = (arm.title(), first.title());
        let Some(steps) = recipe.budget.steps else {
            bail!("arm {name}: its budget is not in steps, so arms would not be trained alike");
        };
        let last = recipe.order.last().and_then(|stage| recipe.stage.get(stage));
        if last.is_none_or(|stage| stage.plateau.is_some()) {
            bail!("arm {name}: its last stage may end before {steps} steps are done");
        }
        let same = [
            ("budget", recipe.budget == reference.budget),
            ("model", recipe.model == reference.model),
            ("lora", recipe.lora == reference.lora),
            ("data", recipe.data == reference.data),
            ("augmentation", recipe.augmentation == reference.augmentation),
            ("batch", recipe.batch == reference.batch),
            ("optimizer", recipe.optimizer == reference.optimizer),
            ("schedule", recipe.schedule == reference.schedule),
            ("evaluation", recipe.evaluation == reference.evaluation),
        ];
        if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
            bail!("arm {name} has another `{what}` than arm {other}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes(folder: &Path, common: &Common) -> Vec<(Arm, Recipe)> {
        write_recipes(folder).unwrap();
        let load = |arm: Arm| {
            let path = write_variant(folder, arm.name(), arm.recipe(), Some(600), common).unwrap();
            (arm, Recipe::load(&path).unwrap())
        };
        Arm::ALL.map(load).to_vec()
    }

    #[test]
    fn the_arms_differ_in_what_is_compared_alone() {
        let folder = tempfile::tempdir().unwrap();
        let common = Common { speech: vec!["s.jsonl".into()], ..Common::default() };
        let mut arms = recipes(folder.path(), &common);
        expect_comparable(&arms).unwrap();
        assert!(arms.iter().all(|(_, recipe)| recipe.budget.steps == Some(600)));
        // Low-rank updates, translation in every stage, and stages: what the ablations take away.
        let lora = |recipe: &Recipe| recipe.stage.values().any(|stage| stage.train.lora.is_some());
        let early = |recipe: &Recipe| recipe.stage.values().all(|stage| stage.tasks.st > 0.0);
        let found: Vec<_> = arms.iter().map(|(_, r)| (lora(r), early(r), r.order.len())).collect();
        let (a, b, c1) = ((false, true, 2), (true, false, 4), (true, true, 4));
        assert_eq!(found, [a, b, c1, (false, true, 4), (false, true, 3)]);
        // Every arm trains the whole encoder, and none is trained on text.
        for (arm, recipe) in &arms {
            let mut encoders = recipe.stage.values().filter_map(|stage| stage.train.encoder);
            assert!(encoders.any(|encoder| encoder.top.is_none()), "{arm:?}");
            let text = |stage: &crate::recipe::Stage| {
                stage.tasks.mt + stage.tasks.lm + stage.late.tasks.mt + stage.late.tasks.lm
            };
            assert!(recipe.stage.values().all(|stage| text(stage) == 0.0), "{arm:?}");
        }

        arms[2].1.batch.accumulate += 1;
        let error = expect_comparable(&arms).unwrap_err().to_string();
        assert_eq!(error, "arm C1 has another `batch` than arm A");
        arms[1].1.stage.get_mut("joint").unwrap().plateau = Some(Default::default());
        let error = expect_comparable(&arms).unwrap_err().to_string();
        assert_eq!(error, "arm B: its last stage may end before 600 steps are done");
    }

    #[test]
    fn a_variant_has_what_all_have_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let tiny = Tiny { encoder: "/e \"1\".gguf".into(), llm: "/l.gguf".into() };
        let start = Some("/runs/warm".into());
        let (speech, languages) = (vec!["/s.jsonl".into()], vec!["de".to_owned()]);
        let features = Some("/features".into());
        let tiny = Some(tiny);
        let common = Common { tiny, small: false, speech, languages, start, features };
        // Recipes that change what is heard keep no features.
        let changing = Common { tiny: None, small: true, ..common.clone() };
        let kept = |common: &Common| -> Vec<_> {
            let recipes = recipes(folder.path(), common).into_iter();
            recipes.map(|(_, recipe)| recipe.data.cache.map(|cache| cache.folder)).collect()
        };
        assert_eq!(kept(&changing), [None, None, None, None, None]);
        assert_eq!(kept(&common), vec![Some("/features".to_owned()); 5]);
        for (_, recipe) in recipes(folder.path(), &common) {
            assert_eq!(recipe.model.encoder, "/e \"1\".gguf");
            assert_eq!((recipe.model.start.as_str(), recipe.batch.accumulate), ("/runs/warm", 1));
            assert_eq!(recipe.data.speech, ["/s.jsonl"]);
            let adapter = recipe.stage["adapter"].train.adapter.as_ref().unwrap();
            assert_eq!(adapter.learning_rate, STARTED_RATE);
            let marks = recipe.stage["adapter"].train.marks.as_ref().unwrap();
            assert_eq!(marks.learning_rate, 1e-3, "what else the stage trains stays");
            assert_eq!(
                (recipe.data.longest, recipe.data.languages.as_slice()),
                (5.0, &["de".to_owned()][..])
            );
        }
    }
}

//! A comparison while it is carried out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use partita_corpus::manifest::Split;
use partita_model::speech::TrainedModel;

use super::arms::{Arm, Common, expect_comparable, write_recipes, write_variant};
use super::results::{Results, Run};
use super::settings::{Settings, Warm};
use super::{Options, data, page};
use crate::evaluate::{self, Row, Summary, Task};
use crate::output;
use crate::recipe::Recipe;
use crate::report::{self, gradients};
use crate::run_folder::{self, RunFolder};
use crate::speech::SpeechObjective;
use crate::train;
use crate::training_loop::{Outcome, stop_on_interrupt};

/// Steps of a small comparison's warm start.
const SMALL_WARM_START: u64 = 2400;
/// Clips of each language that a small comparison is tested on, at most.
const SMALL_TEST: usize = 24;

pub struct Session<'a> {
    options: &'a Options,
    folder: PathBuf,
    device: &'a Device,
    quiet: bool,
    stop: Arc<AtomicBool>,
    manifests: Vec<PathBuf>,
    /// The recipes of the warm start and of the arms, by name.
    recipes: BTreeMap<String, PathBuf>,
}

impl<'a> Session<'a> {
    /// Makes everything ready that training needs: data, recipes, and what all arms begin from.
    pub fn begin(
        options: &'a Options,
        folder: &Path,
        device: &'a Device,
        quiet: bool,
    ) -> Result<Self> {
        if options.arms.is_empty() || options.seeds.is_empty() {
            bail!("no arms or no seeds: there is nothing to do");
        }
        if options.tiny && !options.data.is_empty() {
            bail!("--tiny makes its own data; leave --data out");
        }
        if let Warm::Run(run) = &options.warm {
            let weights = run.join(TrainedModel::WEIGHTS);
            if !weights.is_file() {
                bail!(
                    "--warm {0}: no finished run ({0} has no {1})",
                    run.display(),
                    TrainedModel::WEIGHTS
                );
            }
        }
        if options.data.is_empty() && !options.tiny {
            bail!("no data: name a folder of corpora, or manifests, with --data; or try --tiny");
        }
        let settings = Settings::of(options)?;
        let mut sources = options.data.clone();
        settings.keep(folder)?;
        let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
        let mut common = Common {
            languages: options.languages.clone(),
            small: options.small,
            features: Some(folder.join("features")),
            ..Common::default()
        };
        if options.tiny {
            let (tiny, corpus) = data::tiny(&folder.join("tiny"))?;
            common.tiny = Some(tiny);
            sources = vec![corpus];
        }
        let manifests = data::settle(&sources, &folder.join("data"), quiet)?;
        common.speech = manifests.speech.clone();

        let mut session = Self {
            options,
            device,
            quiet,
            stop: stop_on_interrupt()?,
            manifests: manifests.speech,
            recipes: BTreeMap::new(),
            folder,
        };
        session.write_recipes(common)?;
        Ok(session)
    }

    fn write_recipes(&mut self, mut common: Common) -> Result<()> {
        let folder = self.folder.join("recipes");
        write_recipes(&folder)?;
        match &self.options.warm {
            Warm::Steps(Some(0)) => {}
            Warm::Steps(steps) => {
                let steps = steps.or(self.options.small.then_some(SMALL_WARM_START));
                let path = write_variant(&folder, "warm-start", "warm.toml", steps, &common)?;
                self.recipes.insert("warm".to_owned(), path);
                common.start = Some(self.run("warm"));
            }
            Warm::Run(run) => {
                let run = run.canonicalize().with_context(|| run.display().to_string())?;
                common.start = Some(run);
            }
        }
        let mut loaded = Vec::new();
        for arm in &self.options.arms {
            let name = format!("arm-{}", arm.name());
            let path = write_variant(&folder, &name, arm.recipe(), self.options.steps, &common)?;
            loaded.push((*arm, Recipe::load(&path)?));
            self.recipes.insert(arm.name().to_owned(), path);
        }
        expect_comparable(&loaded)
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.join("runs").join(name)
    }

    fn tell(&self, line: &str) -> Result<()> {
        match self.quiet {
            true => Ok(()),
            false => Ok(output::print_error(&format!("{line}\n"))?),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does what is left to do.
    pub fn carry_out(&mut self) -> Result<Outcome> {
        let warm = self.recipes.get("warm").cloned();
        if let Some(recipe) = warm.filter(|_| !self.any_begun()) {
            self.tell("warm start")?;
            if self.train(&recipe, &self.run("warm"), None)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        for &seed in &self.options.seeds {
            for &arm in &self.options.arms {
                if self.scores(arm, seed)?.is_some() {
                    continue;
                }
                self.tell(&format!("arm {}, seed {seed}", arm.title()))?;
                let recipe = self.recipes.get(arm.name()).context("an arm without a recipe")?;
                let run = self.run(&format!("{}-{seed}", arm.name()));
                if self.train(recipe, &run, Some(seed))? == Outcome::Stopped || self.stopped() {
                    return Ok(Outcome::Stopped);
                }
                if self.evaluate(&run)? == Outcome::Stopped {
                    return Ok(Outcome::Stopped);
                }
                self.write_page(false)?;
                if self.stopped() {
                    return Ok(Outcome::Stopped);
                }
            }
        }
        if self.options.gradients > 0 {
            let first = self.options.seeds.first().copied().unwrap_or_default();
            for &arm in &self.options.arms {
                let run = self.run(&format!("{}-{first}", arm.name()));
                let recipe = run_folder::recipe(&run)?;
                let clips = self.options.gradients;
                gradients::measure(&run, &recipe, clips, self.device, self.quiet)?;
                if self.stopped() {
                    return Ok(Outcome::Stopped);
                }
            }
        }
        self.write_page(true)?;
        Ok(Outcome::Finished)
    }

    /// Whether a run of an arm was begun: then the warm start is finished.
    fn any_begun(&self) -> bool {
        let runs = fs::read_dir(self.folder.join("runs")).into_iter().flatten().flatten();
        runs.map(|run| run.path()).any(|run| {
            let warm = run.file_name().is_some_and(|name| name == "warm");
            !warm && run.join("config.toml").is_file()
        })
    }

    /// Begins a run or goes on with it. One that is finished is opened and left as it is.
    fn train(&self, recipe: &Path, run: &Path, seed: Option<u64>) -> Result<Outcome> {
        let options = train::Options {
            recipe: recipe.to_owned(),
            out: None,
            speech: Vec::new(),
            text: Vec::new(),
            seed,
        };
        let wanted = train::resolve(&options)?;
        let folder = if run.join("config.toml").is_file() {
            let folder = RunFolder::open(run)?;
            if *folder.recipe() != wanted {
                bail!(
                    "{}: was begun with another recipe than {}; remove it, or name another --out",
                    run.display(),
                    recipe.display()
                );
            }
            folder
        } else {
            RunFolder::create(run, &wanted)?
        };
        let mut objective = SpeechObjective::open(&wanted, self.device)?;
        train::go_on(&mut objective, &folder, &self.stop, self.quiet)
    }

    fn evaluation(&self, run: &Path) -> evaluate::Options {
        evaluate::Options {
            run: run.to_owned(),
            manifests: self.manifests.clone(),
            tasks: vec![Task::Asr, Task::St],
            split: Split::Test,
            beam: 1,
            clips: self.options.small.then_some(SMALL_TEST),
            ..evaluate::Options::default()
        }
    }

    fn evaluate(&self, run: &Path) -> Result<Outcome> {
        let options = self.evaluation(run);
        let found = evaluate::evaluate_until(&self.stop, &options, self.device, self.quiet)?;
        Ok(if found.is_some() { Outcome::Finished } else { Outcome::Stopped })
    }

    /// The scores and answers of a run, if it is finished.
    fn scores(&self, arm: Arm, seed: u64) -> Result<Option<(Summary, Vec<Row>)>> {
        let run = self.run(&format!("{}-{seed}", arm.name()));
        let name = self.evaluation(&run).name();
        let summary = run.join("eval").join(format!("{name}.json"));
        if !summary.is_file() {
            return Ok(None);
        }
        let named = || summary.display().to_string();
        let text = fs::read(&summary).with_context(named)?;
        let rows = evaluate::read_rows(&summary.with_extension("jsonl"))?;
        Ok(Some((serde_json::from_slice(&text).with_context(named)?, rows)))
    }

    /// The commands that repeat a run, from the comparison's folder.
    fn commands(&self, arm: Arm, seed: u64) -> Vec<String> {
        let run = format!("runs/{}-{seed}", arm.name());
        let device = match self.options.device.as_str() {
            "cpu" => String::new(),
            other => format!(" --device {other}"),
        };
        let inside = |path: &PathBuf| {
            let path = path.strip_prefix(&self.folder).unwrap_or(path);
            path.display().to_string()
        };
        let manifests: Vec<String> = self.manifests.iter().map(inside).collect();
        let clips = match self.options.small {
            true => format!(" --clips {SMALL_TEST}"),
            false => String::new(),
        };
        let recipe = format!("recipes/arm-{}.toml", arm.name());
        vec![
            format!("partita-train train {recipe} --seed {seed} --out {run}{device}"),
            format!(
                "partita-train eval {run} {} --task asr,st{clips}{device}",
                manifests.join(" ")
            ),
        ]
    }

    /// Writes the page, its images and `results.json` from the runs that are finished; of arms and
    /// seeds that were asked for earlier, too.
    fn write_page(&self, complete: bool) -> Result<()> {
        let mut runs = Vec::new();
        for arm in Arm::ALL {
            for seed in self.seeds_of(arm) {
                let Some(scores) = self.scores(arm, seed)? else { continue };
                let folder = self.run(&format!("{}-{seed}", arm.name()));
                let recipe = run_folder::recipe(&folder)?;
                let commands = self.commands(arm, seed);
                runs.push(Run::read((arm, seed), &folder, recipe, scores, commands)?);
            }
        }
        let sizes: Vec<u64> = runs.iter().map(|run| run.size.whole).collect();
        if sizes.iter().any(|size| sizes.first() != Some(size)) {
            bail!("the trained models are not of the same size: {sizes:?} parameters");
        }
        let results = Results::of(&runs);
        let text = serde_json::to_vec_pretty(&results)?;
        output::write_whole(&self.folder.join("results.json"), &text)?;
        let mut charts = Vec::new();
        for (name, chart) in page::charts(&runs) {
            charts.extend(report::draw(&self.folder, name, &chart)?);
        }
        let mut matrices = Vec::new();
        for run in &runs {
            let prefix = format!("{}-{}-", run.arm.name(), run.seed);
            matrices.push(report::draw_matrices(&self.folder, &prefix, &run.cosines)?);
            let options = report::Options { run: run.folder.clone(), out: None, gradients: None };
            report::report(&options, self.device, self.quiet)?;
        }
        let text = page::page(&runs, &results, (&charts, &matrices), complete);
        output::write_whole(&self.folder.join("report.md"), text.as_bytes())
    }

    /// Seeds with a folder of an arm, in order.
    fn seeds_of(&self, arm: Arm) -> Vec<u64> {
        let runs = fs::read_dir(self.folder.join("runs")).into_iter().flatten().flatten();
        let seed = |name: &str| name.strip_prefix(arm.name())?.strip_prefix('-')?.parse().ok();
        let mut seeds: Vec<u64> =
            runs.filter_map(|run| seed(&run.file_name().to_string_lossy())).collect();
        seeds.sort_unstable();
        seeds
    }
}

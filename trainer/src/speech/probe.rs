//! Gradients of the adapter by task and language, as PART's analysis compares them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use partita_model::tokens::Lang;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::batch::{Kind, mel, speech_sequences};
use super::objective::SpeechObjective;
use crate::data::sampler::Pick;
use crate::data::{Clip, Example, FeatureMaker};
use crate::gradients::{Cosines, Probe};

/// Clips of a backward pass.
const BATCH: usize = 4;
/// How the names of the adapter's parameters begin.
const ADAPTER: &str = "mm.a.";

/// A task in a language: `asr de`, `st de-en`.
struct Cell<'a> {
    kind: Kind,
    lang: &'a str,
    to: Option<&'a str>,
}

impl Cell<'_> {
    fn name(&self) -> String {
        match self.to {
            Some(to) => format!("{} {}-{to}", self.kind.name(), self.lang),
            None => format!("{} {}", self.kind.name(), self.lang),
        }
    }

    fn has(&self, clip: &Clip) -> bool {
        let translated = self.to.is_none_or(|to| clip.translations.contains_key(to));
        clip.lang.as_deref() == Some(self.lang) && !clip.text.is_empty() && translated
    }
}

impl SpeechObjective {
    /// Cosines between the gradients that the tasks of all stages give the adapter, language by
    /// language, with the parameters as they are now. Each cell hears the same `clips` clips of its
    /// training data, not augmented; cells with less than a quarter of that are left out.
    ///
    /// # Errors
    /// When no cell has clips enough, or a device fails.
    pub fn cosines(&mut self, clips: usize) -> Result<Cosines> {
        self.build(&[format!("{ADAPTER}*")])?;
        let (model, _) = self.model.take().context("no model was built")?;
        self.parameters.set_moment(0);
        let masters = self.parameters.masters().into_iter();
        let variables = masters.filter(|(name, _)| name.starts_with(ADAPTER));
        let mut probe = Probe::new(variables.map(|(_, variable)| variable).collect());

        let set = self.data.train.clone();
        let bins = self.bases.encoder.mel_bins;
        let maker = FeatureMaker::new(set.clone(), self.recipe.seed, bins, None, None)?;
        // In an order that has nothing to do with the manifest's, the same on every machine.
        let mut order: Vec<usize> = (0..set.clips().len()).collect();
        order.sort_by_key(|&item| set.clips().get(item).map(|clip| clip.key));
        let mut cells = 0;
        for cell in cells_of(set.clips(), &self.kinds_of_all_stages()) {
            let has = |item: &usize| set.clips().get(*item).is_some_and(|clip| cell.has(clip));
            let items = order.iter().copied().filter(has);
            // A clip that cannot be read was reported when the manifest was checked.
            let example = |item| maker.make(0, &Pick { item, repeat: 0, padded: false }).ok();
            let mut examples: Vec<Example> = items.filter_map(example).take(clips).collect();
            if examples.len() * 4 < clips {
                continue;
            }
            cells += 1;
            for example in &mut examples {
                example.translations.retain(|to, _| Some(to.as_str()) == cell.to);
            }
            // Clips of like length side by side: less padding.
            examples.sort_by_key(|example| example.frames);
            for batch in examples.chunks(BATCH) {
                let mut random = StdRng::seed_from_u64(0);
                let sequences = speech_sequences(&model, cell.kind, batch, &mut random);
                let (mel, frames) = mel(batch, bins, model.device())?;
                let (audio, lengths) = model.listen(&mel, &frames)?;
                let loss = model.answer_loss(Some((&audio, &lengths)), &sequences)?;
                probe.add(&cell.name(), &loss.sum, loss.tokens as u64)?;
            }
        }
        if cells == 0 {
            bail!("no language has {} clips of a task that the recipe trains", clips.div_ceil(4));
        }
        Ok(probe.finish())
    }

    /// The tasks with an answer to speech that some stage trains.
    fn kinds_of_all_stages(&self) -> Vec<Kind> {
        let stages = || self.recipe.order.iter().filter_map(|name| self.recipe.stage.get(name));
        let trained = |kind: &Kind| {
            let weight = |stage: &crate::recipe::Stage| {
                let both = stage.tasks.all().into_iter().chain(stage.late.tasks.all());
                both.filter(|(name, _)| *name == kind.name()).map(|(_, weight)| weight).sum::<f64>()
            };
            stages().any(|stage| weight(stage) > 0.0)
        };
        [Kind::Asr, Kind::St, Kind::Direct].into_iter().filter(trained).collect()
    }
}

/// The cells that the clips can fill.
fn cells_of<'a>(clips: &'a [Clip], kinds: &[Kind]) -> Vec<Cell<'a>> {
    let known = |code: &str| code.parse::<Lang>().is_ok();
    let mut pairs = BTreeSet::new();
    for clip in clips {
        let Some(lang) = clip.lang.as_deref().filter(|lang| known(lang)) else { continue };
        pairs.insert((lang, None));
        let targets = clip.translations.keys().map(String::as_str).filter(|to| known(to));
        pairs.extend(targets.map(|to| (lang, Some(to))));
    }
    let fits = |kind: Kind, to: Option<&str>| (kind == Kind::Asr) == to.is_none();
    let cell = |kind: Kind| {
        pairs.iter().filter(move |(_, to)| fits(kind, *to)).map(move |&(lang, to)| Cell {
            kind,
            lang,
            to,
        })
    };
    kinds.iter().flat_map(|&kind| cell(kind)).collect()
}

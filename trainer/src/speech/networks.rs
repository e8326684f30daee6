//! The networks of a stage.

use anyhow::Result;
use partita_model::nn::{LowRankSpec, NameSet, TrainingSource};
use partita_model::speech::{CtcHead, SpeechLlm};

use super::names::lora_pattern;
use super::objective::SpeechObjective;
use crate::recipe::ModuleName;

impl SpeechObjective {
    /// Patterns of the names that some stage trains.
    pub(super) fn patterns_of_all_stages(&self) -> Vec<String> {
        let stages = self.recipe.order.iter().filter_map(|name| self.recipe.stage.get(name));
        let modules = stages.flat_map(|stage| stage.train.modules()).map(|(module, _)| module);
        let pattern = |module| match module {
            ModuleName::Adapter => "mm.a.*",
            ModuleName::Encoder => "a.*",
            ModuleName::Lora => "*.lora_*",
            ModuleName::Marks => "marks.*",
            ModuleName::Ctc => "ctc.*",
        };
        modules.map(|module| pattern(module).to_owned()).collect()
    }

    fn has_lora(&self) -> bool {
        self.recipe.stage.values().any(|stage| stage.train.lora.is_some())
    }

    fn needs_ctc(&self) -> bool {
        self.recipe.stage.values().any(|stage| stage.tasks.ctc > 0.0 || stage.late.tasks.ctc > 0.0)
    }

    /// The same weights with the low-rank changes that the recipe trains.
    pub(super) fn with_low_rank<'a>(
        &self,
        source: TrainingSource<'a>,
    ) -> Result<TrainingSource<'a>> {
        let lora = &self.recipe.lora;
        if !self.has_lora() {
            return Ok(source);
        }
        let targets: Vec<&str> = lora.targets.iter().map(|&target| lora_pattern(target)).collect();
        Ok(source.with_low_rank(LowRankSpec {
            rank: lora.rank,
            alpha: lora.alpha,
            dropout: lora.dropout as f32,
            targets: NameSet::parse(&targets)?,
        }))
    }

    /// The networks, with the head where a stage needs it.
    pub(super) fn load(&self, source: &TrainingSource) -> Result<(SpeechLlm, Option<CtcHead>)> {
        let model = SpeechLlm::load(source, source, &self.bases, &self.config, &self.device)?;
        let head = match self.needs_ctc() {
            false => None,
            true => {
                let rows = (source, &*self.bases.text);
                Some(CtcHead::over_shortlist(source, rows, &self.config, None, &self.device)?)
            }
        };
        Ok((model, head))
    }

    /// The networks with gradients for the names of these patterns.
    pub(super) fn build(&mut self, patterns: &[String]) -> Result<()> {
        let source = TrainingSource::new(&self.parameters, NameSet::parse(patterns)?);
        let source = self.with_low_rank(source)?;
        self.model = Some(self.load(&source)?);
        Ok(())
    }
}

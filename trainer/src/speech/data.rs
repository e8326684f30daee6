//! A recipe's data settings as sets, samplers and augmentation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use partita_corpus::BadRow;
use partita_corpus::manifest::Split;
use partita_model::tokens::{Marks, Shortlist, ShortlistBuilder, TextTokenizer};

use crate::data::{
    Augment, CacheOptions, FeatureMaker, Loader, LoaderOptions, Position, Sampler, SamplerOptions,
    SetOptions, SpecAugment, SpeechSet, Stored, TextSet, TextStream,
};
use crate::recipe::Recipe;

/// Longest side of a text example, in characters.
const LONGEST_TEXT: usize = 300;
/// Characters of a token, roughly: text batches are sized in characters.
const CHARACTERS_A_TOKEN: f64 = 3.5;

/// The data of a run.
pub struct Data {
    recipe: Recipe,
    bins: usize,
    /// Clips for training.
    pub train: Arc<SpeechSet>,
    /// Clips for evaluation.
    pub dev: Arc<SpeechSet>,
    text: Option<Arc<TextSet>>,
    /// Rows that cannot be used, each once.
    pub bad_rows: Vec<BadRow>,
}

impl Data {
    /// Opens what the recipe names.
    ///
    /// # Errors
    /// When there is no manifest, one cannot be read, or there are no clips of a split.
    pub fn open(recipe: &Recipe, bins: usize) -> Result<Self> {
        if recipe.data.speech.is_empty() {
            bail!("no clips: name manifests in data.speech, or with --speech");
        }
        let paths = |names: &[String]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let set = |split| {
            let options = SetOptions {
                sources: paths(&recipe.data.speech),
                split,
                langs: recipe.data.languages.clone(),
                targets: recipe.data.targets.clone(),
                min_seconds: recipe.data.shortest,
                max_seconds: recipe.data.longest,
                ..SetOptions::default()
            };
            let set = SpeechSet::open(&options)?;
            if !set.clips().iter().any(|clip| clip.lang.is_some()) {
                bail!("no clips of the split `{}` with speech in them", split.name());
            }
            anyhow::Ok(Arc::new(set))
        };
        let text = match recipe.data.text.is_empty() {
            true => None,
            false => {
                let (paths, langs) = (paths(&recipe.data.text), &recipe.data.languages);
                let set = TextSet::open(&paths, Split::Train, langs, true, LONGEST_TEXT)?;
                Some(Arc::new(set))
            }
        };
        let (train, dev) = (set(Split::Train)?, set(Split::Dev)?);
        // Lines that are no rows belong to no split, so both have them.
        let mut seen = BTreeSet::new();
        let rows = train.bad_rows.iter().chain(&dev.bad_rows);
        let rows = rows.chain(text.iter().flat_map(|text| &text.bad_rows));
        let bad_rows = rows.filter(|bad| seen.insert((&bad.file, bad.line))).cloned().collect();
        Ok(Self { recipe: recipe.clone(), bins, train, dev, text, bad_rows })
    }

    /// The tokens that the data need: every token of a text of theirs.
    pub fn shortlist(&self, tokenizer: &TextTokenizer) -> Shortlist {
        let mut builder = ShortlistBuilder::new(tokenizer);
        for clip in self.train.clips().iter().chain(self.dev.clips()) {
            builder.add_text(&clip.text);
            clip.translations.values().for_each(|text| builder.add_text(text));
        }
        for example in self.text.iter().flat_map(|text| text.examples()) {
            builder.add_text(&example.src);
            builder.add_text(&example.tgt);
        }
        builder.finish(&Marks::for_tokenizer(tokenizer), 1)
    }

    /// Batches of clips for training, from a position or the beginning; this process has batch
    /// `rank` of the coming ones and then every `world`-th.
    ///
    /// # Errors
    /// When settings are impossible, or the position is of other data.
    pub fn clips(&self, at: Option<&Position>, rank: usize, world: usize) -> Result<Loader> {
        let Recipe { seed, data, batch, augmentation, .. } = &self.recipe;
        let options = SamplerOptions {
            seed: *seed,
            max_size: batch.seconds,
            temperature: data.language_temperature,
            one_group: data.one_language_batches,
            none_share: data.noise_share,
            padded_share: data.padded_share,
            ..SamplerOptions::default()
        };
        let mut sampler = Sampler::new(self.train.items(), options)?;
        if let Some(at) = at {
            sampler.seek(at)?;
        }
        let masks = augmentation.frequency_masks + augmentation.time_masks > 0;
        let cache = data.cache.as_ref().map(|cache| CacheOptions {
            folder: PathBuf::from(&cache.folder),
            max_bytes: (cache.gigabytes * 1e9) as u64,
            stored: Stored::default(),
        });
        let augment = Augment {
            gain_db: augmentation.gain(cache.is_some()),
            speed: augmentation.speed,
            room: augmentation.room_share,
            noise: augmentation.noise_share,
            noise_db: augmentation.noise_ratio,
            spec: masks.then(|| SpecAugment {
                time_masks: augmentation.time_masks,
                time_part: augmentation.time_share,
                frequency_masks: augmentation.frequency_masks,
                frequency_bands: augmentation.frequency_width,
                ..SpecAugment::default()
            }),
            ..Augment::default()
        };
        let maker = FeatureMaker::new(self.train.clone(), *seed, self.bins, Some(augment), cache)?;
        let options = LoaderOptions { rank, world, ..LoaderOptions::default() };
        Loader::start(Arc::new(maker), sampler, options)
    }

    /// Clips for evaluation as they are, in the order of the manifest.
    ///
    /// # Errors
    /// When settings are impossible.
    pub fn plain(&self) -> Result<FeatureMaker> {
        FeatureMaker::new(self.dev.clone(), self.recipe.seed, self.bins, None, None)
    }

    /// Batches of sentences for training, from a position or the beginning.
    ///
    /// # Errors
    /// When the recipe names no text, or the position is of other data.
    pub fn sentences(&self, at: Option<&Position>) -> Result<Option<TextStream>> {
        let Some(text) = &self.text else { return Ok(None) };
        let options = SamplerOptions {
            seed: self.recipe.seed,
            max_size: self.recipe.batch.text_tokens as f64 * CHARACTERS_A_TOKEN,
            temperature: self.recipe.data.language_temperature,
            ..SamplerOptions::for_text()
        };
        let mut stream = TextStream::new(text.clone(), options)?;
        if let Some(at) = at {
            stream.seek(at)?;
        }
        Ok(Some(stream))
    }
}

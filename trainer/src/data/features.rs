//! A draw of the sampler into an example: decode, augment, log-mel, masks.

use std::sync::Arc;

use anyhow::{Context, Result};
use partita_audio::SAMPLE_RATE;
use partita_audio::mel::{Frames, HOP, LogMel, Mel};
use partita_corpus::BadRow;
use rand::Rng;

use super::augment::Augmenter;
use super::cache::FeatureCache;
use super::sampler::Pick;
use super::set::{Clip, SpeechSet};
use super::{Augment, CacheOptions, Example, clip, random};

/// Frames of clips that are followed by silence: 30 s, what Whisper's encoder was trained on.
const PADDED_FRAMES: usize = 3000;

/// Makes examples. May be shared between threads.
pub struct FeatureMaker {
    set: Arc<SpeechSet>,
    seed: u64,
    mel: LogMel,
    augmenter: Option<Augmenter>,
    cache: Option<FeatureCache>,
}

impl FeatureMaker {
    /// For `bins` mel bands. With augmentation of samples the cache is not used: what it holds are
    /// features of clips as they are, to which only masks can be added.
    ///
    /// # Errors
    /// When options are impossible, or the cache's folder cannot be used.
    pub fn new(
        set: Arc<SpeechSet>,
        seed: u64,
        bins: usize,
        augment: Option<Augment>,
        cache: Option<CacheOptions>,
    ) -> Result<Self> {
        let mel = LogMel::new(bins).context("features")?;
        let augmenter = augment.map(|options| Augmenter::new(options, &set)).transpose()?;
        let changed = augmenter.as_ref().is_some_and(|a| a.options().changes_samples());
        let cache = cache.filter(|_| !changed).map(FeatureCache::open).transpose()?;
        Ok(Self { set, seed, mel, augmenter, cache })
    }

    /// The clips.
    pub fn set(&self) -> &SpeechSet {
        &self.set
    }

    /// The cache, where one is used.
    pub fn cache(&self) -> Option<&FeatureCache> {
        self.cache.as_ref()
    }

    /// The example of a draw.
    ///
    /// # Errors
    /// The clip's row, when its audio cannot be used.
    pub fn make(&self, epoch: u64, pick: &Pick) -> Result<Example, BadRow> {
        let Some(clip) = self.set.clips().get(pick.item) else {
            let reason = format!("there is no clip {}", pick.item);
            return Err(BadRow { file: Default::default(), line: 0, reason });
        };
        let mut rng = random::of_clip(self.seed, epoch, clip.key, pick.repeat);
        let size = self.set.heard_seconds(clip);
        // Sounds may be longer than what is heard of them.
        let offset = rng.random_range(0.0..=(clip.seconds - size).max(0.0));
        let bad = |reason: String| clip.bad(reason);
        let (mut mel, seconds) = match &self.cache {
            Some(cache) if clip.lang.is_some() => {
                let frames = pick.padded.then_some(PADDED_FRAMES);
                let path = cache.path(clip, self.mel.bins(), frames);
                let mel = cache.get(path.as_deref(), || {
                    clip::read(clip, 0.0, size).map(|samples| self.compute(&samples, pick.padded))
                });
                (mel.map_err(bad)?, clip.seconds)
            }
            _ => {
                let mut samples = clip::read(clip, offset, size).map_err(bad)?;
                if let Some(augmenter) = &self.augmenter {
                    samples = augmenter.apply(samples, clip.lang.is_some(), &mut rng);
                }
                let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
                (self.compute(&samples, pick.padded), seconds)
            }
        };
        if let Some(masks) = self.augmenter.as_ref().and_then(|a| a.options().spec) {
            let spoken = (seconds * f64::from(SAMPLE_RATE) / HOP as f64).ceil() as usize;
            masks.apply(&mut mel.data, mel.frames, spoken, &mut rng);
        }
        Ok(example(clip, mel, seconds))
    }

    fn compute(&self, samples: &[f32], padded: bool) -> Mel {
        // Slowed down, a clip may have become longer than the padding.
        let padded = padded && samples.len() <= PADDED_FRAMES * HOP;
        let frames = if padded { Frames::Padded(PADDED_FRAMES) } else { Frames::Natural };
        self.mel.compute(samples, frames)
    }
}

fn example(clip: &Clip, mel: Mel, seconds: f64) -> Example {
    Example {
        id: clip.id.clone(),
        frames: mel.frames,
        mel: mel.data,
        seconds,
        lang: clip.lang.clone(),
        text: clip.text.clone(),
        translations: clip.translations.clone(),
    }
}

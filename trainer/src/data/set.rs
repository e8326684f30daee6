//! The clips that a run learns from: rows of manifests and shards that can be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use partita_corpus::manifest::{NO_LANGUAGE, Reader, SpeechRow, Split};
use partita_corpus::split::{primary_language, stable_hash};
use partita_corpus::{BadRow, script};
use serde::Serialize;

use super::sampler::Item;
use super::shards;

/// Which rows are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SetOptions {
    /// Speech manifests (JSON lines) and shards (`*.tar`, or folders of them).
    pub sources: Vec<PathBuf>,
    /// The split.
    pub split: Split,
    /// Languages, without regions; empty for all. Clips without speech are always taken.
    pub langs: Vec<String>,
    /// Languages of translations, without regions; empty for all. Others are left out.
    pub targets: Vec<String>,
    /// Shortest clip in seconds.
    pub min_seconds: f64,
    /// Longest clip in seconds. Clips of exactly 30 s are taken with a limit of 30: leaving them
    /// out once cost a corpus most of its rows (it was cut into windows of 30 s).
    pub max_seconds: f64,
    /// Clips without speech are heard for at most this long, at another place each time.
    pub noise_seconds: f64,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            split: Split::Train,
            langs: Vec::new(),
            targets: Vec::new(),
            min_seconds: 0.2,
            max_seconds: 30.0,
            noise_seconds: 10.0,
        }
    }
}

/// Where a clip's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of its own, or a part of one.
    File(PathBuf),
    /// A stretch of a tar file.
    Shard {
        /// The tar file.
        tar: PathBuf,
        /// First byte of the audio file in it.
        begin: u64,
        /// Its length.
        bytes: u64,
    },
}

/// One usable row.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// The row's id.
    pub id: String,
    /// Where its audio is.
    pub source: Source,
    /// Where it begins, in seconds.
    pub offset: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Language without its region; `None` where nothing is said.
    pub lang: Option<String>,
    /// The transcript.
    pub text: String,
    /// Translations by language without its region.
    pub translations: BTreeMap<String, String>,
    /// The file that holds its row, and its line or, in a shard, its number.
    pub place: (PathBuf, u64),
    /// A hash that names it, on every machine alike.
    pub key: u64,
}

impl Clip {
    /// A bad row at this clip's place.
    pub(super) fn bad(&self, reason: impl std::fmt::Display) -> BadRow {
        let path = match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Shard { begin, .. } => format!("byte {begin}"),
        };
        let (file, line) = self.place.clone();
        BadRow { file, line, reason: format!("{reason} ({path})") }
    }
}

/// Clips of a language that were taken, and those that were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Taken {
    /// Taken.
    pub clips: u64,
    /// Their hours.
    pub hours: f64,
    /// Shorter than allowed.
    pub too_short: u64,
    /// Longer than allowed.
    pub too_long: u64,
}

/// All clips of a run.
#[derive(Debug, Clone, Default)]
pub struct SpeechSet {
    clips: Vec<Clip>,
    blocks: Vec<u32>,
    noise_seconds: f64,
    /// What was taken, by language ([`NO_LANGUAGE`] for clips without speech).
    pub counts: BTreeMap<String, Taken>,
    /// Rows that cannot be used.
    pub bad_rows: Vec<BadRow>,
}

impl SpeechSet {
    /// Reads the rows. Audio is not opened: that is found out when the clip is loaded.
    ///
    /// # Errors
    /// When a source cannot be read at all, or no clip is left.
    pub fn open(options: &SetOptions) -> Result<Self> {
        let mut set = Self { noise_seconds: options.noise_seconds, ..Self::default() };
        let mut block = 0;
        for source in &options.sources {
            if shards::is_shard(source) || source.is_dir() {
                for tar in shards::find(source)? {
                    block += 1;
                    set.add_shard(&tar, block, options)?;
                }
            } else {
                set.add_manifest(source, options)?;
            }
        }
        if set.clips.is_empty() {
            let first = set.bad_rows.first().map(|bad| format!("; first bad row: {bad}"));
            let names: Vec<_> = options.sources.iter().map(|s| s.display().to_string()).collect();
            bail!(
                "{}: no clip to use (split {:?}, {} bad rows{})",
                names.join(", "),
                options.split,
                set.bad_rows.len(),
                first.unwrap_or_default()
            );
        }
        Ok(set)
    }

    /// The clips.
    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// The clips as a sampler sees them.
    pub fn items(&self) -> Vec<Item> {
        let item = |(clip, block): (&Clip, &u32)| Item {
            size: self.heard_seconds(clip),
            group: clip.lang.clone(),
            block: *block,
        };
        self.clips.iter().zip(&self.blocks).map(item).collect()
    }

    /// Samples of a clip at 16 kHz, as it is; of one without speech, the beginning.
    ///
    /// # Errors
    /// The clip's row, when its audio cannot be used.
    pub fn samples(&self, clip: &Clip) -> Result<Vec<f32>, BadRow> {
        let samples = super::clip::read(clip, 0.0, self.heard_seconds(clip));
        samples.map_err(|reason| clip.bad(reason))
    }

    /// Seconds of a clip that are heard at a time.
    pub(super) fn heard_seconds(&self, clip: &Clip) -> f64 {
        let most = if clip.lang.is_none() { self.noise_seconds } else { f64::INFINITY };
        clip.seconds.min(most)
    }

    fn add_manifest(&mut self, path: &Path, options: &SetOptions) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new(""));
        for row in Reader::<SpeechRow>::open(path)? {
            match row {
                Ok((line, row)) => {
                    let source = Source::File(folder.join(&row.audio_filepath));
                    self.add(row, source, (path.to_path_buf(), line), 0, options);
                }
                Err(bad) => self.bad_rows.push(bad),
            }
        }
        Ok(())
    }

    fn add_shard(&mut self, tar: &Path, block: u32, options: &SetOptions) -> Result<()> {
        for entry in shards::rows(tar)? {
            match entry {
                Ok(entry) => {
                    let source = Source::Shard {
                        tar: tar.to_path_buf(),
                        begin: entry.begin,
                        bytes: entry.bytes,
                    };
                    let place = (tar.to_path_buf(), entry.number);
                    self.add(entry.row, source, place, block, options);
                }
                Err(bad) => self.bad_rows.push(bad),
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        row: SpeechRow,
        source: Source,
        place: (PathBuf, u64),
        block: u32,
        options: &SetOptions,
    ) {
        let lang = primary_language(&row.lang).to_ascii_lowercase();
        let speech = lang != NO_LANGUAGE;
        if row.split != options.split
            || (speech && !options.langs.is_empty() && !options.langs.contains(&lang))
        {
            return;
        }
        let bad = |reason: String| BadRow { file: place.0.clone(), line: place.1, reason };
        let seconds = match (check(&row, speech), row.duration) {
            (Err(reason), _) => return self.bad_rows.push(bad(reason)),
            (Ok(()), None) => {
                let reason = "no duration; `partita-train prepare` measures it";
                return self.bad_rows.push(bad(reason.to_owned()));
            }
            (Ok(()), Some(seconds)) => seconds,
        };
        let count = self.counts.entry(lang.clone()).or_default();
        if seconds < options.min_seconds.max(0.01) {
            count.too_short += 1;
            return;
        }
        if speech && seconds > options.max_seconds {
            count.too_long += 1;
            return;
        }
        count.clips += 1;
        count.hours += seconds / 3600.0;
        let name = if row.id.is_empty() { &row.audio_filepath } else { &row.id };
        let key = stable_hash(&[name.as_bytes(), &row.offset.to_bits().to_le_bytes()]);
        let translations = row.translations.into_iter();
        let translations = translations
            .map(|(lang, text)| (primary_language(&lang).to_ascii_lowercase(), text))
            .filter(|(lang, _)| options.targets.is_empty() || options.targets.contains(lang));
        self.blocks.push(block);
        self.clips.push(Clip {
            id: row.id,
            source,
            offset: row.offset,
            seconds,
            lang: speech.then_some(lang),
            text: row.text,
            translations: translations.collect(),
            place,
            key,
        });
    }
}

/// What makes a row unfit for training although it is a fit row of a manifest.
fn check(row: &SpeechRow, speech: bool) -> Result<(), String> {
    if !speech {
        return if row.text.trim().is_empty() {
            Ok(())
        } else {
            Err(format!("a transcript in a row of language {NO_LANGUAGE:?}"))
        };
    }
    if row.text.trim().is_empty() && row.translations.is_empty() {
        return Err("empty transcript".to_owned());
    }
    let texts = std::iter::once((&row.lang, &row.text)).chain(&row.translations);
    for (lang, text) in texts {
        if !script::fits(lang, text) {
            return Err(format!("{lang}: {text:?}: not in the script of its language"));
        }
    }
    Ok(())
}

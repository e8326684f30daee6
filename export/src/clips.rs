//! The clips of a manifest that models are measured or calibrated on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use partita_audio::{AudioReader, SAMPLE_RATE};
use partita_corpus::manifest::{NO_LANGUAGE, Reader, SpeechRow, Split};
use partita_corpus::split::primary_language;
use serde::{Deserialize, Serialize};

use crate::interrupt;

/// Longest clip that is taken, in seconds: the encoders' window.
const LONGEST: f64 = 30.0;
const SHORTEST: f64 = 0.2;

/// A clip with what was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Its name in the manifest.
    pub id: String,
    /// The audio file.
    pub path: PathBuf,
    /// Where it begins in the file, in seconds.
    pub offset: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// The language spoken, without its region.
    pub lang: String,
    /// What was said.
    pub text: String,
    /// A language, and what was said in it.
    pub translation: Option<(String, String)>,
}

/// Which clips are taken.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The split.
    pub split: Split,
    /// Languages spoken.
    pub languages: &'a [String],
    /// Languages of translations; of several that a clip has, the first of these.
    pub targets: &'a [String],
    /// Most clips in all: as many of each language, evenly over the manifest.
    pub most: usize,
}

/// Clips of a manifest, in its order by language.
///
/// # Errors
/// When the manifest cannot be read, or no clip of it is wanted.
pub fn choose(manifest: &Path, wanted: &Wanted) -> Result<Vec<Clip>> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut by_language: BTreeMap<String, Vec<Clip>> = BTreeMap::new();
    // A row that makes no sense is passed over; `partita-train check-data` names it.
    for (_, row) in Reader::<SpeechRow>::open(manifest)?.flatten() {
        interrupt::check()?;
        if let Some(clip) = clip(row, folder, wanted) {
            by_language.entry(clip.lang.clone()).or_default().push(clip);
        }
    }
    if by_language.is_empty() {
        bail!(
            "{}: no clip of up to {LONGEST:.0} s with its transcript in {} (split {})",
            manifest.display(),
            wanted.languages.join(", "),
            wanted.split.name()
        );
    }
    let mut shares = vec![0; by_language.len()];
    let mut left = wanted.most;
    // Languages with few clips leave the rest of their share to the others.
    while left > 0 {
        let before = left;
        for (share, clips) in shares.iter_mut().zip(by_language.values()) {
            if left > 0 && *share < clips.len() {
                *share += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    let mut chosen = Vec::new();
    for (count, clips) in shares.into_iter().zip(by_language.into_values()) {
        let all = clips.len();
        let mut next = (0..count).map(|i| i * all / count).peekable();
        let own = clips.into_iter().enumerate();
        chosen.extend(own.filter(|(at, _)| next.next_if_eq(at).is_some()).map(|(_, clip)| clip));
    }
    Ok(chosen)
}

fn clip(row: SpeechRow, folder: &Path, wanted: &Wanted) -> Option<Clip> {
    let lang = primary_language(&row.lang).to_ascii_lowercase();
    let seconds = row.duration.filter(|seconds| (SHORTEST..=LONGEST).contains(seconds))?;
    let is_wanted = row.split == wanted.split
        && lang != NO_LANGUAGE
        && wanted.languages.contains(&lang)
        && !row.text.trim().is_empty();
    if !is_wanted {
        return None;
    }
    let translated = |target: &String| {
        let own = |code: &str| primary_language(code).eq_ignore_ascii_case(target);
        let found =
            row.translations.iter().find(|(code, text)| own(code) && !text.trim().is_empty());
        let (_, text) = found.filter(|_| *target != lang)?;
        Some((target.clone(), text.clone()))
    };
    Some(Clip {
        translation: wanted.targets.iter().find_map(translated),
        id: if row.id.is_empty() { row.audio_filepath.clone() } else { row.id },
        path: folder.join(&row.audio_filepath),
        offset: row.offset,
        seconds,
        lang,
        text: row.text,
    })
}

impl Clip {
    /// Its samples at 16 kHz.
    ///
    /// # Errors
    /// When the file cannot be read, or has no audio there.
    pub fn samples(&self) -> Result<Vec<f32>> {
        let context = || format!("clip `{}`", self.id);
        let mut reader = AudioReader::open(&self.path).with_context(context)?;
        let samples = reader.stretch(self.offset, self.seconds).with_context(context)?;
        let least = (SHORTEST * f64::from(SAMPLE_RATE)) as usize / 2;
        ensure!(samples.len() >= least, "clip `{}`: no audio there", self.id);
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_share_clips_evenly_and_regions_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.jsonl");
        let line = |i: usize, lang: &str, split: &str, seconds: f64| {
            format!(
                "{{\"id\":\"{lang}{i}\",\"audio_filepath\":\"{i}.wav\",\"duration\":{seconds},\
                 \"lang\":\"{lang}\",\"text\":\"x\",\"split\":\"{split}\",\
                 \"translations\":{{\"en-GB\":\"one\",\"fr\":\"un\"}}}}\n"
            )
        };
        let mut text: String = (0..10).map(|i| line(i, "de", "test", 2.0)).collect();
        text += &line(20, "de", "dev", 2.0);
        text += &line(21, "de", "test", 31.0);
        text += &line(22, "en-US", "test", 2.0);
        text += &line(23, "xx", "test", 2.0);
        text += "{\"not a row\": 1}\n";
        std::fs::write(&path, text).unwrap();
        let (languages, targets) =
            (["de", "en"].map(str::to_owned), ["en", "fr"].map(str::to_owned));
        let mut wanted =
            Wanted { split: Split::Test, languages: &languages, targets: &targets, most: 6 };
        let chosen = choose(&path, &wanted).unwrap();
        let ids: Vec<&str> = chosen.iter().map(|clip| clip.id.as_str()).collect();
        assert_eq!(ids, ["de0", "de2", "de4", "de6", "de8", "en-US22"]);
        let translation = |at: usize| chosen[at].translation.as_ref().unwrap().1.as_str();
        assert_eq!((translation(0), translation(5)), ("one", "un"));
        assert_eq!(chosen[0].path, folder.path().join("0.wav"));
        wanted.split = Split::Train;
        assert!(choose(&path, &wanted).unwrap_err().to_string().contains("split train"));
    }
}

//! The audio behind the rows: there, readable, as long as declared, not twice the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use partita_corpus::BadRow;
use rayon::prelude::*;

use super::Options;
use super::findings::{Findings, Place, Sentinel};
use crate::audio::{self, Audio};

/// Lengths may differ by this many seconds: a frame or two of encoder delay, and rounding.
const TOLERANCE_SECONDS: f64 = 0.15;
/// … or by this part of the clip.
const TOLERANCE_PART: f64 = 0.02;

/// A row's audio.
pub(super) struct Clip {
    pub place: Place,
    pub path: PathBuf,
    pub offset: f64,
    pub duration: Option<f64>,
    pub lang: String,
}

/// Looks at all clips, each file once; returns the rows that cannot be used.
pub(super) fn check(
    clips: &[Clip],
    sentinel: &Sentinel,
    findings: &mut Findings,
    options: &Options,
) -> Vec<BadRow> {
    let mut by_file: HashMap<&Path, Vec<&Clip>> = HashMap::new();
    let mut files = Vec::new();
    for clip in clips {
        let rows = by_file.entry(&clip.path).or_default();
        if rows.is_empty() {
            files.push(clip.path.as_path());
        }
        rows.push(clip);
    }
    let what = if options.no_audio { "Looking for clips" } else { "Decoding clips" };
    let bar = audio::progress(files.len() as u64, what, options.quiet || files.is_empty());
    let heard: Vec<Result<Option<Audio>, String>> = files
        .par_iter()
        .map(|path| {
            let heard = if options.no_audio {
                audio::look(path).map(|()| None)
            } else {
                audio::decode(path).map(Some)
            };
            bar.inc(1);
            heard
        })
        .collect();
    bar.finish_and_clear();

    let mut bad = Vec::new();
    let mut digests: HashMap<[u8; 32], &Path> = HashMap::new();
    for (path, heard) in files.iter().zip(heard) {
        let rows = by_file.get(path).map(Vec::as_slice).unwrap_or_default();
        match heard {
            Ok(None) => {}
            Ok(Some(audio)) => {
                let first = *digests.entry(audio.digest).or_insert(path);
                for clip in rows {
                    compare(clip, &audio, rows.len() == 1, sentinel, findings);
                    if first != *path {
                        let at = sentinel.at(clip.place);
                        let example = format!("{at}: {} is {}", path.display(), first.display());
                        findings.duplicate_audio.add(&clip.lang, example);
                    }
                }
            }
            Err(reason) => bad.extend(rows.iter().map(|clip| BadRow {
                file: sentinel.file(clip.place),
                line: clip.place.line,
                reason: format!("{reason} ({})", path.display()),
            })),
        }
    }
    bad
}

/// Compares a row with its audio. `whole`: no other row has a part of the file.
fn compare(clip: &Clip, audio: &Audio, whole: bool, sentinel: &Sentinel, findings: &mut Findings) {
    let at = sentinel.at(clip.place);
    let name = clip.path.display();
    if let Some(duration) = clip.duration {
        let end = clip.offset + duration;
        let tolerance = TOLERANCE_SECONDS.max(duration * TOLERANCE_PART);
        let too_short = audio.seconds + tolerance < end;
        let too_long = whole && clip.offset == 0.0 && audio.seconds > end + tolerance;
        if too_short || too_long {
            let example =
                format!("{at}: {name}: declared to end at {end:.2} s, has {:.2} s", audio.seconds);
            findings.wrong_duration.add(&clip.lang, example);
        }
    }
    if audio.silent {
        findings.silent.add(&clip.lang, format!("{at}: {name}"));
    }
    if audio.broken_samples > 0 {
        let example = format!("{at}: {name}: {} samples are no numbers", audio.broken_samples);
        findings.damaged_audio.add(&clip.lang, example);
    } else if audio.truncated {
        let example = format!("{at}: {name}: ends early, after {:.2} s", audio.seconds);
        findings.damaged_audio.add(&clip.lang, example);
    }
}

//! Scores and samples of `partita-train eval` as Markdown.

use std::collections::BTreeMap;

use partita_corpus::bootstrap::Interval;

use super::markdown::table;
use crate::evaluate::{Row, Summary, Task, Unit};

/// Samples of a language.
const SAMPLES: usize = 3;

/// A score with its interval.
pub fn interval(score: &Interval) -> String {
    format!("{:.1} ({:.1} to {:.1})", score.value, score.low, score.high)
}

fn optional(score: Option<&Interval>) -> String {
    score.map_or("–".to_owned(), interval)
}

/// The scores of all languages and their means.
pub fn languages(summary: &Summary) -> String {
    let header =
        ["language", "clips", "errors, %", "BLEU", "chrF", "language heard, %", "loops", "silent"];
    let mut rows = Vec::new();
    for scores in &summary.languages {
        let unit = match scores.unit {
            Unit::Words => "WER",
            Unit::Characters => "CER",
        };
        let translations: Vec<_> =
            scores.translations.iter().filter(|one| one.task == Task::St).collect();
        let joined = |of: &dyn Fn(usize) -> Option<String>| {
            (0..translations.len()).filter_map(of).collect::<Vec<_>>().join("; ")
        };
        let bleu =
            |at: usize| translations.get(at).map(|t| format!("{}: {}", t.to, interval(&t.bleu)));
        let chrf =
            |at: usize| translations.get(at).map(|t| format!("{}: {}", t.to, interval(&t.chrf)));
        rows.push(vec![
            scores.lang.clone(),
            scores.clips.to_string(),
            format!("{unit} {}", optional(scores.error_rate.as_ref())),
            joined(&bleu),
            joined(&chrf),
            format!("{:.0}", scores.language_accuracy),
            scores.loops.to_string(),
            scores.silent.to_string(),
        ]);
    }
    let mean = &summary.mean;
    let translation = mean.translations.iter().find(|one| one.task == Task::St);
    rows.push(vec![
        "mean".to_owned(),
        summary.languages.iter().map(|scores| scores.clips).sum::<usize>().to_string(),
        optional(mean.error_rate.as_ref()),
        optional(translation.map(|one| &one.bleu)),
        optional(translation.map(|one| &one.chrf)),
        mean.language_accuracy.map_or("–".to_owned(), |share| format!("{share:.0}")),
        mean.loops.to_string(),
        mean.silent.to_string(),
    ]);
    let mut text = table(&header, &rows, 1);
    if let Some(noise) = &summary.noise {
        let (written, answers) = (noise.written, noise.answers);
        text += &format!("Clips without speech: text was written for {written} of {answers}.\n\n");
    }
    text
}

/// A few clips of each language and task: what was to be written, and what was.
pub fn samples(rows: &[Row]) -> String {
    let mut groups: BTreeMap<(&str, Task, Option<&str>), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry((&row.lang, row.task, row.to.as_deref())).or_default().push(row);
    }
    let mut lines = Vec::new();
    for ((lang, task, to), rows) in groups {
        let name = match (task, to) {
            (Task::Asr, _) => lang.to_owned(),
            (Task::St, Some(to)) => format!("{lang} to {to}"),
            (Task::Direct, Some(to)) => format!("{lang} to {to}, directly"),
            _ => continue,
        };
        // From all over the manifest.
        for row in rows.iter().step_by(rows.len().div_ceil(SAMPLES)) {
            lines.push(vec![name.clone(), row.reference.clone(), row.hypothesis.clone()]);
        }
    }
    table(&["language", "reference", "what the model wrote"], &lines, 3)
}

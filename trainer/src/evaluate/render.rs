//! Scores as text.

use partita_corpus::bootstrap::Interval;
use partita_corpus::error_rate::Unit;

use super::Precision;
use super::scores::{LanguageScores, NoiseScores, Summary};
use crate::output::table;

/// The tables of a summary: what was heard by language, what was translated by direction, and what
/// was made of noise.
pub fn render(summary: &Summary) -> String {
    let mut text = String::new();
    if let Some(about) = &summary.about {
        let (run, weights, device) = (&about.run, &about.weights, &about.device);
        let (manifests, split) = (about.manifests.join(", "), about.split.name());
        let held = match about.precision {
            Precision::Float => "floats",
            Precision::Engine => "as the engine holds them",
        };
        text += &format!("{run} ({weights}, {held}, {device}) on {manifests}, {split}\n\n");
    }
    let joint = summary.mean.joint_error_rate.is_some();
    let mut header = vec!["language", "clips", "minutes", "error rate", "95 %", "language id"];
    header.extend(["loops", "silent", "RTF"]);
    if joint {
        header.extend(["error rate (st)", "95 %"]);
    }
    let mut rows: Vec<Vec<String>> =
        summary.languages.iter().map(|scores| language(scores, joint)).collect();
    let mean = &summary.mean;
    let mut row = vec!["mean".to_owned(), String::new(), String::new()];
    row.extend(cells(mean.error_rate.as_ref(), ""));
    row.push(mean.language_accuracy.map_or_else(String::new, |share| format!("{share:.1} %")));
    row.extend([format!("{}", mean.loops), format!("{}", mean.silent)]);
    row.push(format!("{:.3}", summary.real_time_factor));
    if joint {
        row.extend(cells(mean.joint_error_rate.as_ref(), ""));
    }
    rows.push(row);
    let columns = header.len();
    text += &table(&header, rows, 1..columns);
    if !mean.translations.is_empty() {
        text += "\n";
        text += &translations(summary);
    }
    if let Some(noise) = &summary.noise {
        let NoiseScores { clips, answers, written, characters } = noise;
        text += &format!(
            "\nclips without speech: {clips}; with text: {written} of {answers} answers; \
             characters: {characters}\n"
        );
    }
    text
}

fn language(scores: &LanguageScores, joint: bool) -> Vec<String> {
    let unit = match scores.unit {
        Unit::Words => "WER",
        Unit::Characters => "CER",
    };
    let minutes = format!("{:.1}", 60.0 * scores.hours);
    let mut row = vec![scores.lang.clone(), format!("{}", scores.clips), minutes];
    row.extend(cells(scores.error_rate.as_ref(), unit));
    row.push(format!("{:.1} %", scores.language_accuracy));
    row.extend([format!("{}", scores.loops), format!("{}", scores.silent)]);
    row.push(format!("{:.3}", scores.real_time_factor));
    if joint {
        row.extend(cells(scores.joint_error_rate.as_ref(), unit));
    }
    row
}

fn translations(summary: &Summary) -> String {
    let mut rows = Vec::new();
    for scores in &summary.languages {
        for found in &scores.translations {
            let direction = format!("{} → {}", scores.lang, found.to);
            let mut row = vec![direction, found.task.name().to_owned(), format!("{}", found.clips)];
            row.extend(cells(Some(&found.bleu), ""));
            row.extend(cells(Some(&found.chrf), ""));
            let tokens = found.signature.split('|').find(|part| part.starts_with("tok:"));
            row.push(tokens.unwrap_or_default().to_owned());
            rows.push(row);
        }
    }
    for mean in &summary.mean.translations {
        let mut row = vec!["mean".to_owned(), mean.task.name().to_owned(), String::new()];
        row.extend(cells(Some(&mean.bleu), ""));
        row.extend(cells(Some(&mean.chrf), ""));
        row.push(String::new());
        rows.push(row);
    }
    table(&["direction", "task", "clips", "BLEU", "95 %", "chrF", "95 %", "tokens"], rows, 2..7)
}

/// A score and its interval.
fn cells(found: Option<&Interval>, unit: &str) -> [String; 2] {
    found.map_or_else(Default::default, |found| {
        let value = format!("{unit} {:.1}", found.value).trim().to_owned();
        [value, format!("{:.1}–{:.1}", found.low, found.high)]
    })
}

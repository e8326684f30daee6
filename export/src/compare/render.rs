//! A comparison as a table, a page and a plot.

use std::fmt::Write as _;

use partita_chart::{Chart, Curve};

use super::scores::Score;
use super::{Comparison, Row};

/// Decimals of a divergence: most are small.
const SMALL: f64 = 0.001;

/// The page as Markdown: the table, how it was measured, and the plot where there is one.
pub fn page(comparison: &Comparison, has_plot: bool) -> String {
    let mut out = format!("# What each form costs\n\n{}", table(comparison));
    if has_plot {
        out += "\n![Points lost by size](compare.png)\n";
    }
    out
}

/// The table as Markdown, and how it was measured.
pub fn table(comparison: &Comparison) -> String {
    let rows = &comparison.rows;
    let has = |score: fn(&Row) -> Option<Score>| rows.iter().any(|row| score(row).is_some());
    let is_translated = has(|row| row.scores.bleu);
    let is_partial =
        |row: &Row| row.agreement.is_some_and(|found| found.tokens[0] < found.tokens[1]);
    let shows_tokens = rows.iter().any(is_partial);
    let mut heads = vec![
        "model",
        "MB",
        "load s",
        "real-time factor",
        "CPU s a s",
        "peak MiB",
        "cosine",
        "KL nats",
        "same best %",
    ];
    if shows_tokens {
        heads.push("over tokens");
    }
    heads.extend(["error rate %", "change"]);
    if is_translated {
        heads.extend(["BLEU", "change", "chrF", "change"]);
    }
    let mut out = String::new();
    line(&mut out, heads.iter().map(|head| (*head).to_owned()));
    let sides = heads.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "---:" });
    line(&mut out, sides.map(str::to_owned));
    for (number, row) in rows.iter().enumerate() {
        let name = match (number, row.made) {
            (0, true) => format!("{} (as f32)", row.name),
            _ => row.name.clone(),
        };
        let mut cells = vec![
            name,
            format!("{:.1}", row.bytes as f64 / 1e6),
            format!("{:.2}", row.load_seconds),
            format!("{:.3}", row.real_time_factor),
            row.cpu_factor.map_or_else(none, |factor| format!("{factor:.3}")),
            row.peak_mib.map_or_else(none, |peak| format!("{peak:.0}")),
        ];
        cells.extend(match row.agreement {
            Some(found) => [
                format!("{:.5}", found.cosine),
                divergence(found.divergence),
                format!("{:.1}", 100.0 * found.same_best),
            ],
            None if number == 0 => ["1", "0", "100"].map(str::to_owned),
            None => [none(), none(), none()],
        });
        if shows_tokens {
            let tokens = |found: super::Agreement| {
                let [common, all] = found.tokens;
                if common < all { format!("{common} of {all}") } else { "all".to_owned() }
            };
            cells.push(row.agreement.map_or_else(none, tokens));
        }
        let mut add = |score: Option<Score>| {
            cells.push(score.map_or_else(none, |score| format!("{:.2}", score.value)));
            cells.push(score.filter(|_| number > 0).map_or_else(none, change));
        };
        add(row.scores.error_rate);
        if is_translated {
            add(row.scores.bleu);
            add(row.scores.chrf);
        }
        line(&mut out, cells.into_iter());
    }
    out.push('\n');
    out += &notes(comparison);
    out
}

fn notes(comparison: &Comparison) -> String {
    let Comparison { clips, seconds, translated, languages, split, threads, .. } = comparison;
    let [all, spinning] = threads;
    let mut out = format!(
        "{clips} clips ({seconds:.0} s, {translated} with translations; {}) of {}, split {}; {all} \
         threads, {spinning} for quantized products. Each model ran in a process of its own, with its \
         files in the system's cache and weights held as the program holds them; the first one in \
         floats. Memory counts mapped files. Logits are compared at each token of the reference \
         answers, told the tokens before it; KL is of the model's distribution from the first one's. \
         Error rates are of words (of characters in languages without spaces), means over languages; \
         BLEU and chrF are means over directions. Changes have intervals of 95 % over resampled clips.\n",
        languages.join(", "),
        comparison.manifest,
        split.name()
    );
    let partial = |row: &&Row| row.agreement.is_some_and(|found| found.tokens[0] < found.tokens[1]);
    if comparison.rows.iter().any(|row| partial(&row)) {
        out += "Where a model has fewer tokens, cosine and KL are over those that both have, the \
                probabilities of each model made to sum to 1 over them.\n";
    }
    for row in &comparison.rows {
        if let Some(found) = row.agreement.filter(|found| found.left_out > 0) {
            let _ = writeln!(
                out,
                "{} of {} answers have tokens that {} lacks; its logits are of the others.",
                found.left_out, clips, row.name
            );
        }
    }
    if let Some(first) = comparison.unheard.first() {
        let count = comparison.unheard.len();
        let _ = writeln!(out, "{count} clips could not be read; the first: {first}");
    }
    out
}

/// Points that scores lose, by size.
pub fn plot(comparison: &Comparison) -> Chart {
    let curve = |name: &str, lost: fn(&Row) -> Option<f64>| {
        let mut rows: Vec<(&Row, f64)> =
            comparison.rows.iter().filter_map(|row| Some((row, lost(row)?))).collect();
        rows.sort_by_key(|(row, _)| row.bytes);
        Curve {
            name: name.to_owned(),
            points: rows.iter().map(|(row, lost)| (row.bytes as f64 / 1e6, *lost)).collect(),
            labels: labels(&rows),
            dots: true,
            ..Curve::default()
        }
    };
    let curves = vec![
        curve("error rate", |row| Some(row.scores.error_rate?.change.value)),
        curve("BLEU", |row| Some(-row.scores.bleu?.change.value)),
    ];
    let curves: Vec<Curve> = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    let values = curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y);
    let most = values.fold(0.1, f64::max) * 1.15;
    Chart {
        title: "Points lost by size".to_owned(),
        x: Some("MB on disk".to_owned()),
        y: "points lost".to_owned(),
        most: Some(most),
        curves,
        ..Chart::default()
    }
}

/// What is beside points: of names that begin alike, what differs.
fn labels(rows: &[(&Row, f64)]) -> Vec<String> {
    let names: Vec<&str> = rows.iter().map(|(row, _)| row.name.as_str()).collect();
    let short = |name: &str| name.rsplit_once('-').map_or(name, |(_, end)| end).to_owned();
    let shorts: Vec<String> = names.iter().map(|name| short(name)).collect();
    let mut distinct = shorts.clone();
    distinct.sort();
    distinct.dedup();
    match distinct.len() == names.len() {
        true => shorts,
        false => names.into_iter().map(str::to_owned).collect(),
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn none() -> String {
    "–".to_owned()
}

fn divergence(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < SMALL => format!("{value:.1e}"),
        value => format!("{value:.4}"),
    }
}

fn change(score: Score) -> String {
    let change = score.change;
    format!("{:+.2} [{:+.2}, {:+.2}]", change.value, change.low, change.high)
}

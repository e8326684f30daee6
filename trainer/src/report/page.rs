//! The page about a run.

use std::collections::BTreeMap;

use anyhow::Result;
use partita_corpus::manifest::{NO_LANGUAGE, Split};

use super::gradients::{StageCosines, mean};
use super::history::{History, Jump, StageSpan};
use super::markdown::{image, table, time};
use super::scores;
use crate::data::{SetOptions, SpeechSet};
use crate::drawn::Drawn;
use crate::evaluate::{Row, Summary};
use crate::recipe::Recipe;
use crate::stages::Reason;

/// Least rise of accuracy that is worth a sentence.
const LEAST_JUMP: f64 = 0.02;

/// What is known of a run.
pub struct Facts<'a> {
    /// The recipe, resolved.
    pub recipe: &'a Recipe,
    /// The log.
    pub history: &'a History,
    /// The newest evaluation and its name.
    pub scores: Option<&'a (String, Summary, Vec<Row>)>,
    /// Cosines between gradients, stage by stage.
    pub cosines: &'a [StageCosines],
}

impl Facts<'_> {
    /// The page as Markdown. `charts` and `matrices` are the images beside it: what each shows and
    /// its file's name.
    pub fn page(&self, charts: &[(String, String)], matrices: &[(String, String)]) -> String {
        let Recipe { name, about, .. } = self.recipe;
        let mut text = format!("# Run {name}\n\n{about}\n\n");
        text += &self.facts();
        text += "## Data\n\n";
        text += &data(self.recipe).unwrap_or_else(|error| {
            format!("The manifests cannot be read any more: {error:#}\n\n")
        });
        text += &drawn(&self.history.drawn());
        text += "## Stages\n\n";
        text += &self.stages();
        text += "## Curves\n\n";
        let rose = |jump: &Jump| jump.accuracy.1 - jump.accuracy.0 >= LEAST_JUMP;
        if let Some(jump) = self.history.jump().filter(rose) {
            let (before, after) = (100.0 * jump.accuracy.0, 100.0 * jump.accuracy.1);
            text += &format!(
                "The accuracy of transcripts on development data rose most between steps {} and \
                 {}: from {before:.1} to {after:.1} % of tokens.\n\n",
                jump.steps.0, jump.steps.1
            );
        }
        charts.iter().for_each(|(words, file)| text += &image(words, file));
        text += "## Scores\n\n";
        match self.scores {
            Some((file, summary, rows)) => {
                text += &format!("From `eval/{file}.json`. Intervals hold 95 %.\n\n");
                text += &scores::languages(summary);
                text += "### Samples\n\n";
                text += &scores::samples(rows);
            }
            None => text += "Not evaluated yet: `partita-train eval` does that.\n\n",
        }
        text += "## Gradients\n\n";
        text += &gradients(self.cosines, matrices);
        text
    }

    fn facts(&self) -> String {
        let (recipe, totals) = (self.recipe, self.history.totals());
        let model = &recipe.model;
        let steps = self.history.steps.len();
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let start = match model.start.as_str() {
            "" => "base weights, a random adapter".to_owned(),
            start => format!("the model in {start}"),
        };
        let hours = totals.hours.max(1e-9);
        let mut rows = vec![
            row("encoder, adapter, LLM", {
                let adapter = format!("{:?}", model.adapter).to_lowercase();
                format!("{}, {adapter}, {}", model.encoder, model.llm)
            }),
            row("begins from", start),
            row("seed", recipe.seed.to_string()),
            row("steps", steps.to_string()),
            row("training", time(totals.hours)),
            row("audio heard", time(totals.audio_hours)),
            row("hours of audio an hour", format!("{:.1}", totals.audio_hours / hours)),
            row("target tokens a second", format!("{:.0}", totals.tokens as f64 / hours / 3600.0)),
            row("waiting for data", format!("{:.1} % of the time", 100.0 * totals.waiting)),
            row("most memory", format!("{} MiB", totals.memory)),
        ];
        if totals.skipped > 0 {
            rows.push(row("steps skipped, not finite", totals.skipped.to_string()));
        }
        table(&["", ""], &rows, 2)
    }

    fn stages(&self) -> String {
        let history = self.history;
        let row = |stage: &StageSpan| {
            let inside = |step: u64| (stage.first..=stage.last).contains(&step);
            let last = history.evaluations.iter().rfind(|record| inside(record.step));
            let value = |name: &str| last.and_then(|record| record.values.get(name).copied());
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.3}"));
            let modules = self.recipe.stage.get(&stage.name).map(|stage| stage.train.modules());
            let modules = modules.unwrap_or_default().into_iter().map(|(module, _)| module.name());
            vec![
                stage.name.clone(),
                modules.collect::<Vec<_>>().join(", "),
                format!("{} to {}", stage.first, stage.last),
                match stage.end {
                    Some(Reason::Budget) => "budget used up",
                    Some(Reason::Plateau) => "no more gain",
                    None => "not over",
                }
                .to_owned(),
                number(value("loss")),
                number(value("accuracy")),
            ]
        };
        let rows: Vec<_> = history.stages.iter().map(row).collect();
        let header =
            ["stage", "trained", "steps", "end", "development loss", "development accuracy"];
        table(&header, &rows, 4)
    }
}

/// How often clips and sentences of each language were drawn; nothing of logs that do not say.
fn drawn(drawn: &Drawn) -> String {
    let counted = |kind: &str, counts: &BTreeMap<String, u64>| {
        let all: u64 = counts.values().sum();
        let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / all as f64);
        let name = |lang: &str| if lang == NO_LANGUAGE { "no speech" } else { lang }.to_owned();
        let row = |(lang, n): (&String, &u64)| vec![name(lang), n.to_string(), share(*n)];
        table(&["language", kind, "share"], &counts.iter().map(row).collect::<Vec<_>>(), 1)
    };
    let mut parts = Vec::new();
    if !drawn.clips.is_empty() {
        let (padded, noise) = (100.0 * drawn.padded_share(), 100.0 * drawn.noise_share());
        let shares = format!("{padded:.1} % of them padded, {noise:.1} % noise alone");
        parts.push(format!("Clips as they were drawn; {shares}."));
        parts.push(counted("clips", &drawn.clips));
    }
    if !drawn.sentences.is_empty() {
        parts.push(
            "Sentences of tasks without audio; two languages: with a translation.".to_owned(),
        );
        parts.push(counted("sentences", &drawn.sentences));
    }
    parts.join("\n\n")
}

/// Clips and hours of each language and split.
fn data(recipe: &Recipe) -> Result<String> {
    let mut sets = Vec::new();
    let mut first_error = None;
    for split in [Split::Train, Split::Dev, Split::Test] {
        let options = SetOptions {
            sources: recipe.data.speech.iter().map(Into::into).collect(),
            split,
            langs: recipe.data.languages.clone(),
            min_seconds: recipe.data.shortest,
            max_seconds: recipe.data.longest,
            ..SetOptions::default()
        };
        match SpeechSet::open(&options) {
            Ok(set) => sets.push((split, set)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    if let (true, Some(error)) = (sets.is_empty(), first_error) {
        return Err(error);
    }
    let mut langs: Vec<&String> = sets.iter().flat_map(|(_, set)| set.counts.keys()).collect();
    langs.sort();
    langs.dedup();
    let of = |lang: &str, split: Split| {
        let set = sets.iter().find(|(other, _)| *other == split)?;
        set.1.counts.get(lang)
    };
    let row = |lang: &&String| {
        let name = if lang.as_str() == NO_LANGUAGE { "no speech" } else { lang.as_str() };
        let mut row = vec![name.to_owned()];
        for split in [Split::Train, Split::Dev, Split::Test] {
            let taken = of(lang, split).copied().unwrap_or_default();
            row.extend([taken.clips.to_string(), time(taken.hours)]);
        }
        row
    };
    let rows: Vec<_> = langs.iter().map(row).collect();
    let header = ["language", "train", "", "dev", "", "test", ""];
    Ok(table(&header, &rows, 1))
}

/// The matrices as images and tables, and what they come down to.
pub fn gradients(cosines: &[StageCosines], matrices: &[(String, String)]) -> String {
    if cosines.is_empty() {
        return "Not measured: `partita-train report RUN --gradients` does that.\n\n".to_owned();
    }
    let mut text = "Cosines between the gradients that tasks in different languages give the \
                    adapter, at the ends of stages (PART's analysis): from -1 (blue) to 1 (red).\n\n"
        .to_owned();
    let task = |label: &str| label.split(' ').next().map(str::to_owned);
    let rows: Vec<_> = cosines
        .iter()
        .map(|one| {
            let of = |first: &str, second: &str| {
                let wanted = |a: &str, b: &str| {
                    let (a, b) = (task(a), task(b));
                    a.as_deref() == Some(first) && b.as_deref() == Some(second)
                };
                mean(&one.cosines, wanted).map_or("–".to_owned(), |value| format!("{value:.3}"))
            };
            let (stage, step) = (one.stage.clone(), one.step.to_string());
            let clips = one.clips.to_string();
            vec![stage, step, clips, of("asr", "asr"), of("st", "st"), of("asr", "st")]
        })
        .collect();
    let header =
        ["stage", "step", "clips a cell", "among asr, mean", "among st, mean", "asr with st, mean"];
    text += &table(&header, &rows, 1);
    for (one, (words, file)) in cosines.iter().zip(matrices) {
        text += &image(words, file);
        let mut header = vec![""];
        header.extend(one.cosines.labels.iter().map(String::as_str));
        header.push("length");
        let rows = one.cosines.labels.iter().zip(&one.cosines.values).zip(&one.cosines.norms);
        let rows: Vec<Vec<String>> = rows
            .map(|((label, values), norm)| {
                let values = values.iter().map(|value| format!("{value:.2}"));
                let norm = format!("{norm:.3}");
                std::iter::once(label.clone()).chain(values).chain([norm]).collect()
            })
            .collect();
        text += &table(&header, &rows, 1);
    }
    text
}

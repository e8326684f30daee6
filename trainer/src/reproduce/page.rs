//! The page about a comparison.

use partita_chart::{Chart, Curve};
use partita_corpus::bootstrap::Interval;

use super::arms::Arm;
use super::compare::ArmScores;
use super::emergence::rule;
use super::results::{Results, Run};
use crate::report::markdown::{image, table, time};
use crate::report::page::gradients;
use crate::report::scores;

/// Images beside the page: what each shows and its file's name.
pub type Images = Vec<(String, String)>;

/// The page as Markdown. `matrices` are those of each run, in the same order.
pub fn page(
    runs: &[Run],
    results: &Results,
    (charts, matrices): (&Images, &[Images]),
    complete: bool,
) -> String {
    let mut text = "# PART and its ablations\n\n".to_owned();
    if !complete {
        text += "Not all runs are done yet.\n\n";
    }
    text += "Every arm has the same data, the same number of optimiser steps, the same start and, \
             once trained, the same size: low-rank updates are added to the matrices of the LLM. \
             Error rates and BLEU are means over languages and seeds; in brackets 95 % intervals \
             over the choice of test clips (paired for differences).\n\n";
    text += &arms(runs, results);
    text += "## Reading\n\n";
    text += &reading(results);
    text += "## Runs\n\n";
    text += &runs_table(runs);
    text += &format!("{}\n\n", rule());
    text += "## Curves\n\n";
    charts.iter().for_each(|(words, file)| text += &image(words, file));
    text += "## Commands\n\nIn this folder:\n\n```\n";
    for run in runs {
        run.commands.iter().for_each(|command| text += &format!("{command}\n"));
    }
    text += "```\n\n## Languages\n\n";
    for run in runs {
        text += &format!("### {}\n\n", run.name());
        text += &scores::languages(&run.summary);
    }
    text += "## Gradients\n\n";
    for (run, matrices) in runs.iter().zip(matrices).filter(|(run, _)| !run.cosines.is_empty()) {
        text += &format!("### {}\n\n", run.name());
        text += &gradients(&run.cosines, matrices);
    }
    text
}

/// Accuracy and loss of transcripts on development data, all runs in one.
pub fn charts(runs: &[Run]) -> [(&'static str, Chart); 2] {
    let curves = |measure: &str, scale: f64| -> Vec<Curve> {
        let curve = |run: &Run| {
            let points = run.history.development(measure).into_iter();
            Curve {
                name: run.name(),
                points: points.map(|(step, value)| (step, value * scale)).collect(),
                dots: true,
                colour: Some(run.arm as usize),
                pale: runs.iter().any(|other| other.arm == run.arm && other.seed < run.seed),
                ..Curve::default()
            }
        };
        runs.iter().map(curve).collect()
    };
    let chart = |title: &str, y: &str, most: Option<f64>, curves| Chart {
        title: title.to_owned(),
        y: y.to_owned(),
        most,
        curves,
        ..Chart::default()
    };
    let accuracy = curves("accuracy.asr", 100.0);
    let loss = curves("loss.asr", 1.0);
    [
        ("accuracy", chart("Token accuracy, development", "percent", Some(100.0), accuracy)),
        ("loss", chart("Loss, development", "nats a token", None, loss)),
    ]
}

fn optional(score: Option<&Interval>) -> String {
    score.map_or("–".to_owned(), scores::interval)
}

fn signed(score: Option<&Interval>) -> String {
    let text =
        |score: &Interval| format!("{:+.1} ({:+.1} to {:+.1})", score.value, score.low, score.high);
    score.map_or("–".to_owned(), text)
}

fn arms(runs: &[Run], results: &Results) -> String {
    let row = |scores: &ArmScores| {
        let own: Vec<&Run> = runs.iter().filter(|run| run.arm == scores.arm).collect();
        let about = own.first().map_or(String::new(), |run| run.recipe.about.clone());
        let emerged = own.iter().filter(|run| run.emergence().emerged).count();
        vec![
            scores.arm.title(),
            about,
            optional(scores.error_rate.as_ref()),
            signed(scores.error_rate_against_b.as_ref()),
            optional(scores.bleu.as_ref()),
            signed(scores.bleu_against_b.as_ref()),
            format!("{emerged} of {}", own.len()),
        ]
    };
    let rows: Vec<_> = results.arms.iter().map(row).collect();
    let header =
        ["arm", "what it is", "errors, %", "less B", "BLEU", "less B", "alignment emerged"];
    table(&header, &rows, 2)
}

/// What the differences say, arm by arm, in words that follow from the numbers alone.
fn reading(results: &Results) -> String {
    let mut text = String::new();
    if results.arms.iter().all(|scores| scores.arm != Arm::B) {
        return "Arm B was not run, so no arm is set against it.\n\n".to_owned();
    }
    for scores in results.arms.iter().filter(|scores| scores.arm != Arm::B) {
        let said = |difference: Option<&Interval>, what: &str, good: &str, bad: &str| {
            let Some(found) = difference else { return format!("has no {what} to compare") };
            let word = if found.value > 0.0 { bad } else { good };
            let sure = found.low > 0.0 || found.high < 0.0;
            let size = found.value.abs();
            let by = format!("{word} by {size:.1} {what}");
            match sure {
                true => format!("{by}, more than the choice of clips explains"),
                false => format!("{by}, which the choice of clips may explain"),
            }
        };
        let errors =
            said(scores.error_rate_against_b.as_ref(), "points of errors", "better", "worse");
        let bleu = said(scores.bleu_against_b.as_ref(), "BLEU", "worse", "better");
        let arm = scores.arm.title();
        text += &format!("- {arm} against B: transcripts {errors}; translations {bleu}.\n");
    }
    let seeds = results.arms.iter().map(|scores| scores.seeds.len()).min().unwrap_or(0);
    text += &format!(
        "\nIntervals do not hold what other seeds would give (seeds of an arm: {seeds}).\n\n"
    );
    let missed = results.runs.iter().filter(|run| !run.emergence.emerged);
    let missed: Vec<String> =
        missed.map(|run| format!("{}, seed {}", run.arm.title(), run.seed)).collect();
    if !missed.is_empty() {
        text += &format!(
            "Alignment did not emerge in: {}. Scores of such runs say nothing about how well an \
             arm would do on more data or steps.\n\n",
            missed.join("; ")
        );
    }
    text
}

fn runs_table(runs: &[Run]) -> String {
    let row = |run: &Run| {
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.1}"));
        let (totals, emergence) = (run.history.totals(), run.emergence());
        let trained: u64 = run.size.written.values().sum();
        let lora = run.size.written.get("lora").copied().unwrap_or(0);
        let millions = |count: u64| format!("{:.2}", count as f64 / 1e6);
        vec![
            run.name(),
            run.history.steps.len().to_string(),
            time(totals.hours),
            time(totals.audio_hours),
            number(run.error_rate()),
            number(run.bleu()),
            number(emergence.first_accuracy),
            number(emergence.best_accuracy),
            emergence.word().to_owned(),
            millions(trained),
            millions(lora),
            millions(run.size.whole),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    let header = [
        "run",
        "steps",
        "training",
        "audio heard",
        "errors, %",
        "BLEU",
        "first accuracy, %",
        "best accuracy, %",
        "emerged",
        "written, M",
        "of it low-rank, M",
        "model as it runs, M",
    ];
    table(&header, &rows, 1)
}

//! `partita-train report`: a page about a run, with curves, scores, samples and the cosines between
//! gradients.

pub mod gradients;
pub mod history;
pub mod markdown;
pub mod page;
pub mod scores;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use candle_core::Device;

use crate::evaluate::{Row, Summary, read_rows};
use crate::output;
use crate::run_folder;
use gradients::{StageCosines, file_name};
use history::History;
use page::Facts;
use partita_chart::{self as chart, Chart};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The run's folder.
    pub run: PathBuf,
    /// Where the page goes; the run's folder when absent.
    pub out: Option<PathBuf>,
    /// Measure cosines between gradients at the ends of stages where they are missing, with so
    /// many clips of each language and task.
    pub gradients: Option<usize>,
}

/// Writes `report.md` and the images that it shows; returns the page's path.
///
/// # Errors
/// When the folder is no run, no step was done yet, its files are damaged, or the page cannot be
/// written.
pub fn report(options: &Options, device: &Device, quiet: bool) -> Result<PathBuf> {
    let run = options.run.as_path();
    let recipe = run_folder::recipe(run)?;
    let history = History::read(run)?;
    if let Some(clips) = options.gradients {
        gradients::measure(run, &recipe, clips, device, quiet)?;
    }
    let cosines = gradients::read(run, &recipe)?;
    let scores = newest_scores(run)?;
    let out = options.out.as_deref().unwrap_or(run);
    fs::create_dir_all(out).with_context(|| format!("{}: cannot create", out.display()))?;
    let mut charts = Vec::new();
    let all = [
        ("loss", history.losses()),
        ("accuracy", history.accuracies()),
        ("rates", history.rates()),
    ];
    for (name, chart) in all {
        charts.extend(draw(out, name, &chart)?);
    }
    let matrices = draw_matrices(out, "", &cosines)?;
    let facts =
        Facts { recipe: &recipe, history: &history, scores: scores.as_ref(), cosines: &cosines };
    let path = out.join("report.md");
    output::write_whole(&path, facts.page(&charts, &matrices).as_bytes())?;
    Ok(path)
}

/// Writes `NAME.png` unless there is nothing to draw; returns what it shows and its file's name.
///
/// # Errors
/// When it cannot be written.
pub fn draw(folder: &Path, name: &str, chart: &Chart) -> Result<Option<(String, String)>> {
    if chart.is_empty() {
        return Ok(None);
    }
    let file = format!("{name}.png");
    output::write_whole(&folder.join(&file), &chart.draw()?)?;
    Ok(Some((chart.title.clone(), file)))
}

/// Writes a matrix for each stage, `PREFIXgradients-STAGE.png`; returns what each shows and its
/// file's name.
///
/// # Errors
/// When one cannot be written.
pub fn draw_matrices(
    folder: &Path,
    prefix: &str,
    cosines: &[StageCosines],
) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for one in cosines {
        let words = format!("Gradients after stage {}", one.stage);
        let file = format!("{prefix}gradients-{}.png", file_name(&one.stage));
        let image = chart::matrix(&words, &one.cosines.labels, &one.cosines.values)?;
        output::write_whole(&folder.join(&file), &image)?;
        files.push((words, file));
    }
    Ok(files)
}

/// The newest evaluation of a run: its name, its summary and its rows.
fn newest_scores(run: &Path) -> Result<Option<(String, Summary, Vec<Row>)>> {
    let files = fs::read_dir(run.join("eval")).into_iter().flatten().flatten();
    let files = files.map(|entry| entry.path());
    let summaries = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let age = |path: &PathBuf| {
        let changed = fs::metadata(path).and_then(|file| file.modified());
        (changed.unwrap_or(SystemTime::UNIX_EPOCH), path.clone())
    };
    let Some(path) = summaries.max_by_key(age) else { return Ok(None) };
    let named = || path.display().to_string();
    let text = fs::read(&path).with_context(named)?;
    let summary: Summary = serde_json::from_slice(&text).with_context(named)?;
    let rows = read_rows(&path.with_extension("jsonl"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some((name, summary, rows)))
}

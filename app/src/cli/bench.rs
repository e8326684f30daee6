//! `partita bench`.

use super::engine_args::EngineArgs;
use crate::engines::{self, Options};
use crate::runtimes::Backend;
use crate::{machine, samples};
use anyhow::{Context, bail};
use clap::Args;
use partita_audio::{SAMPLE_RATE, read_all};
use partita_model::engine::Request;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `partita bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Recording of speech to use, 30 s or more; the built-in clips when not given
    file: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Runs of each length; the median is shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// One JSON object for each runtime, a line
    #[arg(long)]
    json: bool,
}

/// Lengths that are measured, in seconds.
const LENGTHS: [usize; 3] = [5, 11, 30];

/// What one length took, medians.
struct Row {
    seconds: usize,
    wall: f64,
    cpu: Option<f64>,
    tokens: usize,
}

/// Runs `partita bench`: greedy, no second attempts, no voice activity. A model that both runtimes can
/// run is measured with either, one after the other, unless one is named; the peak of memory is that of
/// both then.
///
/// # Errors
/// When the engine or the recording cannot be used.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let threads = args.engine.set_threads();
    let audio = audio(args)?;
    let options = args.engine.options()?;
    for (number, backend) in engines::backends(&options)?.into_iter().enumerate() {
        let options = Options { backend, ..options.clone() };
        let mut out = std::io::stdout().lock();
        if number > 0 && !args.json {
            writeln!(out)?;
        }
        measure(args, &options, threads, &audio, &mut out)?;
    }
    Ok(())
}

fn measure(
    args: &BenchArgs,
    options: &Options,
    threads: usize,
    audio: &[f32],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut engine = engines::open(options)?;
    let load = started.elapsed().as_secs_f64();

    let request = Request { fallback: false, silence_guard: false, ..args.engine.request() };
    let mut rows = Vec::new();
    for seconds in LENGTHS {
        let samples = &audio[..(seconds * SAMPLE_RATE as usize).min(audio.len())];
        // The first run packs weights and fills caches.
        let mut tokens = engine.transcribe(samples, &request)?.text.tokens;
        let mut walls = Vec::new();
        let mut cpus = Vec::new();
        for _ in 0..args.runs {
            let (wall, cpu) = (Instant::now(), machine::cpu_seconds());
            tokens = engine.transcribe(samples, &request)?.text.tokens;
            walls.push(wall.elapsed().as_secs_f64());
            cpus.extend(machine::cpu_seconds().zip(cpu).map(|(now, then)| now - then));
        }
        let cpu = (!cpus.is_empty()).then(|| median(&mut cpus));
        rows.push(Row { seconds, wall: median(&mut walls), cpu, tokens });
    }

    let (processor, features) = machine::processor();
    let memory = machine::peak_memory_mib();
    let place = match options.backend {
        Backend::Onnx => options.provider.name().to_owned(),
        _ => format!("{:?}", options.device).to_lowercase(),
    };
    let report = json!({
        "engine": engine.capabilities().engine,
        "model": options.model,
        "backend": options.backend.name(),
        "quantization": options.quantization.name(),
        "padding": format!("{:?}", options.padding).to_lowercase(),
        "device": place,
        "threads": threads,
        "processor": processor,
        "features": features,
        "load_seconds": load,
        "peak_memory_mib": memory,
        "runs": args.runs,
        "lengths": rows.iter().map(row_value).collect::<Vec<_>>(),
    });
    if args.json {
        writeln!(out, "{report}")?;
        return Ok(());
    }
    let features = features.join(" ");
    writeln!(out, "processor     {processor} ({features})")?;
    writeln!(
        out,
        "engine        {}, {} {}, {} on {place}, {threads} threads, {} encoder",
        engine.capabilities().engine,
        options.model,
        options.quantization.name(),
        options.backend,
        report["padding"].as_str().unwrap_or_default(),
    )?;
    writeln!(out, "load          {load:.2} s")?;
    if let Some(memory) = memory {
        writeln!(out, "peak memory   {memory:.0} MiB")?;
    }
    writeln!(out, "\naudio s   wall s    CPU s   real-time factor   tokens   tokens/s")?;
    for row in &rows {
        let cpu = row.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.3}"));
        writeln!(
            out,
            "{:>7}   {:>6.3}   {cpu:>6}   {:>16.3}   {:>6}   {:>8.1}",
            row.seconds,
            row.wall,
            row.wall / row.seconds as f64,
            row.tokens,
            row.tokens as f64 / row.wall
        )?;
    }
    Ok(())
}

fn row_value(row: &Row) -> Value {
    json!({
        "seconds": row.seconds,
        "wall_seconds": row.wall,
        "cpu_seconds": row.cpu,
        "real_time_factor": row.wall / row.seconds as f64,
        "tokens": row.tokens,
        "tokens_per_second": row.tokens as f64 / row.wall,
    })
}

/// At least as much speech as the longest length.
fn audio(args: &BenchArgs) -> anyhow::Result<Vec<f32>> {
    let longest = LENGTHS.iter().max().copied().unwrap_or(0) * SAMPLE_RATE as usize;
    if let Some(file) = &args.file {
        let samples = read_all(file)?;
        if samples.len() < longest {
            bail!("{}: shorter than {} s", file.display(), longest / SAMPLE_RATE as usize);
        }
        return Ok(samples);
    }
    let mut samples = Vec::new();
    for clip in samples::all() {
        samples.extend(clip.audio().with_context(|| format!("built-in clip {}", clip.file))?);
    }
    Ok(samples)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

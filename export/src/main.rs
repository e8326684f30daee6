//! The command line of `partita-export`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use partita_export::diff::Difference;
use partita_export::merged::Merged;
use partita_export::{compare, gguf, inspect, interrupt, onnx, side};

/// Looks into, quantizes and exports the models of Partita.
#[derive(Debug, Parser)]
#[command(name = "partita-export", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures what each form of a model costs against the model in f32.
    ///
    /// Every model hears the same clips in a process of its own. The table has size, loading, speed,
    /// memory, how far logits are from those of the first model, error rate, BLEU and chrF, and how
    /// far these are from the first model's.
    #[command(after_help = "Examples:\n  \
        partita-export compare runs/base shipped/base-Q8_0.gguf shipped/base-Q4_K_M.gguf \
        --manifest prepared/speech.jsonl -o cost\n  \
        partita-export compare whisper-base shipped/whisper-base-*.gguf --manifest prepared/speech.jsonl")]
    Compare(compare::cli::CompareArgs),
    /// Shows what differs between two files of weights or graphs: keys, tensors, types, shapes, values.
    ///
    /// Opens whatever `inspect` opens; the files may be of different formats. What a graph takes,
    /// gives and computes with counts as keys. Of tensors that both
    /// have in the same shape, decoded to floats, it shows the largest difference, the difference's
    /// root mean square over that of the first file's values, and the cosine.
    ///
    /// The exit status is 0 when both hold the same, 1 when something differs, 2 when a file cannot
    /// be read.
    #[command(after_help = "Examples:\n  \
        partita-export diff model-F16.gguf model-Q8_0.gguf\n  \
        partita-export diff --json before.safetensors after.safetensors | jq '.keys'")]
    Diff {
        /// The first file, or a folder as for `inspect`
        #[arg(value_name = "A")]
        first: PathBuf,
        /// The second
        #[arg(value_name = "B")]
        second: PathBuf,
        /// Print one JSON object, all tensors in it
        #[arg(long)]
        json: bool,
        /// List all that differs, and tensors that are the same
        #[arg(long)]
        all: bool,
    },
    /// Writes a model as quantized GGUF files that stock tools open.
    ///
    /// A trained model becomes a pair: NAME-QUANT.gguf, a language model with what was trained merged
    /// into it, and mmproj-NAME-QUANT.gguf, encoder and adapter as llama.cpp takes them. What stock
    /// tools would abort on is refused; the message names the rule. Both files appear, or neither.
    #[command(after_help = "Examples:\n  \
        partita-export gguf runs/base --quant q4_k_m --name partita-base-0.3B-v1 -o shipped\n  \
        partita-export gguf runs/base --quant q4_k_m --vocab-for de,en,fr -o shipped\n  \
        partita-export gguf whisper-base --quant q8_0 -o shipped")]
    Gguf(gguf::cli::GgufArgs),
    /// Shows what a file of weights or a graph holds: metadata, tensors, sizes by type.
    ///
    /// Reads GGUF (2, 3), safetensors (a file, or a folder of shards), CTranslate2's model.bin and
    /// ONNX (with inputs, outputs and operators), told apart by their content. Weights themselves
    /// are not read; shapes are in PyTorch order. A file that cannot be read is named on standard
    /// error, the others are still shown, and the exit status is 1.
    #[command(after_help = "Examples:\n  \
        partita-export inspect model.gguf\n  \
        partita-export inspect --tensors model.safetensors | less\n  \
        partita-export inspect --json --tensors model.bin | jq '.tensors[].name'")]
    Inspect {
        /// Files, or folders that hold model.safetensors, its index, or model.bin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print one JSON object per file and line; long arrays are cut as in the text
        #[arg(long)]
        json: bool,
        /// List every tensor with its type, shape and size
        #[arg(long)]
        tensors: bool,
    },
    /// Writes a model as ONNX graphs in the layout that transformers.js reads for Ultravox.
    ///
    /// A trained model becomes audio_encoder, embed_tokens and decoder_model_merged with the words
    /// that it was trained with; of a Whisper model the encoder is written. Several types may be
    /// exported into one folder.
    #[command(after_help = "Examples:\n  \
        partita-export onnx runs/de-en -o de-en-onnx\n  \
        partita-export onnx runs/de-en --dtype q4 -o de-en-onnx\n  \
        partita-export onnx whisper-base -o whisper-base-onnx")]
    Onnx {
        /// A trained model's folder, or a Whisper model: a file, a folder, or one of the store
        #[arg(value_name = "RUN|MODEL")]
        model: String,
        /// The type of matrices
        #[arg(long, value_enum, default_value_t)]
        dtype: onnx::Dtype,
        /// The folder to write into
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// Put the weights of graphs of more MiB than this into a second file; no graph may be larger
        /// than 2 GiB
        #[arg(long, value_name = "MIB", default_value_t = onnx::MOST_INSIDE >> 20)]
        split_over: u64,
    },
    /// Measures one model for `compare`: work on standard input, what was found on standard output.
    #[command(name = compare::measure::COMMAND, hide = true)]
    Measure,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Compare(arguments) => finish(arguments.run()),
        Command::Diff { first, second, json, all } => difference([&first, &second], json, all),
        Command::Gguf(arguments) => finish(arguments.run()),
        Command::Inspect { files, json, tensors } => inspect_all(&files, json, tensors),
        Command::Onnx { model, dtype, output, split_over } => {
            let most = split_over.saturating_mul(1 << 20).min(onnx::MOST_INSIDE);
            finish(export_onnx(&model, dtype, &output, most))
        }
        Command::Measure => finish(compare::measure::run()),
    }
}

fn export_onnx(
    model: &str,
    dtype: onnx::Dtype,
    output: &Path,
    most: u64,
) -> anyhow::Result<String> {
    interrupt::on_ctrl_c();
    let written = onnx::export(&Merged::open(model)?, dtype, output, most)?;
    let line = |(path, bytes): &(PathBuf, u64)| format!("{bytes:>12}  {}\n", path.display());
    Ok(written.iter().map(line).collect())
}

/// As `diff` does it: 0 for the same, 1 for a difference, 2 when it could not be found out.
fn difference([first, second]: [&Path; 2], json: bool, all: bool) -> ExitCode {
    let found = || -> anyhow::Result<Difference> {
        let found = Difference::of(side::open(first)?.as_ref(), side::open(second)?.as_ref())?;
        let text = match json {
            true => format!("{}\n", serde_json::to_string(&found)?),
            false if found.is_empty() && !all => String::new(),
            false => found.text(all),
        };
        print(&text, false).or_else(|error| if is_enough(&error) { Ok(()) } else { Err(error) })?;
        Ok(found)
    };
    match found() {
        Ok(found) if found.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether a reader has seen enough (`| head`), which is no error.
fn is_enough(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe)
}

fn inspect_all(files: &[PathBuf], json: bool, tensors: bool) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for (i, file) in files.iter().enumerate() {
        let shown = match report(file, json, tensors) {
            Ok(report) => print(&report, i > 0 && !json),
            Err(error) => Err(error),
        };
        if let Err(error) = shown {
            if is_enough(&error) {
                return status;
            }
            let _ = writeln!(io::stderr(), "error: {error:#}");
            status = ExitCode::FAILURE;
        }
    }
    status
}

/// Prints what a command found, or why it failed.
fn finish(found: anyhow::Result<String>) -> ExitCode {
    match found.and_then(|text| print(&text, false)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(path: &Path, json: bool, tensors: bool) -> anyhow::Result<String> {
    let listing = inspect::Listing::open(path)?;
    Ok(if json { format!("{}\n", listing.json(tensors)) } else { listing.text(tensors) })
}

fn print(report: &str, apart: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if apart {
        out.write_all(b"\n")?;
    }
    out.write_all(report.as_bytes())?;
    Ok(out.flush()?)
}

//! `partita-export gguf`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use partita_model::tokens::Lang;

use super::{Options, Quant, calibration, card, export, render, vocabulary};
use crate::interrupt;

/// Arguments of `partita-export gguf`.
#[derive(Debug, Args)]
pub struct GgufArgs {
    /// A run's or trained model's folder, a packed model, another GGUF file, or a model of the store
    #[arg(value_name = "RUN|MODEL")]
    model: String,
    /// Type of the language model's (or Whisper's) matrices: f32, f16, bf16, q8_0, q6_k, q5_k_m,
    /// q4_k_m, q4_0
    #[arg(long, value_parser = quant)]
    quant: Quant,
    /// Type of encoder and adapter; q8_0 when not given, or that of --quant where it is a float
    #[arg(long, value_name = "QUANT", value_parser = quant)]
    mmproj_quant: Option<Quant>,
    /// Keep only the tokens that these languages need: `de,en,…`
    #[arg(long, value_name = "LANGS", value_delimiter = ',')]
    vocab_for: Vec<Lang>,
    /// Text to count tokens on (any corpus that can be prepared for training; may be given several
    /// times); for a run, its own data when not given
    #[arg(long, value_name = "PATH", requires = "vocab_for")]
    vocab_text: Vec<PathBuf>,
    /// Leave out tokens that the text has less often
    #[arg(long, value_name = "N", default_value_t = 1, requires = "vocab_for")]
    vocab_least: u64,
    /// Manifest of speech (JSON lines), of whose training clips some are heard to find out which
    /// inputs of each layer matter; K-quants, Q4_0 and Q5_0 are made to be exact for those
    #[arg(long, value_name = "MANIFEST")]
    calibration: Option<PathBuf>,
    /// Most clips that are heard for it
    #[arg(long, value_name = "N", default_value_t = 100, requires = "calibration")]
    calibration_clips: usize,
    /// Name of the files, without quantization; the model's own when not given
    #[arg(long)]
    name: Option<String>,
    /// What the files say of themselves, as `author=Ada`: author, basename, description, doi, finetune,
    /// license, license.link, license.name, organization, repo_url, source.url, url, version (may be
    /// given several times)
    #[arg(long, value_name = "KEY=TEXT", value_parser = card::entry)]
    card: Vec<(String, String)>,
    /// Cut a language model that is larger than so many bytes into several files (`2G`, `500M`)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shard_size: Option<u64>,
    /// Folder that gets the files
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Print the report as one JSON object, all tensors in it
    #[arg(long)]
    json: bool,
}

fn quant(name: &str) -> Result<Quant, String> {
    let names: Vec<_> = Quant::all().map(|quant| quant.name().to_lowercase()).collect();
    Quant::from_name(name).ok_or_else(|| format!("known are {}", names.join(", ")))
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).map(str::to_uppercase).as_deref() {
        Some("") => 1,
        Some("K") => 1_000,
        Some("M") => 1_000_000,
        Some("G") => 1_000_000_000,
        _ => return Err("one of K, M, G may follow the number".to_owned()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| "a number of bytes, as 500M or 2G".to_owned())
}

impl GgufArgs {
    /// Exports, and returns what to print.
    ///
    /// # Errors
    /// As [`export`]'s.
    pub fn run(self) -> Result<String> {
        if self.vocab_least == 0 {
            bail!("--vocab-least 0 keeps nothing out; 1 is the least");
        }
        let vocabulary = (!self.vocab_for.is_empty()).then_some(vocabulary::Options {
            languages: self.vocab_for,
            text: self.vocab_text,
            least: self.vocab_least,
        });
        let clips = self.calibration_clips;
        let calibration = self.calibration.map(|manifest| calibration::Options { manifest, clips });
        interrupt::on_ctrl_c();
        let report = export(&Options {
            model: self.model,
            quant: self.quant,
            projector: self.mmproj_quant,
            vocabulary,
            name: self.name,
            shard_size: self.shard_size,
            calibration,
            card: self.card,
            out: self.out,
        })?;
        Ok(match self.json {
            true => format!("{}\n", serde_json::to_string(&report)?),
            false => render(&report),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("2G"), Ok(2_000_000_000));
        assert_eq!((size("500m"), size("7")), (Ok(500_000_000), Ok(7)));
        for wrong in ["", "G", "0", "2GG", "-1", "99999999999999999999G", "2T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}

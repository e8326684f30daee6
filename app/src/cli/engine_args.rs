//! Options that every command with an engine has.

use crate::bundled;
use crate::engines::{self, EngineChoice, Options};
use crate::live::LiveOptions;
use crate::measure::{Measured, USUAL_MODEL};
use crate::runtimes::Backend;
use crate::store::Store;
use clap::{Args, ValueEnum};
use partita_model::engine::{LiveEngine, Request};
use partita_model::machine::Threads;
use partita_model::onnx::Provider;
use partita_model::whisper::{Padding, Quantization};

/// Options of engines and decoding.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Engine to use
    #[arg(long, value_enum, default_value_t = EngineName::Auto)]
    engine: EngineName,
    /// Model of the store to use; for speech-llm, the folder of a trained model (a run) or of an
    /// exported one, or its GGUF file (the mmproj is found beside it) or ONNX decoder
    #[arg(long)]
    model: Option<String>,
    /// Language spoken (`de`, `en`, …), several to choose among (`de,en`), or `auto`
    #[arg(long, default_value = "auto")]
    lang: String,
    /// Language to translate into, beside the transcript
    #[arg(long, value_name = "LANG")]
    translate: Option<String>,
    /// Runtime of a speech-llm: candle (weights, GGUF pairs), onnx (ONNX graphs), or auto: the faster
    /// one here of those that it has a form for, measured the first time
    #[arg(long, default_value_t, value_parser = backend)]
    backend: Backend,
    /// Where candle computes: `cpu`, `cuda:N` or `metal`
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Where ONNX Runtime computes, as far as its library can: cpu, cuda, coreml, directml
    #[arg(long, default_value_t, value_parser = provider)]
    provider: Provider,
    /// Threads; all cores when not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Type that weights are stored in: q8_0, q6_k, q4_k, f16, f32 (when not given, what the page
    /// Models measured to be best here, or what suits this processor)
    #[arg(long, value_parser = quantization)]
    quant: Option<Quantization>,
    /// Hypotheses kept side by side; 1 is greedy
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=16))]
    beam: u8,
    /// Do not decode again what looks wrong
    #[arg(long)]
    no_fallback: bool,
    /// Do not write times within a window
    #[arg(long)]
    no_timestamps: bool,
    /// Read every window as 30 s, silence added, as the model was trained
    #[arg(long, conflicts_with = "unpadded")]
    padded: bool,
    /// Read only the audio that is there (the default)
    #[arg(long)]
    unpadded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// The one that the page Models measured to make the fewest errors here, or else Whisper
    Auto,
    /// Encoder, adapter and small language model
    SpeechLlm,
    /// Whisper
    Whisper,
}

fn backend(name: &str) -> Result<Backend, String> {
    let known = || Backend::all().map(|(_, name, _)| name).collect::<Vec<_>>().join(", ");
    Backend::from_name(name).ok_or_else(|| format!("known are {}", known()))
}

fn provider(name: &str) -> Result<Provider, String> {
    let known = || Provider::ALL.map(Provider::name).join(", ");
    Provider::from_name(name).ok_or_else(|| format!("known are {}", known()))
}

/// Reads the name of a type of weights.
pub(super) fn quantization(name: &str) -> Result<Quantization, String> {
    let names = Quantization::ALL.map(|kind| kind.name().to_lowercase()).join(", ");
    Quantization::from_name(name).ok_or_else(|| format!("known are {names}"))
}

impl EngineArgs {
    /// Sets the threads of all pools. To be called before anything is computed.
    pub fn set_threads(&self) -> usize {
        engines::set_threads(self.threads)
    }

    /// Where to load the engine from and how.
    ///
    /// # Errors
    /// When the device is not known or not there.
    pub fn options(&self) -> anyhow::Result<Options> {
        // Where there is no store, nothing was measured, and what needs one says so.
        let measured = Store::open().map(|store| Measured::load(store.root()));
        self.options_by(&measured.unwrap_or_default())
    }

    fn options_by(&self, measured: &Measured) -> anyhow::Result<Options> {
        let (engine, model) = match (self.engine, &self.model) {
            (EngineName::Auto, None) => measured.automatic(),
            (EngineName::SpeechLlm, Some(model)) => (EngineChoice::SpeechLlm, model.clone()),
            (EngineName::SpeechLlm, None) => (EngineChoice::SpeechLlm, bundled::speech_model()?),
            (_, model) => {
                (EngineChoice::Whisper, model.as_deref().unwrap_or(USUAL_MODEL).to_owned())
            }
        };
        Ok(Options {
            engine,
            quantization: self.quant.unwrap_or_else(|| measured.form(&model)),
            model,
            padding: if self.padded { Padding::Full } else { Padding::Natural },
            device: partita_model::device::named(&self.device)?,
            backend: self.backend,
            provider: self.provider,
            threads: Threads::of(self.threads).all,
        })
    }

    /// Opens the engine.
    ///
    /// # Errors
    /// When its model is not installed or cannot be used.
    pub fn open(&self) -> anyhow::Result<(Box<dyn LiveEngine>, Options)> {
        let options = self.options()?;
        let engine = engines::open(&options)?;
        Ok((engine, options))
    }

    /// How a live session is to listen and write.
    pub fn live(&self) -> LiveOptions {
        let request = self.request();
        LiveOptions {
            languages: self.languages(),
            translate: request.translate,
            beam: request.beam,
            ..LiveOptions::default()
        }
    }

    /// Languages that may be spoken; none means any.
    pub fn languages(&self) -> Vec<String> {
        let named = self.lang.split(',').map(|code| code.trim().to_lowercase());
        named.filter(|code| code != "auto").collect()
    }

    /// What to ask of the engine.
    pub fn request(&self) -> Request {
        let languages = self.languages();
        Request {
            language: match languages.as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            },
            among: languages,
            translate: self.translate.as_ref().map(|target| target.to_lowercase()),
            timestamps: !self.no_timestamps,
            beam: self.beam.into(),
            fallback: !self.no_fallback,
            silence_guard: !self.no_fallback,
            ..Request::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Row;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        engine: EngineArgs,
    }

    #[test]
    fn what_was_measured_counts_unless_a_form_is_asked_for() {
        let of = |arguments: &[&str], measured: &Measured| {
            let line = Line::parse_from([&["partita"], arguments].concat());
            line.engine.options_by(measured).unwrap().quantization
        };
        let mut measured = Measured::default();
        assert_eq!(of(&[], &measured), Quantization::for_this_machine());
        for (form, real_time_factor) in [("Q8_0", 0.3), ("Q6_K", 0.2), ("Q4_K", 0.4)] {
            measured.add(Row {
                engine: "whisper".to_owned(),
                model: "whisper-base".to_owned(),
                quantization: form.to_owned(),
                load_seconds: 1.0,
                real_time_factor,
                accuracy: 0.9,
            });
        }
        assert_eq!(of(&[], &measured), Quantization::Q6K);
        assert_eq!(of(&["--quant", "q4_k"], &measured), Quantization::Q4K);
        let other = ["--model", "whisper-tiny"];
        assert_eq!(of(&other, &measured), Quantization::for_this_machine());
    }
}

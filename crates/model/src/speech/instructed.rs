//! Speech models of others that are asked in words (Ultravox from v0.5 on), as pairs of stock files.

use super::chat::TurnForm;
use super::ends::Ends;
use super::engine::{LONGEST, log_mel};
use super::pair::{PairSource, companion, dimensions};
use super::{Adapter, AdapterConfig};
use crate::engine::{
    Capabilities, Draft, Engine, LiveEngine, Request, Segment, Text, Transcript, Written,
};
use crate::error::ModelError;
use crate::files::{Array, FileError, Value, WeightFile};
use crate::languages::{self, detected};
use crate::llm::{Llm, LlmConfig, LlmState, TextNetwork, Writing};
use crate::nn::{FileSource, Precision};
use crate::search::{Hypothesis, Search, Started, most_tokens};
use crate::tokens::{Lang, TextTokenizer};
use crate::whisper::{Encoder, WhisperConfig};
use candle_core::{Device, Tensor};
use partita_audio::SAMPLE_RATE;
use partita_audio::mel::LogMel;
use std::path::Path;
use std::sync::Arc;

/// An opened pair of others: a language model that follows instructions, and `mmproj-…` beside it.
#[derive(Debug)]
pub struct InstructedModel {
    encoder: WhisperConfig,
    adapter: AdapterConfig,
    projector: WeightFile,
    text: Arc<WeightFile>,
    tokenizer: Arc<TextTokenizer>,
    form: &'static TurnForm,
    languages: Vec<String>,
}

impl InstructedModel {
    /// Opens the pair of a language model's file and the other file beside it: the same name with
    /// `mmproj-` before it, or one that differs in its quantization alone.
    ///
    /// # Errors
    /// When a file is missing, malformed or no part of such a pair.
    pub fn open(llm: &Path) -> Result<Self, ModelError> {
        let text = Arc::new(WeightFile::open(llm)?);
        let projector = WeightFile::open(&companion(llm)?)?;
        let (encoder, adapter) = dimensions(&projector)?;
        let config = LlmConfig::from_gguf(&text)?;
        if adapter.llm_width != config.width {
            let (key, width) = ("clip.audio.projection_dim", config.width);
            let reason = format!("{}, and the language model is {width} wide", adapter.llm_width);
            return Err(FileError::metadata(projector.path(), key, reason).into());
        }
        let tokenizer = Arc::new(TextTokenizer::from_gguf(&text)?);
        let form = TurnForm::of(&text, &tokenizer)?;
        // Files say what the language model can write; nobody says what the encoder understands.
        let said = text.metadata().get("general.languages").and_then(Value::as_array);
        let said = said.and_then(Array::as_strings).unwrap_or_default();
        let mut languages: Vec<String> =
            said.iter().filter(|code| languages::is_known(code)).cloned().collect();
        if languages.is_empty() {
            languages = Lang::all().map(|lang| lang.code().to_owned()).collect();
        }
        Ok(Self { encoder, adapter, projector, text, tokenizer, form, languages })
    }

    /// Languages that it is said to know.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// The language model's file (or its shards in order), and that of its encoder and adapter.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.text.files().chain(self.projector.files())
    }

    /// Loads it, with weights held in the forms that are fastest here.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device has no room.
    pub fn engine(self, device: &Device) -> Result<InstructedEngine, ModelError> {
        let source =
            PairSource::new(&self.projector, &self.text, Vec::new(), (device, Precision::Prefill));
        let config = LlmConfig::from_gguf(&self.text)?;
        let text = FileSource::new(&self.text, device, Precision::Decoding);
        let llm = Llm::load(&text, self.text.clone(), config, (None, None), device)?;
        let ends = Ends::of(&self.tokenizer)?;
        Ok(InstructedEngine {
            encoder: Encoder::load(&source, &self.encoder)?,
            adapter: Adapter::load(&source, &self.adapter)?,
            llm,
            mel: LogMel::new(self.encoder.mel_bins)?,
            capabilities: Capabilities {
                engine: "speech-llm",
                translation_targets: self.languages.clone(),
                languages: self.languages,
                timestamps: false,
                longest_window: LONGEST,
            },
            tokenizer: self.tokenizer,
            form: self.form,
            ends,
            heard: None,
        })
    }
}

/// What Ultravox is asked for a transcript.
const TRANSCRIBE: &str = "Transcribe";
/// An average log-probability a token below which a text is doubted (Whisper's own threshold).
const LEAST_AVERAGE: f32 = -1.0;

/// A language of a text less likely than this is taken for the one spoken before.
const SURE: f32 = 0.6;

/// A model of others that is asked in words. It hears no language and no silence by itself: the
/// language of a text is told from its words, and `((noise))`, as Ultravox writes it, is no text.
pub struct InstructedEngine {
    encoder: Encoder,
    adapter: Adapter,
    llm: Llm,
    tokenizer: Arc<TextTokenizer>,
    form: &'static TurnForm,
    ends: Ends,
    mel: LogMel,
    capabilities: Capabilities,
    heard: Option<Heard>,
}

/// One stretch of audio, asked about.
struct Heard {
    audio: Tensor,
    seconds: f64,
    transcript: Asked,
    last: Option<Last>,
}

/// What was written of it last.
struct Last {
    /// For which draft, how many of whose tokens had to stay, and which beam.
    wish: (Vec<u32>, usize, usize),
    found: Hypothesis,
}

/// A language model that has read a question, and its logits for the first word of the answer.
struct Asked {
    state: LlmState,
    logits: Vec<f32>,
}

impl InstructedEngine {
    /// Vectors `[1, time, width]` of 16 kHz mono audio.
    fn listen(&self, samples: &[f32]) -> Result<Tensor, ModelError> {
        let mel = log_mel(&self.mel, samples)?.to_device(self.llm.device())?;
        let frames = mel.dim(2)?;
        let heard = self.encoder.forward_batch(&mel, &[frames])?;
        Ok(self.adapter.forward(&heard, &[Encoder::frames(frames)])?.0)
    }

    /// Reads a question about audio.
    fn ask(&self, audio: &Tensor, words: &str) -> Result<Asked, ModelError> {
        let [before, behind] = self.form.ask(&self.tokenizer, words);
        let mut parts = Vec::with_capacity(3);
        for (tokens, is_before) in [(&before, true), (&behind, false)] {
            if !tokens.is_empty() {
                parts.push(self.llm.embed(tokens)?);
            }
            if is_before {
                parts.push(audio.clone());
            }
        }
        let x = Tensor::cat(&parts, 1)?;
        let (read_already, most) = (x.dim(1)?, self.llm.config().context);
        if read_already >= most {
            let reason = format!("a question of {read_already} tokens; the model reads {most}");
            return Err(ModelError::Unsupported(reason));
        }
        let mut state = self.llm.start();
        let logits = self.llm.read(&x, &mut state, 1)?;
        Ok(Asked { state, logits: logits.into_iter().next().unwrap_or_default() })
    }

    /// Writes the answer to a question, which stays as it is.
    fn answer(
        &self,
        asked: &Asked,
        seconds: f64,
        beam: usize,
        draft: Draft,
    ) -> Result<Hypothesis, ModelError> {
        let limit = most_tokens(seconds).max(draft.forced);
        let search = Search { beam: beam.max(1), temperature: 0.0, draws: 1, limit, seed: 17 };
        let (network, state) = (&self.llm, asked.state.fork()?);
        let model = Writing { network, state, tokens: <[u32]>::to_vec };
        let (logits, rules) = (asked.logits.clone(), &self.ends);
        let start = Started { model, logits, rules, end: self.ends.end() };
        search.verify(start, draft.tokens, draft.forced)
    }

    fn translation(
        &self,
        audio: &Tensor,
        seconds: f64,
        to: &str,
    ) -> Result<Hypothesis, ModelError> {
        let to = languages::name(to);
        let words = format!(
            "Please translate the text to {to}. Your response should only include the {to} \
             translation, without any additional words:\n"
        );
        self.answer(&self.ask(audio, &words)?, seconds, 1, Draft::default())
    }

    fn text(&self, hypothesis: &Hypothesis) -> String {
        spoken(&self.tokenizer.decode(&hypothesis.tokens)).to_owned()
    }

    fn known(&self, code: &str) -> Result<(), ModelError> {
        match self.capabilities.languages.iter().any(|known| known == code) {
            true => Ok(()),
            false => Err(ModelError::Unsupported(format!("not known to the model: `{code}`"))),
        }
    }

    /// Whether all languages of a request are known.
    fn check(&self, request: &Request) -> Result<(), ModelError> {
        let Request { language, among, translate, .. } = request;
        language.iter().chain(among).chain(translate).try_for_each(|code| self.known(code))
    }

    /// The language of a text: that asked for, or what its words say; empty where nothing is said.
    /// Nothing of it changes by asking again: that nobody speaks is as sure as can be.
    fn language(&self, request: &Request, text: &str) -> (String, f32) {
        let among = match request.among.as_slice() {
            [] => &self.capabilities.languages,
            some => some,
        };
        match &request.language {
            _ if text.is_empty() => (String::new(), 1.0),
            Some(code) => (code.clone(), 1.0),
            None => {
                let before = request.before.as_ref().filter(|before| among.contains(before));
                match detected(text, among) {
                    Some(found) if before.is_none() || found.1 >= SURE => found,
                    _ => {
                        before.or(among.first()).map(|code| (code.clone(), 0.0)).unwrap_or_default()
                    }
                }
            }
        }
    }
}

impl Engine for InstructedEngine {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError> {
        self.check(request)?;
        let (audio, seconds) = (self.listen(samples)?, seconds_of(samples));
        let asked = self.ask(&audio, TRANSCRIBE)?;
        let found = self.answer(&asked, seconds, request.beam, Draft::default())?;
        let text = self.text(&found);
        let (language, language_probability) = self.language(request, &text);
        let whole = |found: &Hypothesis, text: String| {
            let (start, end) = (0.0, seconds);
            let segments =
                if text.is_empty() { vec![] } else { vec![Segment::new(start, end, text)] };
            let (tokens, average_log_probability) = (found.tokens.len(), found.average());
            Text { segments, tokens, average_log_probability, temperature: 0.0 }
        };
        let translation = match &request.translate {
            Some(_) if text.is_empty() => Some(Text::default()),
            Some(to) => {
                let found = self.translation(&audio, seconds, to)?;
                Some(whole(&found, self.text(&found)))
            }
            None => None,
        };
        let no_speech = if text.is_empty() { 1.0 } else { 0.0 };
        let text = whole(&found, text);
        Ok(Transcript {
            language,
            language_probability,
            no_speech,
            text,
            translation,
            resume: None,
        })
    }
}

impl LiveEngine for InstructedEngine {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        let audio = self.listen(samples)?;
        let transcript = self.ask(&audio, TRANSCRIBE)?;
        self.heard = Some(Heard { audio, seconds: seconds_of(samples), transcript, last: None });
        Ok(())
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        self.check(request)?;
        let Heard { seconds, transcript, last, .. } = self.heard.as_ref().ok_or_else(nothing)?;
        // Asked again for another language, it would say the same.
        let wish = (draft.tokens.to_vec(), draft.forced, request.beam);
        let found = match last {
            Some(last) if last.wish == wish => last.found.clone(),
            _ => self.answer(transcript, *seconds, request.beam, draft)?,
        };
        if let Some(heard) = &mut self.heard {
            heard.last = Some(Last { wish, found: found.clone() });
        }
        let text = self.text(&found);
        let (language, language_probability) = self.language(request, &text);
        Ok(Written {
            language,
            language_probability,
            average_log_probability: found.average(),
            doubtful: found.looped || !found.ended || found.average() < LEAST_AVERAGE,
            silent: text.is_empty(),
            // What must stay stays, whatever comes behind it.
            tokens: if text.is_empty() && draft.forced == 0 { Vec::new() } else { found.tokens },
        })
    }

    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError> {
        self.known(target)?;
        if written.language.is_empty() {
            return Ok(String::new());
        }
        let Heard { audio, seconds, .. } = self.heard.as_ref().ok_or_else(nothing)?;
        Ok(self.text(&self.translation(audio, *seconds, target)?))
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        Ok(self.tokenizer.decode(tokens))
    }
}

fn nothing() -> ModelError {
    ModelError::Unsupported("nothing was heard yet".to_owned())
}

fn seconds_of(samples: &[f32]) -> f64 {
    samples.len() as f64 / f64::from(SAMPLE_RATE)
}

/// A text, trimmed; nothing where it is the remark that there is none to be heard.
fn spoken(text: &str) -> &str {
    let text = text.trim();
    let remark = text.strip_prefix("((").and_then(|rest| rest.strip_suffix("))"));
    if remark.is_some_and(|remark| !remark.contains("))")) { "" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_on_noise_is_no_text() {
        assert_eq!(spoken(" ((noise))\n"), "");
        assert_eq!(spoken(" (aside) yes "), "(aside) yes");
        assert_eq!(spoken("((laughter)) Yes. ((applause))"), "((laughter)) Yes. ((applause))");
    }
}

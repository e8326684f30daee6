//! Whisper as an [`Engine`].

use super::config::WhisperConfig;
use super::decoder::{Decoder, DecoderState};
use super::encoder::Encoder;
use super::follow::Heard;
use super::guards::{compression_ratio, stutters};
use super::language::{SURE, choose};
use super::rules::Rules;
use super::tokens::{TIMESTAMP_STEP, WhisperTokens};
use crate::engine::{Capabilities, Engine, Request, Segment, Text, Transcript};
use crate::error::ModelError;
use crate::files::{Array, FileError, WeightFile};
use crate::nn::{FileSource, Precision};
use crate::search::{Hypothesis, Search, Started, TextModel, most_tokens};
use candle_core::{Device, Tensor};
use partita_audio::SAMPLE_RATE;
use partita_audio::mel::{Frames, LogMel};
use std::path::Path;

/// How much audio the encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The audio and a few seconds of silence behind it: a short clip costs a fraction of a window.
    Natural,
    /// Always 30 s, as in the model's training.
    Full,
}

/// Mel frames (10 ms) of silence behind the audio in [`Padding::Natural`], and the fewest frames
/// in all. The model has learned that speech ends before its window does: without silence behind
/// it, it writes the same sentence again and again (word error rate on 30 short Italian clips: 55 %
/// with 0.5 s, 21 % with 1.5 s, 11 % with these two and with a full window alike).
const TRAILING_FRAMES: usize = 300;
const FEWEST_FRAMES: usize = 800;

/// Temperatures that are tried until a text looks right (Whisper's own).
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
/// Text that compresses better than this repeats itself.
const MOST_COMPRESSION: f32 = 2.4;
/// Text less likely than this a token is doubted.
const LEAST_AVERAGE: f32 = -1.0;
/// Doubted text is nothing at all if silence is likelier than this.
const LIKELY_SILENCE: f32 = 0.6;
/// Where silence is this likely, text must be likelier than this: of digital silence the model is
/// 0.92 sure and of white noise 0.81, and still it writes a word at -0.83 and thanks at -0.98.
const SURE_SILENCE: f32 = 0.8;
const LEAST_AVERAGE_IN_SILENCE: f32 = -0.6;

/// Whisper, loaded for inference.
pub struct Whisper {
    config: WhisperConfig,
    pub(super) tokens: WhisperTokens,
    encoder: Encoder,
    pub(super) decoder: Decoder,
    mel: LogMel,
    pub(super) suppress: [Vec<u32>; 2],
    capabilities: Capabilities,
    pub(super) padding: Padding,
    pub(super) device: Device,
    /// What [`crate::engine::LiveEngine::hear`] heard last.
    pub(super) heard: Option<Heard>,
}

/// What a file says of its model.
fn described(
    file: &WeightFile,
) -> Result<(WhisperConfig, WhisperTokens, Capabilities), ModelError> {
    let config = WhisperConfig::from_file(file)?;
    let json = file.metadata_str("tokenizer.huggingface.json")?;
    let size = (config.vocabulary, config.multilingual);
    let tokens = WhisperTokens::parse(json, size, file.path())?;
    let languages: Vec<_> = tokens.languages.iter().map(|(code, _)| code.clone()).collect();
    let translates = languages.len() > 1;
    let capabilities = Capabilities {
        engine: "whisper",
        languages,
        translation_targets: if translates { vec!["en".to_owned()] } else { Vec::new() },
        timestamps: true,
        longest_window: config.audio_positions as f64 * TIMESTAMP_STEP,
    };
    Ok((config, tokens, capabilities))
}

impl Whisper {
    /// What the model of a file that [`super::import`] wrote can do, without loading it.
    ///
    /// # Errors
    /// When the file is not of that kind.
    pub fn capabilities_of(path: &Path) -> Result<Capabilities, ModelError> {
        Ok(described(&WeightFile::open(path)?)?.2)
    }

    /// Loads a file that [`super::import`] wrote.
    ///
    /// Matrices are held in the types that this processor is fast with
    /// ([`Precision::Prefill`] for the encoder, [`Precision::Decoding`] for the decoder).
    ///
    /// # Errors
    /// When the file is not of that kind, or incomplete, or the device has no room.
    pub fn load(path: &Path, device: &Device, padding: Padding) -> Result<Self, ModelError> {
        let file = WeightFile::open(path)?;
        let (config, tokens, capabilities) = described(&file)?;
        let list = |key: &str| match file.metadata().get(key).and_then(|value| value.as_array()) {
            Some(Array::I32(ids)) => {
                Ok(ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect::<Vec<_>>())
            }
            _ => {
                let (path, key) = (path.to_owned(), key.to_owned());
                let reason = "missing, or not a list of tokens".to_owned();
                Err(FileError::Metadata { path, key, reason })
            }
        };
        let suppress = [list("whisper.suppress")?, list("whisper.suppress_first")?];
        let source = FileSource::new(&file, device, Precision::Prefill);
        Ok(Self {
            encoder: Encoder::load(&source, &config)?,
            decoder: Decoder::load(&source.with(Precision::Decoding), &config)?,
            mel: LogMel::new(config.mel_bins)?,
            tokens,
            suppress,
            capabilities,
            padding,
            device: device.clone(),
            heard: None,
            config,
        })
    }

    /// The model's dimensions.
    pub fn config(&self) -> &WhisperConfig {
        &self.config
    }

    /// The encoder's output `[1, frames, width]` at 50 Hz for 16 kHz mono audio.
    ///
    /// # Errors
    /// When the audio is longer than the model's window, or the network fails.
    pub fn encode(&self, samples: &[f32]) -> Result<Tensor, ModelError> {
        self.encode_as(samples, self.padding)
    }

    pub(super) fn encode_as(
        &self,
        samples: &[f32],
        padding: Padding,
    ) -> Result<Tensor, ModelError> {
        let longest = 2 * self.config.audio_positions;
        let natural = samples.len().div_ceil(partita_audio::mel::HOP);
        if natural > longest {
            let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
            let most = self.capabilities.longest_window;
            let reason = format!("{seconds:.1} s of audio at once; Whisper takes {most:.0} s");
            return Err(ModelError::Unsupported(reason));
        }
        let frames = match padding {
            Padding::Natural => {
                longest.min((natural + TRAILING_FRAMES).max(FEWEST_FRAMES).next_multiple_of(2))
            }
            Padding::Full => longest,
        };
        let mel = self.mel.compute(samples, Frames::Padded(frames));
        let mel = Tensor::from_vec(mel.data, (1, mel.bins, mel.frames), &self.device)?;
        Ok(self.encoder.forward(&mel)?)
    }

    /// Whether a text is to be doubted.
    pub(super) fn looks_wrong(&self, found: &Hypothesis) -> Result<bool, ModelError> {
        // A text that only its bound has stopped runs on where speech has ended.
        Ok(found.looped
            || !found.ended
            || found.average() < LEAST_AVERAGE
            || compression_ratio(&self.tokens.text(&found.tokens)?) > MOST_COMPRESSION)
    }

    /// Most tokens of a text in audio of this length.
    pub(super) fn most(&self, seconds: f64) -> usize {
        most_tokens(seconds).min(self.config.text_positions / 2)
    }

    /// Writes the text of one task, at rising temperatures if need be.
    fn write(
        &self,
        heard: &DecoderState,
        task: &Task,
        request: &Request,
    ) -> Result<(Text, Option<f64>, f32), ModelError> {
        let prompt = self.tokens.prompt(task.language, task.translate, request.timestamps);
        let mut state = heard.fork()?;
        let hidden = self.decoder.forward(&prompt, 1, &mut state)?;
        let logits = self.decoder.logits(&hidden, prompt.len() - 1)?.pop().unwrap_or_default();
        let steps = (task.seconds / TIMESTAMP_STEP).ceil() as u32;
        let [always, first] = &self.suppress;
        let rules = Rules::new(&self.tokens, always, first, request.timestamps.then_some(steps));
        let limit = self.most(task.seconds);

        let temperatures = if request.fallback { &TEMPERATURES[..] } else { &TEMPERATURES[..1] };
        let mut written = 0;
        let mut taken: Option<(Hypothesis, f32, (bool, f32))> = None;
        for &temperature in temperatures {
            let search =
                Search { beam: request.beam.max(1), temperature, draws: 5, limit, seed: 17 };
            let model =
                Writing { decoder: &self.decoder, state: state.fork()?, device: &self.device };
            let (logits, end) = (logits.clone(), self.tokens.end);
            let found = search.run(Started { model, logits, rules: &rules, end })?;
            written += found.tokens.len();
            let wrong = self.looks_wrong(&found)?;
            let endless = found.looped || !found.ended;
            let silent = sounds_silent(task.no_speech, found.average());
            // Of texts that all look wrong, one that ends is taken, and the likeliest of those.
            let rank = (!endless, found.average());
            if !wrong || taken.as_ref().is_none_or(|(_, _, other)| *other < rank) {
                taken = Some((found, temperature, rank));
            }
            if !wrong || silent {
                break;
            }
        }
        let (found, temperature, _) = taken.unwrap_or_default();
        let average = found.average();
        let (segments, resume) = self.segments(&found.tokens, task.seconds)?;
        let text =
            Text { segments, tokens: written, average_log_probability: average, temperature };
        Ok((text, resume, average))
    }

    /// Segments of a written text, and where the next window should begin if not at the end.
    fn segments(
        &self,
        written: &[u32],
        seconds: f64,
    ) -> Result<(Vec<Segment>, Option<f64>), ModelError> {
        let zero = self.tokens.first_timestamp();
        let time = |id: u32| (f64::from(id - zero) * TIMESTAMP_STEP).min(seconds);
        let mut segments = Vec::new();
        let mut start = 0.0;
        let mut closed = 0.0;
        let mut open: Vec<u32> = Vec::new();
        let mut add = |tokens: &[u32], start: f64, end: f64| -> Result<(), ModelError> {
            let text = self.tokens.text(tokens)?.trim().to_owned();
            if !text.is_empty() {
                segments.push(Segment::new(start, end.max(start), text));
            }
            Ok(())
        };
        for &id in written {
            if id < zero {
                open.push(id);
            } else if open.is_empty() {
                start = time(id);
            } else {
                closed = time(id);
                add(&open, start, closed)?;
                open.clear();
                start = closed;
            }
        }
        add(&open, start, seconds)?;
        // A pair of times at the end opens a segment that the window did not hold.
        let pair = matches!(written, [.., a, b] if *a >= zero && *b >= zero);
        Ok((segments, (pair && closed > 0.0).then_some(closed)))
    }
}

/// Whether a text is doubted so much, and silence so likely, that nothing was said.
pub(super) fn sounds_silent(no_speech: f32, average: f32) -> bool {
    (no_speech > LIKELY_SILENCE && average < LEAST_AVERAGE)
        || (no_speech > SURE_SILENCE && average < LEAST_AVERAGE_IN_SILENCE)
}

/// A decoder that writes the text of one window.
pub(super) struct Writing<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) state: DecoderState,
    pub(super) device: &'a Device,
}

impl TextModel for Writing<'_> {
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        let hidden = self.decoder.forward(tokens, tokens.len(), &mut self.state)?;
        Ok(self.decoder.logits(&hidden, 0)?)
    }

    fn read(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        let hidden = self.decoder.forward(tokens, 1, &mut self.state)?;
        Ok(self.decoder.logits(&hidden.transpose(0, 1)?, 0)?)
    }

    fn forget(&mut self, tokens: usize) {
        self.state.truncate(self.state.len().saturating_sub(tokens));
    }

    fn select(&mut self, rows: &[u32]) -> Result<(), ModelError> {
        Ok(self.state.select(rows, self.device)?)
    }
}

/// What is written in one go.
struct Task {
    language: u32,
    translate: bool,
    seconds: f64,
    no_speech: f32,
}

impl Engine for Whisper {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError> {
        if let Some(target) = &request.translate
            && !self.capabilities.translation_targets.contains(target)
        {
            let known = self.capabilities.translation_targets.join(", ");
            let known = if known.is_empty() { "no language" } else { &known };
            let reason = format!("this Whisper model translates into {known}, not `{target}`");
            return Err(ModelError::Unsupported(reason));
        }
        let given = match &request.language {
            Some(code) => Some(self.tokens.language(code).ok_or_else(|| {
                ModelError::Unsupported(format!("this Whisper model does not know `{code}`"))
            })?),
            None => None,
        };
        let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
        let mut heard = self.decoder.start(&self.encode(samples)?)?;
        let (mut languages, mut no_speech) = self.listen(&heard)?;
        let unsure = |languages: &_| given.is_none() && choose(languages, request).1 < SURE;
        if unsure(&languages) && self.padding == Padding::Natural {
            heard = self.decoder.start(&self.encode_as(samples, Padding::Full)?)?;
            let (again, silence) = self.listen(&heard)?;
            (languages, no_speech) = (again, silence.max(no_speech));
        }
        let (code, probability) = match &request.language {
            Some(code) => (code.clone(), 1.0),
            None if unsure(&languages) => {
                self.choose_by_text(&heard, &languages, request, self.most(seconds))?
            }
            None => choose(&languages, request),
        };
        let language = given.or_else(|| self.tokens.language(&code)).unwrap_or(self.tokens.start);

        let mut task = Task { language, translate: false, seconds, no_speech };
        let (mut text, mut resume, average) = self.write(&heard, &task, request)?;
        let stutter = text.segments.iter().all(|segment| stutters(&segment.text));
        let silent = sounds_silent(no_speech, average) || stutter;
        if request.silence_guard && silent {
            text.segments.clear();
            resume = None;
        }
        let translation = match &request.translate {
            None => None,
            Some(target) if *target == code || text.segments.is_empty() => Some(text.clone()),
            Some(_) => {
                task.translate = true;
                Some(self.write(&heard, &task, request)?.0)
            }
        };
        Ok(Transcript {
            language: code,
            language_probability: probability,
            no_speech,
            text,
            translation,
            resume,
        })
    }
}

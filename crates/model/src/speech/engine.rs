//! The speech model as an [`Engine`].

use super::follow::Heard;
use super::{Answer, CtcHead, SpeechLlm, SpeechNetwork, State, Task, Wish};
use crate::engine::{Capabilities, Engine, Request, Segment, Text, Transcript};
use crate::error::ModelError;
use crate::tokens::Lang;
use candle_core::{Device, Tensor};
use partita_audio::SAMPLE_RATE;
use partita_audio::mel::{Frames, HOP, LogMel};

/// A speech model with what it was trained for, run by candle unless it says otherwise.
pub struct SpeechEngine<N: SpeechNetwork = SpeechLlm> {
    model: N,
    mel: LogMel,
    capabilities: Capabilities,
    ctc: Option<CtcHead>,
    /// What [`crate::engine::LiveEngine::hear`] heard last.
    pub(super) heard: Option<Heard<State<N>>>,
}

/// Longest audio that the encoder takes, in seconds.
pub(super) const LONGEST: f64 = 30.0;

impl<N: SpeechNetwork> SpeechEngine<N> {
    /// `languages` are those that it was trained to understand, `targets` those to translate into.
    ///
    /// # Errors
    /// When the encoder has other mel bands than can be computed.
    pub fn new(
        model: N,
        mel_bins: usize,
        languages: &[Lang],
        targets: &[Lang],
    ) -> Result<Self, ModelError> {
        let codes = |langs: &[Lang]| langs.iter().map(|lang| lang.code().to_owned()).collect();
        let capabilities = Capabilities {
            engine: "speech-llm",
            languages: codes(languages),
            translation_targets: codes(targets),
            timestamps: false,
            longest_window: LONGEST,
        };
        Ok(Self { model, mel: LogMel::new(mel_bins)?, capabilities, ctc: None, heard: None })
    }

    /// With the CTC head that the model's adapter was trained by: segments get times of their own.
    pub fn with_ctc(mut self, head: CtcHead) -> Self {
        self.capabilities.timestamps = true;
        self.ctc = Some(head);
        self
    }

    /// The CTC head, where there is one.
    pub fn ctc(&self) -> Option<&CtcHead> {
        self.ctc.as_ref()
    }

    /// The model.
    pub fn model(&self) -> &N {
        &self.model
    }

    /// What the language model takes for tokens, `[1, time, width]`, of 16 kHz mono audio.
    ///
    /// # Errors
    /// When the audio is longer than the window, or the network fails.
    pub fn listen(&self, samples: &[f32]) -> Result<Tensor, ModelError> {
        self.model.hear(&log_mel(&self.mel, samples)?)
    }
}

/// Log-mel `[1, bins, frames]` of 16 kHz mono audio, no longer than the audio.
pub(super) fn log_mel(mel: &LogMel, samples: &[f32]) -> Result<Tensor, ModelError> {
    let frames = samples.len().div_ceil(HOP).max(2).next_multiple_of(2);
    let most = (LONGEST * f64::from(SAMPLE_RATE)) as usize / HOP;
    if frames > most {
        let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
        let reason = format!("{seconds:.1} s of audio at once; {LONGEST:.0} s can be heard");
        return Err(ModelError::Unsupported(reason));
    }
    let mel = mel.compute(samples, Frames::Padded(frames));
    Ok(Tensor::from_vec(mel.data, (1, mel.bins, mel.frames), &Device::Cpu)?)
}

impl<N: SpeechNetwork> Engine for SpeechEngine<N> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError> {
        let known = |codes: &[String], code: &String| -> Result<Lang, ModelError> {
            let lang = code.parse()?;
            match codes.contains(code) {
                true => Ok(lang),
                false => Err(ModelError::Unsupported(format!("not trained for `{code}`"))),
            }
        };
        let understood = &self.capabilities.languages;
        let given = request.language.as_ref().map(|code| known(understood, code)).transpose()?;
        let targets = &self.capabilities.translation_targets;
        let target = request.translate.as_ref().map(|code| known(targets, code)).transpose()?;
        let may = if request.among.is_empty() { understood } else { &request.among };
        let all: Vec<Lang> =
            may.iter().map(|code| known(understood, code)).collect::<Result<_, _>>()?;
        let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
        let audio = self.listen(samples)?;
        let begun = self.model.begin(&audio)?;
        let task = target.map_or(Task::Transcribe, Task::Translate);
        let languages = given.as_ref().map_or(&all[..], std::slice::from_ref);
        let (silence, beam) = (request.silence_guard, request.beam);
        let before = request.before.as_ref().and_then(|code| code.parse().ok());
        let wish = Wish { languages, before, silence, beam, ..Wish::new(task, seconds) };
        let answer = self.model.write(&begun, &wish)?;
        let timed = match &self.ctc {
            Some(head) if request.timestamps => {
                head.segments(self.model.vocabulary(), &audio, task, &answer)?
            }
            _ => None,
        };
        let mut text = whole(&answer, &answer.text, seconds, answer.hypothesis.tokens.len());
        if let Some(timed) = timed {
            text.segments = timed;
        }
        let nobody = if answer.language.is_none() { answer.language_probability } else { 0.0 };
        let language = answer.language.or(given);
        Ok(Transcript {
            language: language.map_or_else(String::new, |lang| lang.code().to_owned()),
            language_probability: if given.is_some() { 1.0 } else { answer.language_probability },
            no_speech: nobody,
            translation: answer
                .translation
                .as_ref()
                .map(|translation| whole(&answer, translation, seconds, 0)),
            text,
            resume: None,
        })
    }
}

/// A text over all of the audio.
fn whole(answer: &Answer, text: &str, seconds: f64, tokens: usize) -> Text {
    let text = text.to_owned();
    let segments =
        if text.is_empty() { Vec::new() } else { vec![Segment::new(0.0, seconds, text)] };
    let average_log_probability = answer.hypothesis.average();
    Text { segments, tokens, average_log_probability, temperature: 0.0 }
}

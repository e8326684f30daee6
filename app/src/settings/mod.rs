//! What the user chose: one TOML file, versioned.
//!
//! [`path`] says where it is, [`Settings::load`] makes settings of whatever is in it, and
//! [`SharedSettings`] is what a running program holds: changed in one place, seen everywhere.

mod file;
pub mod limits;
mod migrate;
mod shared;

pub use file::{SettingsError, path};
pub use shared::SharedSettings;

use crate::capture::Source;
use crate::live::LiveOptions;
use crate::runtimes::Backend;
use partita_model::onnx::Provider;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// All settings. A key that is missing in the file has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Version of the file's form.
    pub version: u32,
    /// Where audio comes from.
    pub audio: Audio,
    /// What is spoken and what is wanted.
    pub speech: Speech,
    /// What recognises it.
    pub engine: Engine,
    /// When a phrase begins and ends.
    pub voice: Voice,
    /// How the windows look.
    pub look: Look,
    /// The caption overlay.
    pub overlay: Overlay,
    /// Typing into other programs.
    pub dictation: Dictation,
    /// What is kept on disk.
    pub storage: Storage,
    /// The program itself.
    pub desktop: Desktop,
}

/// Where audio comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Audio {
    /// Sources; more than one are mixed.
    pub sources: Vec<Source>,
}

/// What is spoken and what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Speech {
    /// Languages that may be spoken; none means any, one means that one.
    pub languages: Vec<String>,
    /// Language to translate into; empty for none.
    pub translate: String,
}

/// What recognises speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// `auto`, `whisper` or `speech-llm`.
    pub name: String,
    /// Model of the store, or a folder; empty for the engine's default.
    pub model: String,
    /// Type that weights are stored in; empty for what suits the machine.
    pub quantization: String,
    /// Which runtime runs a trained model: `auto`, `candle` or `onnx`.
    pub backend: String,
    /// Where candle computes: `cpu`, `cuda:N` or `metal`.
    pub device: String,
    /// Where ONNX Runtime computes: `cpu`, `cuda`, `coreml` or `directml`.
    pub provider: String,
    /// Threads; 0 for all cores.
    pub threads: u16,
}

/// When a phrase begins and ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Voice {
    /// Probability from which on a frame is speech.
    pub threshold: f32,
    /// Shorter phrases are not heard, in milliseconds.
    pub minimum_speech_ms: u32,
    /// The pause that ends a phrase, in milliseconds.
    pub pause_ms: u32,
    /// Audio before the onset that is heard with it, in milliseconds.
    pub pre_roll_ms: u32,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// How the windows look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Light or dark.
    pub theme: Theme,
    /// Size of caption text in points.
    pub font_size: f32,
}

/// Which texts are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// What was said.
    Original,
    /// Its translation.
    Translation,
    /// Both.
    #[default]
    Both,
}

/// The caption overlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// Whether it is open.
    pub open: bool,
    /// Which texts it shows.
    pub shown: Shown,
    /// Lines, 1 to 4.
    pub lines: u8,
    /// Size of its text in points.
    pub font_size: f32,
    /// Colour of its text, red, green, blue.
    pub text_color: [u8; 3],
    /// Colour of its ground, red, green, blue.
    pub ground_color: [u8; 3],
    /// Opacity of its ground, 0 to 1.
    pub opacity: f32,
    /// Whether clicks go through it, and it cannot be moved.
    pub locked: bool,
    /// Left, top, width, height in points; where the system puts it when absent.
    pub place: Option<[f32; 4]>,
}

/// How dictation reaches the other program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// By keys, as if typed.
    #[default]
    Type,
    /// By the clipboard, whose content is put back.
    Paste,
}

/// How the key of dictation works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Dictates while it is held.
    PushToTalk,
    /// Begins and ends.
    #[default]
    Toggle,
}

/// When dictation types what was understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Word by word, as soon as a word stays; what is pasted or translated comes in phrases all the
    /// same.
    #[default]
    Words,
    /// A phrase at its end.
    Phrases,
}

/// Typing into other programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dictation {
    /// The key, such as `Ctrl+Alt+D`; empty for none.
    pub hotkey: String,
    /// How the key works.
    pub trigger: Trigger,
    /// How text gets there.
    pub delivery: Delivery,
    /// When text is typed.
    pub pace: Pace,
    /// Language to write, where it is not what is spoken; empty for what is spoken.
    pub translate: String,
    /// Whether spoken commands (`new line`, `comma`) become what they name.
    pub commands: bool,
    /// Words and what is written for them.
    pub vocabulary: Vec<Word>,
    /// What differs for some programs; the first that fits counts.
    pub profiles: Vec<Profile>,
}

/// A word of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Word {
    /// What is written.
    pub write: String,
    /// What is heard instead of it; what sounds alike counts too when `fuzzy`.
    pub heard: Vec<String>,
    /// Whether what differs little from it becomes it.
    pub fuzzy: bool,
}

/// What differs for one program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Part of its window's class, small or capital letters alike.
    pub window_class: String,
    /// Language spoken; empty for that of [`Speech`].
    pub language: String,
    /// Language to write; empty for what is spoken.
    pub translate: String,
    /// How text gets there; as everywhere else when absent.
    pub delivery: Option<Delivery>,
    /// Whether sentences begin with a capital letter; as recognised when absent.
    pub capitals: Option<bool>,
}

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Whether what was said is kept.
    pub history: bool,
    /// Whether the audio is kept too.
    pub audio: bool,
    /// Most audio of a session that is kept, in MiB.
    pub audio_limit_mib: u32,
}

/// The program itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Desktop {
    /// Whether it starts when the user logs in.
    pub start_at_login: bool,
    /// Whether it has an icon among those of the desktop; then closing the window hides it.
    pub tray: bool,
}

/// The newest form of the file.
pub const VERSION: u32 = 1;

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION,
            audio: Audio::default(),
            speech: Speech::default(),
            engine: Engine::default(),
            voice: Voice::default(),
            look: Look::default(),
            overlay: Overlay::default(),
            dictation: Dictation::default(),
            storage: Storage::default(),
            desktop: Desktop::default(),
        }
    }
}

impl Default for Audio {
    fn default() -> Self {
        Self { sources: vec![Source::Default] }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let (name, device) = ("auto".to_owned(), "cpu".to_owned());
        let (model, quantization) = (String::new(), String::new());
        let backend = Backend::default().name().to_owned();
        let provider = Provider::default().name().to_owned();
        Self { name, model, quantization, backend, device, provider, threads: 0 }
    }
}

impl Default for Voice {
    fn default() -> Self {
        let live = LiveOptions::default();
        let ms = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Self {
            threshold: live.threshold,
            minimum_speech_ms: ms(live.minimum_speech),
            pause_ms: ms(live.hang_over),
            pre_roll_ms: ms(live.pre_roll),
        }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self { theme: Theme::default(), font_size: 18.0 }
    }
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            open: false,
            shown: Shown::default(),
            lines: 2,
            font_size: 26.0,
            text_color: [255, 255, 255],
            ground_color: [0, 0, 0],
            opacity: 0.7,
            locked: false,
            place: None,
        }
    }
}

impl Default for Dictation {
    fn default() -> Self {
        Self {
            hotkey: "Ctrl+Alt+D".to_owned(),
            trigger: Trigger::default(),
            delivery: Delivery::default(),
            pace: Pace::default(),
            translate: String::new(),
            commands: false,
            vocabulary: Vec::new(),
            profiles: Vec::new(),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { history: true, audio: false, audio_limit_mib: 512 }
    }
}

impl Settings {
    /// How a session with these settings listens and writes.
    pub fn live(&self) -> LiveOptions {
        let ms = |value: u32| Duration::from_millis(value.into());
        LiveOptions {
            languages: self.speech.languages.clone(),
            translate: Some(self.speech.translate.clone()).filter(|target| !target.is_empty()),
            threshold: self.voice.threshold,
            minimum_speech: ms(self.voice.minimum_speech_ms),
            hang_over: ms(self.voice.pause_ms),
            pre_roll: ms(self.voice.pre_roll_ms),
            ..LiveOptions::default()
        }
    }
}

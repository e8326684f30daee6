//! The window with a session that tells prepared sentences, one in each script: how the pictures of
//! the documents are made, and how fonts are looked at.
//!
//! `scene FOLDER [light|dark] [overlay]`: settings, history and models lie in FOLDER; F5 starts the
//! session; with `overlay`, that is open too.

use crossbeam_channel::{Receiver, bounded};
use partita::gui::backend::{Backend, Ears, Live, SourceLevel};
use partita::gui::worker::Wake;
use partita::history::{Heading, History, Line};
use partita::live::{Event, LiveOptions, Status, Timing};
use partita::settings::{Settings, SharedSettings, Theme};
use partita::store::Store;
use std::path::Path;

/// Language, sentence, and what it means.
const SENTENCES: [(&str, &str, &str); 10] = [
    (
        "de",
        "Für die Suppe brauchen wir Kartoffeln, Zwiebeln und etwas Sahne.",
        "For the soup we need potatoes, onions and a little cream.",
    ),
    (
        "ru",
        "Поезд к побережью сегодня утром опоздал.",
        "The train to the coast was late this morning.",
    ),
    (
        "el",
        "Το τρένο για την ακτή άργησε σήμερα το πρωί.",
        "The train to the coast was late this morning.",
    ),
    (
        "zh",
        "今天早上去海边的火车晚点了，我在站台上看书。",
        "The train was late; I read on the platform.",
    ),
    ("ja", "今朝の海岸行きの電車は遅れました。", "This morning's train to the coast was late."),
    ("ko", "오늘 아침 해안행 기차가 늦었습니다.", "The train to the coast was late this morning."),
    (
        "hi",
        "आज सुबह तट की ट्रेन देर से आई और बारिश हो रही थी।",
        "The train was late and it was raining.",
    ),
    (
        "ar",
        "تأخر القطار المتجه إلى الساحل هذا الصباح (مرة أخرى) لمدة 25 دقيقة.",
        "The train was late again, by 25 minutes.",
    ),
    (
        "he",
        "הרכבת לחוף איחרה הבוקר, והגיעה רק בשעה 9:30.",
        "The train was late and came only at 9:30.",
    ),
    ("th", "เช้านี้รถไฟไปชายฝั่งมาช้า", "The train to the coast was late this morning."),
];

struct Prepared(Receiver<Event>);

impl Live for Prepared {
    fn events(&self) -> &Receiver<Event> {
        &self.0
    }
    fn pause(&self, _paused: bool) {}
    fn change(&self, _options: LiveOptions) {}
    fn level(&self) -> f32 {
        0.08
    }
    fn stop(&self) {}
}

struct Nothing;

impl Ears for Nothing {
    fn sources(&self) -> (Vec<SourceLevel>, Option<String>) {
        let level = |source: &str, name: &str, level| SourceLevel {
            source: source.parse().unwrap_or_default(),
            name: name.to_owned(),
            level: Some(level),
        };
        let sources = vec![
            level("default", "Default microphone (Built-in Audio)", 0.12),
            level("system", "System audio (Monitor of Built-in Audio)", 0.02),
            level("usb", "USB Microphone", 0.0),
        ];
        (sources, None)
    }
}

fn line(number: usize) -> Option<Line> {
    let (lang, text, translation) = SENTENCES.get(number)?;
    let start = number as f64 * 6.0 + 1.0;
    Some(Line {
        utterance: number as u64 + 1,
        start,
        end: start + 4.0,
        lang: (*lang).to_owned(),
        text: (*text).to_owned(),
        translation: Some(("en".to_owned(), (*translation).to_owned())),
    })
}

/// A session that has said everything but the end of its last sentence.
fn session() -> Receiver<Event> {
    let (sender, events) = bounded(1000);
    let say = |event| drop(sender.send(event));
    let microphone = "Built-in Audio".to_owned();
    say(Event::Listening {
        sources: vec![microphone],
        engine: "whisper".to_owned(),
        languages: ["de", "en", "es", "fr", "it"].map(str::to_owned).to_vec(),
        targets: vec!["en".to_owned()],
    });
    for line in (0..SENTENCES.len()).filter_map(line) {
        let utterance = line.utterance;
        say(Event::Started { utterance, start: line.start });
        if utterance == SENTENCES.len() as u64 {
            let half = line.text.char_indices().nth(12).map_or(0, |(place, _)| place);
            let (committed, tail) = line.text.split_at(half);
            say(Event::Partial {
                utterance,
                until: line.end,
                lang: Some(line.lang.clone()),
                committed: committed.to_owned(),
                tail: tail.to_owned(),
            });
            break;
        }
        let timing = Timing { to_final: 0.19, ..Timing::default() };
        let (start, end, lang, text) = (line.start, line.end, line.lang, line.text);
        say(Event::Final { utterance, start, end, lang, text, timing });
        if let Some((lang, text)) = line.translation {
            say(Event::Translation { utterance, lang, text, to_translation: 0.34 });
        }
    }
    let (seconds, memory) = (62.0, 391.0);
    say(Event::Status(Status { seconds, speaking: true, load: 0.42, memory, ..Status::default() }));
    // The session goes on: its end of the channel stays open.
    std::mem::forget(sender);
    events
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let folder = Path::new(arguments.first().map_or("scene", String::as_str)).to_owned();
    std::fs::create_dir_all(&folder)?;
    let history = folder.join("history.sqlite");
    if !history.exists() {
        let mut open = History::open(&history)?;
        for first in [0, 3, 7] {
            let lines: Vec<Line> = (first..first + 3).filter_map(line).collect();
            let Some(begun) = lines.first() else { continue };
            let id = open.begin(&Heading::default(), begun)?;
            for line in &lines {
                open.write_line(id, line)?;
            }
            open.end(id, 30.0)?;
        }
    }
    let mut settings = Settings::default();
    settings.look.theme = if has("dark") { Theme::Dark } else { Theme::Light };
    settings.overlay.open = has("overlay");
    settings.speech.translate = "en".to_owned();
    settings.storage.history = false;
    let backend = Backend {
        desk: None,
        settings: SharedSettings::new(settings, &folder.join("settings.toml")),
        listen: Box::new(
            |_: &Settings, _: Wake| Ok(Box::new(Prepared(session())) as Box<dyn Live>),
        ),
        offers: Box::new(|_| None),
        watch: Box::new(|_| Box::new(Nothing)),
        history,
        recordings: folder.join("recordings"),
        store: Store::at(&folder)?,
        notices: Vec::new(),
    };
    partita::gui::open(backend, None)
}

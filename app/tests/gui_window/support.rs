//! A window over a folder of its own, with sessions that were recorded: what a real session said of
//! the sample clips, event by event.

use crate::painter::Painter;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use eframe::egui::accessibility::is_input;
use eframe::egui::{Event as Pointed, Modifiers, PointerButton, Pos2, Rect, pos2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use egui_kittest::{Harness, LazyRenderer, Node};
use partita::capture::Source;
use partita::gui::backend::{Backend, Ears, Live, SourceLevel};
use partita::gui::fonts::SystemFonts;
use partita::gui::languages::Offer;
use partita::gui::{Window, worker::Wake};
use partita::history::{Heading, History, Line};
use partita::live::{Event, LiveOptions, Status, Timing};
use partita::settings::{Settings, SharedSettings};
use partita::store::Store;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where pages are seen: above the status bar.
const SEEN: Rect = Rect { min: Pos2::ZERO, max: pos2(1080.0, 680.0) };

/// What was asked of sessions.
#[derive(Debug, Default)]
pub struct Asked {
    pub started: Vec<Settings>,
    pub paused: Vec<bool>,
    pub changed: Vec<LiveOptions>,
    pub stopped: usize,
}

/// A session whose events the test says.
struct Recorded {
    events: Receiver<Event>,
    asked: Arc<Mutex<Asked>>,
}

impl Live for Recorded {
    fn events(&self) -> &Receiver<Event> {
        &self.events
    }
    fn pause(&self, paused: bool) {
        self.asked.lock().unwrap().paused.push(paused);
    }
    fn change(&self, options: LiveOptions) {
        self.asked.lock().unwrap().changed.push(options);
    }
    fn level(&self) -> f32 {
        0.1
    }
    fn stop(&self) {
        self.asked.lock().unwrap().stopped += 1;
    }
}

struct TwoMicrophones;

impl Ears for TwoMicrophones {
    fn sources(&self) -> (Vec<SourceLevel>, Option<String>) {
        let source = |source, name: &str, level| SourceLevel { source, name: name.into(), level };
        let sources = vec![
            source(Source::Default, "Default microphone", Some(0.1)),
            source(Source::System, "System audio", Some(0.0)),
            source(Source::Device("usb".into()), "USB microphone", None),
        ];
        (sources, None)
    }
}

/// A window, and what is behind it.
pub struct Desk {
    pub harness: Harness<'static, Window>,
    pub asked: Arc<Mutex<Asked>>,
    pub settings: SharedSettings,
    pub folder: TempDir,
    session: Rc<RefCell<Option<Sender<Event>>>>,
}

impl Desk {
    /// An empty one.
    pub fn new() -> Self {
        Self::with(|_| {}, &[])
    }

    /// One with settings, and sessions in its history.
    pub fn with(change: impl FnOnce(&mut Settings), before: &[Vec<Line>]) -> Self {
        Self::over(tempfile::tempdir().unwrap(), change, before)
    }

    /// One over a folder that is prepared before.
    pub fn with_folder(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        Self::over(folder, |_| {}, &[])
    }

    fn over(folder: TempDir, change: impl FnOnce(&mut Settings), before: &[Vec<Line>]) -> Self {
        let history = folder.path().join("history.sqlite");
        for lines in before {
            let mut history = History::open(&history).unwrap();
            let id = history.begin(&Heading::default(), &lines[0]).unwrap();
            lines.iter().for_each(|line| history.write_line(id, line).unwrap());
            history.end(id, lines.last().unwrap().end).unwrap();
        }
        let path = folder.path().join("settings.toml");
        let (mut chosen, notices) = Settings::load(&path);
        change(&mut chosen);
        let settings = SharedSettings::new(chosen, &path);
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let session: Rc<RefCell<Option<Sender<Event>>>> = Rc::default();
        let (shared, own) = (asked.clone(), session.clone());
        let listen = move |settings: &Settings, _: Wake| {
            let (sender, events) = bounded(10_000);
            *own.borrow_mut() = Some(sender);
            shared.lock().unwrap().started.push(settings.clone());
            Ok(Box::new(Recorded { events, asked: shared.clone() }) as Box<dyn Live>)
        };
        let backend = Backend {
            desk: None,
            settings: settings.clone(),
            listen: Box::new(listen),
            offers: Box::new(|engine| (engine.name == "speech-llm").then(german_and_english)),
            watch: Box::new(|_| Box::new(TwoMicrophones)),
            history,
            recordings: folder.path().join("recordings"),
            store: Store::at(folder.path()).unwrap(),
            notices,
        };
        let harness = Harness::builder()
            .renderer(LazyRenderer::new(Painter::default))
            .with_size([1080.0, 720.0])
            .with_max_steps(12)
            .with_step_dt(0.05)
            // Which characters there are glyphs for depends on the system's fonts.
            .allow_missing_glyphs()
            .build_eframe(|creation| {
                Window::new(&creation.egui_ctx, backend, SystemFonts::none(), never()).unwrap()
            });
        let mut desk = Self { harness, asked, settings, folder, session };
        desk.settle();
        desk
    }

    /// Compares how it looks with a picture.
    #[track_caller]
    pub fn look(&mut self, name: &str) {
        self.settle();
        self.harness.snapshot(name);
    }

    /// Draws a few frames, whatever still moves.
    pub fn settle(&mut self) {
        self.harness.run_steps(4);
        self.harness.check_accessibility();
    }

    /// Presses a widget by its accessible name; what is out of sight is scrolled to before.
    #[track_caller]
    pub fn press(&mut self, name: &str) {
        let place = |desk: &Self| {
            let mut all = desk.harness.query_all_by_label(name);
            // A text of the same name may stand beside it.
            let found = all.find(|node| is_input(node.accesskit_node().role()));
            let node =
                found.unwrap_or_else(|| panic!("{name:?} is not there: {:#?}", desk.names()));
            if !SEEN.contains_rect(node.rect()) {
                node.scroll_to_me();
            }
            node.rect().center()
        };
        let before = place(self);
        self.harness.run_steps(4);
        if place(self) != before {
            self.harness.run_steps(20);
        }
        let pressed = place(self);
        self.harness.hover_at(pressed);
        for down in [true, false] {
            self.harness.event(Pointed::PointerButton {
                pos: pressed,
                button: PointerButton::Primary,
                pressed: down,
                modifiers: Modifiers::NONE,
            });
        }
        self.settle();
    }

    /// Whether there is anything with such a name.
    pub fn shows(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).next().is_some()
    }

    /// Types into the field of an accessible name.
    #[track_caller]
    pub fn write(&mut self, name: &str, text: &str) {
        let field = |desk: &Self, act: &dyn Fn(Node)| {
            let mut all = desk.harness.query_all_by_label(name);
            match all.find(|node| is_input(node.accesskit_node().role())) {
                Some(field) => act(field),
                None => panic!("{name:?} is not there: {:#?}", desk.names()),
            }
        };
        field(self, &|field| field.focus());
        self.settle();
        field(self, &|field| field.type_text(text));
        self.settle();
    }

    /// All names on the screen, to be printed when a test fails.
    pub fn names(&self) -> Vec<String> {
        let nodes = self.harness.root().children_recursive();
        nodes.filter_map(|node| node.accesskit_node().label()).collect()
    }

    /// Fails unless there is something with such a name.
    #[track_caller]
    pub fn expect(&self, part: &str) {
        assert!(self.shows(part), "{part:?} is not on the screen: {:#?}", self.names());
    }

    /// Waits for what a thread does.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) {
        self.wait_within(part, Duration::from_secs(60));
    }

    /// As [`Self::wait_for`], of what computes for longer.
    #[track_caller]
    pub fn wait_within(&mut self, part: &str, limit: Duration) {
        let begun = Instant::now();
        while !self.shows(part) {
            assert!(begun.elapsed() < limit, "{part:?}: {:#?}", self.names());
            std::thread::sleep(Duration::from_millis(10));
            self.settle();
        }
    }

    /// A key with modifiers.
    pub fn key(&mut self, modifiers: Modifiers, key: eframe::egui::Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.settle();
    }

    /// Starts a session and has it listen.
    pub fn listen(&mut self) {
        self.press("Start");
        self.say([listening()]);
    }

    /// Has the session say something.
    pub fn say(&mut self, events: impl IntoIterator<Item = Event>) {
        let session = self.session.borrow().clone().expect("no session was started");
        events.into_iter().for_each(|event| session.send(event).unwrap());
        self.settle();
    }

    /// The session goes away.
    pub fn vanish(&mut self) {
        *self.session.borrow_mut() = None;
        self.settle();
    }
}

/// What models' files say of an engine that has not listened yet.
fn german_and_english() -> Offer {
    let codes = |codes: &[&str]| Some(codes.iter().map(|&code| code.to_owned()).collect());
    Offer { spoken: codes(&["de", "en"]), written: codes(&["de"]) }
}

pub fn listening() -> Event {
    Event::Listening {
        sources: vec!["Test microphone".into()],
        engine: "whisper".into(),
        languages: vec!["de".into(), "en".into()],
        targets: vec!["en".into()],
    }
}

/// An utterance as a session tells it: a beginning, two partial texts, the final one and its
/// translation.
pub fn utterance(number: u64, lang: &str, text: &str, translation: Option<&str>) -> Vec<Event> {
    let start = number as f64 * 5.0;
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    let rest: String = text.chars().skip(text.chars().count() / 2).collect();
    let partial = |committed: &str, tail: &str| Event::Partial {
        utterance: number,
        until: start + 2.0,
        lang: Some(lang.into()),
        committed: committed.into(),
        tail: tail.into(),
    };
    let timing = Timing { first_partial: Some(0.5), to_final: 0.21, ..Timing::default() };
    let mut events = vec![
        Event::Started { utterance: number, start },
        partial("", &half),
        partial(&half, &rest),
        Event::Final {
            utterance: number,
            start,
            end: start + 4.0,
            lang: lang.into(),
            text: text.into(),
            timing,
        },
    ];
    events.extend(translation.map(|text| Event::Translation {
        utterance: number,
        lang: "en".into(),
        text: text.into(),
        to_translation: 0.43,
    }));
    events
}

pub fn status() -> Event {
    Event::Status(Status {
        seconds: 12.0,
        backlog: 3.4,
        lost: 0.5,
        speaking: true,
        load: 0.37,
        memory: 412.0,
    })
}

/// A line of the history.
pub fn line(utterance: u64, lang: &str, text: &str, translation: Option<&str>) -> Line {
    let start = utterance as f64 * 5.0;
    let translation = translation.map(|text| ("en".to_owned(), text.to_owned()));
    Line { utterance, start, end: start + 4.0, lang: lang.into(), text: text.into(), translation }
}

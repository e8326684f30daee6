//! Sessions of the window that end, and begin anew.

use super::*;
use crate::history::History;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A session that never ends by itself.
struct Stubborn(Receiver<Event>, Changes);

type Changes = Arc<Mutex<Vec<LiveOptions>>>;

impl Live for Stubborn {
    fn events(&self) -> &Receiver<Event> {
        &self.0
    }
    fn pause(&self, _: bool) {}
    fn change(&self, options: LiveOptions) {
        self.1.lock().unwrap().push(options);
    }
    fn level(&self) -> f32 {
        0.0
    }
    fn stop(&self) {}
}

fn listener(history: PathBuf) -> (Listener, Receiver<Sender<Event>>, Changes) {
    let (begun, sessions) = bounded(8);
    let changes = Changes::default();
    let shared = changes.clone();
    let listen = move |_: &Settings, _: Wake| {
        let (sender, events) = bounded(64);
        begun.send(sender)?;
        Ok(Box::new(Stubborn(events, shared.clone())) as Box<dyn Live>)
    };
    (Listener::new(Box::new(listen), history, Arc::new(|| {})), sessions, changes)
}

#[test]
fn what_is_on_the_screen_is_kept_when_the_program_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.sqlite");
    let (mut listener, sessions, _) = listener(file.clone());
    listener.start(&Settings::default());
    let say = sessions.recv().unwrap();
    say.send(Event::Started { utterance: 1, start: 0.0 }).unwrap();
    let (committed, tail) = ("It goes on".to_owned(), " and on".to_owned());
    let lang = Some("en".to_owned());
    say.send(Event::Partial { utterance: 1, until: 2.0, lang, committed, tail }).unwrap();
    listener.hear();
    let most = Duration::from_millis(100);
    let begun = Instant::now();
    listener.quit(most);
    assert!(begun.elapsed() >= most);
    let history = History::open(&file).unwrap();
    let found = history.sessions("", 10, 0).unwrap();
    assert_eq!(history.lines(found[0].id).unwrap()[0].text, "It goes on and on");
}

#[test]
fn a_start_while_a_session_is_ending_follows_it_unless_it_is_stopped_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut listener, sessions, _) = listener(folder.path().join("history.sqlite"));
    let settings = Settings::default();
    for stops_again in [false, true] {
        listener.start(&settings);
        let say = sessions.recv().unwrap();
        listener.stop();
        listener.start(&settings);
        if stops_again {
            listener.stop();
        }
        say.send(Event::Finished { seconds: 1.0, lost: 0.0 }).unwrap();
        listener.hear();
        assert_eq!(listener.phase == Phase::Starting, !stops_again);
        if let Ok(say) = sessions.try_recv() {
            say.send(Event::Finished { seconds: 1.0, lost: 0.0 }).unwrap();
            listener.hear();
        }
    }
}

#[test]
fn what_counts_for_a_program_outlives_changed_settings_and_a_session_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (mut listener, sessions, changes) = listener(folder.path().join("history.sqlite"));
    let mut settings = Settings::default();
    listener.start(&settings);
    let say = sessions.recv().unwrap();
    let german = LiveOptions { languages: vec!["de".to_owned()], ..settings.live() };
    listener.listen_as(Some(german.clone()));
    settings.speech.translate = "en".to_owned();
    listener.change(&settings);
    settings.engine.name = "speech-llm".to_owned();
    listener.change(&settings);
    say.send(Event::Finished { seconds: 1.0, lost: 0.0 }).unwrap();
    listener.hear();
    assert_eq!(*changes.lock().unwrap(), [german.clone(), german]);
    listener.listen_as(None);
    assert_eq!(changes.lock().unwrap().last(), Some(&settings.live()));
}

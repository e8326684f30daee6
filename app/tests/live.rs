//! Sessions: threads, order and times of events. The engine writes a word for every half second of
//! what it hears, so that texts and times can be told apart; texts of real engines are tested in
//! the end-to-end tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod live_support;

use live_support::{Metronome, Step, check_append_only, events, finals, setup};
use partita::capture::{Heard, Recorder};
use partita::live::{Captions, Event, LiveOptions, Session, channel};
use partita_audio::SAMPLE_RATE;
use partita_audio::vad::EnergyGate;
use std::time::{Duration, Instant};

const TWO: [Step; 5] = [
    Step::Silence(1.0),
    Step::Sound(4.0),
    Step::Silence(2.0),
    Step::Sound(2.0),
    Step::Silence(2.0),
];

#[test]
fn utterances_come_in_order_and_text_is_only_added_to() {
    let options = LiveOptions { translate: Some("de".to_owned()), ..LiveOptions::default() };
    let events = events(setup(&TWO, Metronome::new(|_| false, Duration::ZERO), options));
    let found = finals(&events);
    assert_eq!(found.len(), 2, "{events:#?}");
    for ((number, start, end, _), (at, length)) in found.iter().zip([(1.0, 4.0), (7.0, 2.0)]) {
        assert!((start - (at - 0.3)).abs() < 0.1, "utterance {number} begins at {start}");
        assert!((end - (at + length)).abs() < 0.5, "utterance {number} ends at {end}");
    }
    assert!(found[0].3.starts_with("w0 w1 w2 w3 w4 w5 w6"), "{found:?}");
    assert!(check_append_only(&events) >= 2, "{events:#?}");
    let translated: Vec<&Event> =
        events.iter().filter(|event| matches!(event, Event::Translation { .. })).collect();
    assert_eq!(translated.len(), 2);
    assert!(matches!(&events[0], Event::Listening { sources, engine, languages, targets }
        if sources == &["script"] && engine == "metronome"
            && languages == &["en", "de"] && targets == &["de"]));

    // What a window makes of it.
    let mut captions = Captions::new(10);
    assert!(events.iter().filter(|event| captions.take(event)).count() > 4);
    let lines = captions.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.complete && line.tail.is_empty() && line.lang == "en"));
    assert_eq!(lines[0].committed, found[0].3);
    assert!(lines[0].translation.as_ref().is_some_and(|(lang, _)| lang == "de"));
}

#[test]
fn speech_that_an_engine_stops_at_is_an_utterance_of_its_own() {
    for partials in [true, false] {
        let options = LiveOptions { partials, ..LiveOptions::default() };
        an_engine_stops(options);
    }
}

fn an_engine_stops(options: LiveOptions) {
    let shown = options.partials;
    let steps = [Step::Silence(1.0), Step::Sound(9.0), Step::Silence(2.0)];
    let engine = Metronome { most: 4, ..Metronome::new(|_| false, Duration::ZERO) };
    let events = events(setup(&steps, engine, options));
    check_append_only(&events);
    assert_eq!(events.iter().any(|event| matches!(event, Event::Partial { .. })), shown);
    let found = finals(&events);
    assert!(found.len() >= 2, "{events:#?}");
    assert!(found.iter().all(|(_, _, _, text)| text == "w0 w1 w2 w3"), "{found:?}");
    // Cut near where the words end, and nothing of the speech is left out.
    let (_, start, end, _) = found[0];
    let near = if shown { 1.0..4.0 } else { 1.0..5.0 };
    assert!(near.contains(&(end - start)), "{found:?}");
    assert!(found.windows(2).all(|pair| (pair[1].1 - pair[0].2).abs() < 0.01), "{found:?}");
    assert!(found.last().unwrap().2 > 9.5, "{found:?}");
}

#[test]
fn a_language_is_not_settled_on_at_the_first_sound_of_it() {
    let engine = Metronome { mistaken: 1.8, ..Metronome::new(|_| false, Duration::ZERO) };
    let events = events(setup(&TWO, engine, LiveOptions::default()));
    let heard = |wanted: &str| {
        events
            .iter()
            .any(|event| matches!(event, Event::Partial { lang: Some(lang), .. } if lang == wanted))
    };
    assert!(heard("de") && heard("en"), "{events:#?}");
    let languages = events.iter().filter_map(|event| match event {
        Event::Final { lang, .. } => Some(lang.as_str()),
        _ => None,
    });
    assert_eq!(languages.collect::<Vec<_>>(), ["en", "en"], "{events:#?}");
}

#[test]
fn one_failure_costs_one_utterance_and_many_end_the_session() {
    let options = || LiveOptions { partials: false, ..LiveOptions::default() };
    let first = Metronome::new(|call| call == 1, Duration::ZERO);
    let some = events(setup(&TWO, first, options()));
    // The first attempt in advance fails; the text is written when the utterance has ended.
    assert_eq!(finals(&some).len(), 2, "{some:#?}");
    assert!(some.iter().any(|event| matches!(event, Event::Warning { .. })));

    let always = Metronome::new(|_| true, Duration::ZERO);
    let none = events(setup(&TWO, always, options()));
    assert!(finals(&none).is_empty());
    assert!(matches!(none.last(), Some(Event::Failed { message }) if message.contains("fails")));
}

#[test]
fn committed_text_is_kept_when_the_engine_fails() {
    let engine = Metronome::new(|call| call > 8, Duration::ZERO);
    let steps = [Step::Sound(8.0), Step::Silence(2.0)];
    let events = events(setup(&steps, engine, LiveOptions::default()));
    assert!(check_append_only(&events) >= 1, "{events:#?}");
    let committed = events.iter().rev().find_map(|event| match event {
        Event::Partial { committed, .. } => Some(committed.clone()),
        _ => None,
    });
    let found = finals(&events);
    assert_eq!(found.len(), 1, "{events:#?}");
    assert_eq!(Some(&found[0].3), committed.as_ref());
    assert!(matches!(events.last(), Some(Event::Failed { .. })));
}

#[test]
fn a_source_that_breaks_ends_the_session_and_keeps_what_was_said() {
    for (broken, why) in [(Step::Break, "it broke"), (Step::Panic, "a fault of the program")] {
        let steps = [Step::Sound(6.0), broken];
        let engine = Metronome::new(|_| false, Duration::ZERO);
        let events = events(setup(&steps, engine, LiveOptions::default()));
        let told = events.iter().find_map(|event| match event {
            Event::Failed { message } => Some(message.as_str()),
            _ => None,
        });
        assert!(told.is_some_and(|told| told.contains(why)), "{events:#?}");
        assert_eq!(finals(&events).len(), 1, "{events:#?}");
    }
}

#[test]
fn a_language_that_cannot_be_had_is_told_once_and_the_text_goes_on() {
    let (tell, told) = channel();
    let engine = Metronome::new(|_| false, Duration::ZERO);
    let steps = [TWO, TWO, TWO].concat();
    let session = Session::start(setup(&steps, engine, LiveOptions::default()), tell).unwrap();
    let mut all = Vec::new();
    for event in told.iter() {
        if matches!(event, Event::Listening { .. }) {
            let languages = vec!["en".to_owned(), "it".to_owned()];
            let translate = Some("xx".to_owned());
            session.change(LiveOptions { languages, translate, ..LiveOptions::default() });
        }
        let over = matches!(event, Event::Finished { .. } | Event::Failed { .. });
        all.push(event);
        if over {
            break;
        }
    }
    assert!(matches!(all.last(), Some(Event::Finished { .. })), "{all:#?}");
    assert_eq!(finals(&all).len(), 6, "{all:#?}");
    let warnings = all.iter().filter(|event| matches!(event, Event::Warning { .. })).count();
    assert_eq!(warnings, 1, "{all:#?}");
}

#[test]
fn audio_that_cannot_be_kept_ends_no_session() {
    let engine = Metronome::new(|_| false, Duration::ZERO);
    let mut setup = setup(&TWO, engine, LiveOptions::default());
    setup.record = Some(Box::new(|| anyhow::bail!("no disk")));
    let events = events(setup);
    let warned =
        |event: &Event| matches!(event, Event::Warning { message } if message.contains("no disk"));
    assert!(events.iter().any(warned) && finals(&events).len() == 2, "{events:#?}");
}

#[test]
fn a_detector_that_takes_the_place_of_a_better_one_is_told() {
    let mut setup = setup(&TWO, Metronome::new(|_| false, Duration::ZERO), LiveOptions::default());
    setup.detector = Box::new(|| Ok((Box::new(EnergyGate::new()), Some("no network".to_owned()))));
    let events = events(setup);
    let told = Event::Warning { message: "no network".to_owned() };
    assert!(events.contains(&told) && finals(&events).len() == 2, "{events:#?}");
}

#[test]
fn what_cannot_be_opened_is_told() {
    for broken in ["capture", "engine", "detector"] {
        let mut setup =
            setup(&TWO, Metronome::new(|_| false, Duration::ZERO), LiveOptions::default());
        match broken {
            "capture" => setup.capture = Box::new(|| anyhow::bail!("no capture")),
            "engine" => setup.engine = Box::new(|| anyhow::bail!("no engine")),
            _ => setup.detector = Box::new(|| anyhow::bail!("no detector")),
        }
        let events = events(setup);
        let told: Vec<&Event> =
            events.iter().filter(|event| matches!(event, Event::Failed { .. })).collect();
        assert!(
            matches!(told.as_slice(), [Event::Failed { message }] if message.contains(broken)),
            "{events:#?}"
        );
    }
}

#[test]
fn sources_that_go_and_come_back_are_told() {
    let (source, reason) = ("mic".to_owned(), "unplugged".to_owned());
    let steps = [
        Step::Sound(1.0),
        Step::Say(Heard::Gone { source: source.clone(), reason }),
        Step::Silence(3.0),
        Step::Say(Heard::Back { source }),
        Step::Sound(1.0),
        Step::Silence(1.0),
    ];
    let events =
        events(setup(&steps, Metronome::new(|_| false, Duration::ZERO), LiveOptions::default()));
    let found = finals(&events);
    assert_eq!(found.len(), 2, "{events:#?}");
    assert!((found[1].1 - 3.7).abs() < 0.1, "time passes while a source is away: {found:?}");
    let place = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let lost = place(|event| matches!(event, Event::SourceLost { .. }));
    let back = place(|event| matches!(event, Event::SourceBack { .. }));
    assert!(lost < back);
    assert!(matches!(events.last(), Some(Event::Finished { seconds, .. }) if *seconds == 6.0));
}

#[test]
fn what_is_said_during_a_pause_is_not_heard() {
    let (tell, told) = channel();
    let engine = Metronome::new(|_| false, Duration::ZERO);
    let steps = [Step::Sound(400.0), Step::Silence(2.0)];
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.wav");
    let mut setup = setup(&steps, engine, LiveOptions::default());
    let file = kept.clone();
    setup.record = Some(Box::new(move || Ok(Recorder::create(&file, 100)?)));
    let session = Session::start(setup, tell).unwrap();
    let mut all = Vec::new();
    let mut pauses = 0;
    for event in told.iter() {
        // Paused in the first utterance, and for good.
        if matches!(event, Event::Partial { .. }) && pauses == 0 {
            session.pause(true);
            assert!(session.is_paused());
            pauses += 1;
        }
        let over = matches!(event, Event::Finished { .. });
        all.push(event);
        if over {
            break;
        }
    }
    assert_eq!(finals(&all).len(), 1, "the open utterance ends, and no other begins");
    assert!(matches!(all.last(), Some(Event::Finished { seconds, .. }) if *seconds == 402.0));
    session.finish(Duration::from_secs(10));
    let kept = partita_audio::read_all(&kept).unwrap();
    assert_eq!(kept.len(), 402 * SAMPLE_RATE as usize, "times stay right");
    let (before, paused) = kept.split_at(kept.len() / 2);
    assert!(before.iter().any(|&sample| sample != 0.0));
    assert!(paused.iter().all(|&sample| sample == 0.0), "nor is it kept");
}

#[test]
fn a_session_ends_within_a_second_and_keeps_what_was_shown() {
    let (tell, told) = channel();
    let engine = Metronome::new(|_| false, Duration::from_millis(100));
    let steps = [Step::Sound(6.0), Step::Hold];
    // Nothing ends the utterance but the end of the session.
    let options = LiveOptions { hang_over: Duration::from_secs(60), ..LiveOptions::default() };
    let session = Session::start(setup(&steps, engine, options), tell).unwrap();
    let shown = told
        .iter()
        .find_map(|event| match event {
            Event::Partial { committed, tail, .. } => Some(format!("{committed}{tail}")),
            _ => None,
        })
        .unwrap();
    let begun = Instant::now();
    session.finish(Duration::ZERO);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let rest: Vec<Event> = told.try_iter().collect();
    let found = finals(&rest);
    assert_eq!(found.len(), 1, "{rest:#?}");
    assert!(found[0].3.starts_with(shown.split_whitespace().next().unwrap()), "{found:?}");
}

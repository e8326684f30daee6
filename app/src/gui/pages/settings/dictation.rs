//! Typing into other programs.

use crate::dictate::import_words;
use crate::gui::icons::Icon;
use crate::gui::keys;
use crate::gui::languages::Offer;
use crate::gui::widgets::{
    choice, field, icon_button, labelled_button, pick, row, section, settled_field, switch, weak,
};
use crate::gui::worker::{Answers, Wake, Worker};
use crate::settings::{Delivery, Dictation, Pace, Profile, Trigger, Word};
use eframe::egui::{Event, Key, Modifiers, TextEdit, Ui, vec2};
use std::sync::Arc;

const TRIGGERS: [(Trigger, &str); 2] =
    [(Trigger::PushToTalk, "While held"), (Trigger::Toggle, "Press to begin and end")];
const DELIVERIES: [(Delivery, &str); 2] = [(Delivery::Type, "Type"), (Delivery::Paste, "Paste")];
const PACES: [(Pace, &str); 2] =
    [(Pace::Words, "Word by word"), (Pace::Phrases, "Phrase by phrase")];
const OF_PROFILES: [(Option<Delivery>, &str); 3] =
    [(None, "As usual"), (Some(Delivery::Type), "Type"), (Some(Delivery::Paste), "Paste")];

/// What is being edited.
#[derive(Debug, Default)]
pub struct Editing {
    /// Whether the next keys become the hotkey.
    listening: bool,
    /// The vocabulary as text, and the words that it stands for.
    vocabulary: Option<(String, Vec<Word>)>,
    /// Asks for a list of words and reads it.
    import: Option<Worker<(), Result<Vec<Word>, String>>>,
    /// What became of the last list.
    imported: String,
}

pub fn show(ui: &mut Ui, editing: &mut Editing, offer: &Offer, dictation: &mut Dictation) {
    section(ui, "Dictation", |ui| {
        row(ui, "Key", "Works in every program; empty for none.", |ui| {
            hotkey(ui, editing, &mut dictation.hotkey);
        });
        row(ui, "The key", "", |ui| choice(ui, &mut dictation.trigger, &TRIGGERS, "The key"));
        row(ui, "Text arrives by", "Pasting puts the clipboard back afterwards.", |ui| {
            choice(ui, &mut dictation.delivery, &DELIVERIES, "Delivery")
        });
        row(
            ui,
            "Written language",
            "What you say is translated into it, and that is typed.",
            |ui| {
                let options = offer.to_write("As spoken", &dictation.translate);
                pick(ui, "Written language", &mut dictation.translate, &options)
            },
        );
        row(ui, "Text arrives", "What is pasted or translated comes in phrases.", |ui| {
            choice(ui, &mut dictation.pace, &PACES, "Pace")
        });
        row(
            ui,
            "Spoken commands",
            "“Comma”, “new line” and others become what they name.",
            |ui| switch(ui, &mut dictation.commands, "Spoken commands"),
        );
    });
    section(ui, "Own words", |ui| vocabulary(ui, editing, &mut dictation.vocabulary));
    section(ui, "Programs", |ui| profiles(ui, offer, &mut dictation.profiles));
}

fn hotkey(ui: &mut Ui, editing: &mut Editing, hotkey: &mut String) {
    if editing.listening {
        // They do nothing else meanwhile.
        keys::leave_to_page(ui.ctx());
        let heard = ui.input(|input| {
            input.events.iter().find_map(|event| match event {
                Event::Key { key, pressed: true, modifiers, .. } => Some((*key, *modifiers)),
                _ => None,
            })
        });
        if let Some((key, modifiers)) = heard {
            editing.listening = false;
            if key != Key::Escape {
                *hotkey = named(key, modifiers);
            }
        }
    }
    let name = if editing.listening { "Press the keys" } else { "Record keys" };
    if labelled_button(ui, Icon::Sliders, name).clicked() {
        editing.listening = !editing.listening;
    }
    settled_field(ui, hotkey, ("Key", "none"), 140.0);
}

/// A key with its modifiers as settings have it: `Ctrl+Alt+D`.
fn named(key: Key, modifiers: Modifiers) -> String {
    let parts = [
        (modifiers.ctrl, "Ctrl"),
        (modifiers.alt, "Alt"),
        (modifiers.shift, "Shift"),
        (modifiers.mac_cmd, "Super"),
    ];
    let mut names: Vec<&str> = parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    names.push(key.name());
    names.join("+")
}

fn vocabulary(ui: &mut Ui, editing: &mut Editing, words: &mut Vec<Word>) {
    weak(
        ui,
        "One word a line. Behind = what is heard instead of it; ~ at the end: what sounds alike \
         counts too.",
    );
    let (text, known) = editing.vocabulary.get_or_insert_with(|| (written(words), words.clone()));
    if known != words {
        (*text, *known) = (written(words), words.clone());
    }
    let hint = "Kubernetes = cooper netties, cuban eighties ~";
    let edit = TextEdit::multiline(text).hint_text(hint).desired_rows(4);
    let response = field(ui, edit.desired_width(f32::INFINITY), "Own words");
    if response.changed() {
        *words = read(text);
        known.clone_from(words);
    }
    import(ui, editing, words);
}

/// A list from a file: one word a line, what is heard instead of it behind commas or tabs.
fn import(ui: &mut Ui, editing: &mut Editing, words: &mut Vec<Word>) {
    let heard = editing.import.as_mut().and_then(|worker| worker.heard().last());
    match heard {
        Some(Ok(list)) => {
            let new: Vec<_> = list.into_iter().filter(|word| !words.contains(word)).collect();
            editing.imported = format!("{} words were added.", new.len());
            words.extend(new);
        }
        Some(Err(message)) => editing.imported = message,
        None => {}
    }
    ui.horizontal(|ui| {
        if labelled_button(ui, Icon::Plus, "Import a list").clicked() {
            let context = ui.ctx().clone();
            let wake: Wake = Arc::new(move || context.request_repaint());
            if editing.import.is_none() {
                let answer = |(), out: &Answers<_>| {
                    let dialog = rfd::FileDialog::new().set_title("A list of words");
                    if let Some(path) = dialog.pick_file() {
                        out.say(import_words(&path, false).map_err(|error| format!("{error:#}")));
                    }
                };
                editing.import = Worker::start("word-list", wake, answer).ok();
            }
            if let Some(worker) = &editing.import {
                worker.ask(());
            }
        }
        weak(ui, &editing.imported);
    });
}

fn written(words: &[Word]) -> String {
    let line = |word: &Word| {
        let heard = match word.heard.as_slice() {
            [] => String::new(),
            heard => format!(" = {}", heard.join(", ")),
        };
        format!("{}{heard}{}", word.write, if word.fuzzy { " ~" } else { "" })
    };
    words.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn read(text: &str) -> Vec<Word> {
    let word = |line: &str| {
        let line = line.trim();
        let fuzzy = line.ends_with('~');
        let line = line.trim_end_matches('~').trim();
        let (write, heard) = line.split_once('=').unwrap_or((line, ""));
        let heard = heard.split(',').map(|word| word.trim().to_owned());
        let heard = heard.filter(|word| !word.is_empty()).collect();
        Word { write: write.trim().to_owned(), heard, fuzzy }
    };
    text.lines().map(word).filter(|word| !word.write.is_empty()).collect()
}

fn profiles(ui: &mut Ui, offer: &Offer, profiles: &mut Vec<Profile>) {
    weak(ui, "What differs in windows whose class contains a word, such as firefox or xterm.");
    let mut gone = None;
    for (place, profile) in profiles.iter_mut().enumerate() {
        ui.push_id(place, |ui| {
            ui.horizontal_wrapped(|ui| {
                let name = format!("Window class {}", place + 1);
                let edit = TextEdit::singleline(&mut profile.window_class);
                field(ui, edit.hint_text("window class").desired_width(130.0), &name);
                let chosen = std::slice::from_ref(&profile.language);
                let spoken = offer.to_speak("Language as usual", chosen);
                pick(ui, &format!("Language {}", place + 1), &mut profile.language, &spoken);
                let wanted = offer.to_write("As spoken", &profile.translate);
                pick(
                    ui,
                    &format!("Written language {}", place + 1),
                    &mut profile.translate,
                    &wanted,
                );
                let name = format!("Delivery {}", place + 1);
                choice(ui, &mut profile.delivery, &OF_PROFILES, &name);
                if icon_button(ui, Icon::Trash, &format!("Remove program {}", place + 1)).clicked()
                {
                    gone = Some(place);
                }
            });
            ui.add_space(4.0);
            ui.allocate_space(vec2(0.0, 0.0));
        });
    }
    if let Some(place) = gone {
        profiles.remove(place);
    }
    if labelled_button(ui, Icon::Plus, "Add a program").clicked() {
        profiles.push(Profile::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_being_written_and_read() {
        let text =
            "Kubernetes = cooper netties, cuban eighties ~\nPartita\n Größe = groesse\n\n= x";
        let words = read(text);
        assert_eq!(words.len(), 3);
        assert_eq!(words[0].heard, ["cooper netties", "cuban eighties"]);
        assert!(words[0].fuzzy && !words[1].fuzzy);
        assert_eq!(words[2].write, "Größe");
        assert_eq!(read(&written(&words)), words);
    }

    #[test]
    fn keys_have_the_names_that_settings_use() {
        assert_eq!(named(Key::D, Modifiers::CTRL | Modifiers::ALT), "Ctrl+Alt+D");
        assert_eq!(named(Key::F9, Modifiers::NONE), "F9");
    }
}

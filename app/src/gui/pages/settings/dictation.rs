//! Typing into other programs.

use crate::gui::icons::Icon;
use crate::gui::languages;
use crate::gui::widgets::{
    choice, field, icon_button, labelled_button, pick, row, section, switch, weak,
};
use crate::settings::{Delivery, Dictation, Profile, Trigger, Word};
use eframe::egui::{Event, Key, Modifiers, TextEdit, Ui, vec2};

const TRIGGERS: [(Trigger, &str); 2] =
    [(Trigger::PushToTalk, "While held"), (Trigger::Toggle, "Press to begin and end")];
const DELIVERIES: [(Delivery, &str); 2] = [(Delivery::Type, "Type"), (Delivery::Paste, "Paste")];
const OF_PROFILES: [(Option<Delivery>, &str); 3] =
    [(None, "As usual"), (Some(Delivery::Type), "Type"), (Some(Delivery::Paste), "Paste")];

/// What is being edited.
#[derive(Debug, Default)]
pub struct Editing {
    /// Whether the next keys become the hotkey.
    listening: bool,
    /// The vocabulary as text, and the words that it stands for.
    vocabulary: Option<(String, Vec<Word>)>,
}

pub fn show(ui: &mut Ui, editing: &mut Editing, dictation: &mut Dictation) {
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
            "Spoken commands",
            "“Comma”, “new line” and others become what they name.",
            |ui| switch(ui, &mut dictation.commands, "Spoken commands"),
        );
    });
    section(ui, "Own words", |ui| vocabulary(ui, editing, &mut dictation.vocabulary));
    section(ui, "Programs", |ui| profiles(ui, &mut dictation.profiles));
}

fn hotkey(ui: &mut Ui, editing: &mut Editing, hotkey: &mut String) {
    if editing.listening {
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
    field(ui, TextEdit::singleline(hotkey).hint_text("none").desired_width(140.0), "Key");
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

fn profiles(ui: &mut Ui, profiles: &mut Vec<Profile>) {
    weak(ui, "What differs in windows whose class contains a word, such as firefox or xterm.");
    let mut gone = None;
    for (place, profile) in profiles.iter_mut().enumerate() {
        ui.push_id(place, |ui| {
            ui.horizontal_wrapped(|ui| {
                let name = format!("Window class {}", place + 1);
                let edit = TextEdit::singleline(&mut profile.window_class);
                field(ui, edit.hint_text("window class").desired_width(130.0), &name);
                let spoken = languages::options("Language as usual");
                pick(ui, &format!("Language {}", place + 1), &mut profile.language, &spoken);
                let wanted = languages::options("As spoken");
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

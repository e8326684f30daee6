//! Events of a session, one after the other, become text in the window that has the focus.

use super::DictateError;
use super::compose::{Composer, Cursor, Style};
use super::desk::Desk;
use super::profile::Choice;
use super::spoken::Commands;
use super::vocabulary::Vocabulary;
use crate::live::Event;
use crate::settings::{Delivery, Pace, SharedSettings};
use std::collections::{HashMap, VecDeque};

/// Windows in which we know what was typed last.
const WINDOWS: usize = 64;
/// Texts that wait until no key is held.
const WAITING: usize = 256;

/// Types what is said.
pub struct Dictation {
    settings: SharedSettings,
    desk: Box<dyn Desk>,
    vocabulary: Vocabulary,
    /// Of the settings that the vocabulary was made of.
    generation: Option<u64>,
    composer: Composer,
    /// The utterance that it composes.
    utterance: u64,
    /// The last utterance of which nothing more will come.
    complete: u64,
    cursors: HashMap<u64, Cursor>,
    due: VecDeque<Due>,
}

/// A text that is to be typed.
struct Due {
    utterance: u64,
    lang: String,
    text: String,
    complete: bool,
}

impl Dictation {
    /// Types on that desktop; settings count from the next word when they change.
    pub fn new(settings: SharedSettings, desk: Box<dyn Desk>) -> Self {
        Self {
            settings,
            desk,
            vocabulary: Vocabulary::default(),
            generation: None,
            composer: Composer::default(),
            utterance: 0,
            complete: 0,
            cursors: HashMap::new(),
            due: VecDeque::new(),
        }
    }

    /// What counts for the window that has the focus now.
    pub fn choice(&mut self) -> Choice {
        Choice::new(&self.settings.get(), self.desk.window().as_ref())
    }

    /// Whether texts wait until no key is held.
    pub fn is_waiting(&self) -> bool {
        !self.due.is_empty()
    }

    /// Takes an event and types what has become certain by it.
    ///
    /// # Errors
    /// When the desktop refuses; the text of this event may be lost, the next one is tried again.
    pub fn take(&mut self, event: &Event) -> Result<(), DictateError> {
        let due = match event {
            // Another session counts from one again.
            Event::Listening { .. } => {
                (self.utterance, self.complete) = (0, 0);
                return Ok(());
            }
            Event::Partial { utterance, lang, committed, .. } => {
                // Later ones hold all of it, so that this one need not wait.
                let lang = lang.clone().unwrap_or_default();
                let known = !lang.is_empty() || !self.settings.get().dictation.commands;
                if !known || self.is_waiting() || !self.desk.ready() {
                    return Ok(());
                }
                let choice = self.choice();
                let words = choice.pace == Pace::Words && choice.delivery == Delivery::Type;
                if !words || choice.translate.is_some() {
                    return Ok(());
                }
                Due { utterance: *utterance, lang, text: committed.clone(), complete: false }
            }
            Event::Final { utterance, lang, text, .. } => {
                if self.choice().translate.is_some_and(|target| target != *lang) {
                    return Ok(());
                }
                let (lang, text) = (lang.clone(), text.clone());
                Due { utterance: *utterance, lang, text, complete: true }
            }
            Event::Translation { utterance, lang, text, .. } => {
                if self.choice().translate.is_none_or(|target| target != *lang) {
                    return Ok(());
                }
                let (lang, text) = (lang.clone(), text.clone());
                Due { utterance: *utterance, lang, text, complete: true }
            }
            _ => return Ok(()),
        };
        if self.due.len() < WAITING {
            self.due.push_back(due);
        }
        self.type_due()
    }

    /// To be called now and then while nothing happens: types what waited, puts back what was
    /// borrowed.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn tick(&mut self) -> Result<(), DictateError> {
        match self.is_waiting() {
            true => self.type_due(),
            false => {
                self.desk.rest();
                Ok(())
            }
        }
    }

    fn type_due(&mut self) -> Result<(), DictateError> {
        while self.is_waiting() && self.desk.ready() {
            if let Some(due) = self.due.pop_front() {
                self.write(&due)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, due: &Due) -> Result<(), DictateError> {
        if due.utterance <= self.complete {
            return Ok(());
        }
        if due.utterance != self.utterance {
            (self.composer, self.utterance) = (Composer::default(), due.utterance);
        }
        if due.complete {
            self.complete = due.utterance;
        }
        let generation = self.settings.generation();
        let settings = self.settings.get();
        if self.generation != Some(generation) {
            self.vocabulary = Vocabulary::new(&settings.dictation.vocabulary);
            self.generation = Some(generation);
        }
        let window = self.desk.window();
        let choice = Choice::new(&settings, window.as_ref());
        let commands = match settings.dictation.commands {
            true => Commands::built_in().of(&due.lang),
            false => &[],
        };
        let style = Style { commands, vocabulary: &self.vocabulary, capitals: choice.capitals };
        if self.cursors.len() >= WINDOWS {
            self.cursors.clear();
        }
        let cursor = self.cursors.entry(window.map_or(0, |window| window.id)).or_default();
        let text = self.composer.take(&due.text, due.complete, style, cursor);
        if text.is_empty() {
            return Ok(());
        }
        match choice.delivery {
            Delivery::Type => self.desk.type_text(&text),
            Delivery::Paste => self.desk.paste(&text),
        }
    }
}

//! The text of a session as it stands: what windows and overlays show.

use super::Event;

/// One utterance on the screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// Number of the utterance.
    pub utterance: u64,
    /// Seconds since the session began.
    pub start: f64,
    /// Seconds since the session began; how far was heard, while it is being spoken.
    pub end: f64,
    /// Language spoken, empty as long as it is not known.
    pub lang: String,
    /// Text that stays.
    pub committed: String,
    /// Text that may still change; empty once the line is complete.
    pub tail: String,
    /// Language and text of the translation.
    pub translation: Option<(String, String)>,
    /// Whether it is complete, but for a translation.
    pub complete: bool,
}

/// The last lines of a session.
#[derive(Debug, Clone, Default)]
pub struct Captions {
    lines: Vec<Line>,
    most: usize,
}

impl Captions {
    /// Keeps at most `most` lines (at least one): memory does not grow.
    pub fn new(most: usize) -> Self {
        Self { lines: Vec::new(), most: most.max(1) }
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Forgets all lines, but for the one that is being `spoken`.
    pub fn clear(&mut self, spoken: bool) {
        let last = self.lines.pop().filter(|line| spoken && !line.complete);
        self.lines.clear();
        self.lines.extend(last);
    }

    /// Takes an event; whether anything changed on the screen.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Started { utterance, start } => {
                let line =
                    Line { utterance: *utterance, start: *start, end: *start, ..Line::default() };
                self.lines.push(line);
                if self.lines.len() > self.most {
                    self.lines.remove(0);
                }
                false
            }
            Event::Partial { utterance, until, lang, committed, tail } => {
                self.change(*utterance, |line| {
                    line.end = *until;
                    line.lang = lang.clone().unwrap_or_default();
                    line.committed.clone_from(committed);
                    line.tail.clone_from(tail);
                })
            }
            Event::Final { utterance, start, end, lang, text, .. } => {
                self.change(*utterance, |line| {
                    (line.start, line.end) = (*start, *end);
                    line.lang.clone_from(lang);
                    line.committed.clone_from(text);
                    line.tail.clear();
                    line.complete = true;
                })
            }
            Event::Translation { utterance, lang, text, .. } => self
                .change(*utterance, |line| line.translation = Some((lang.clone(), text.clone()))),
            Event::Dropped { utterance } => {
                // The newest of that number: lines of a session before may be shown too.
                let place = self.lines.iter().rposition(|line| line.utterance == *utterance);
                place.map(|place| self.lines.remove(place)).is_some()
            }
            _ => false,
        }
    }

    fn change(&mut self, utterance: u64, change: impl FnOnce(&mut Line)) -> bool {
        match self.lines.iter_mut().rev().find(|line| line.utterance == utterance) {
            Some(line) => {
                change(line);
                true
            }
            None => false,
        }
    }
}

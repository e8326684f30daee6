//! From what was recognised to what is typed.
//!
//! Text only ever grows here as it does there: what [`Composer::take`] returns is typed and never
//! taken back. A word is held until it is known that it is whole and not the beginning of a command;
//! punctuation behind a word until it is known that no command puts its own in that place.

use super::spoken::{Command, Join};
use super::vocabulary::Vocabulary;
use super::words::{
    Token, ends_sentence, folded, is_pause, is_wide, is_wide_punctuation, opens, tokens,
};

/// What is known of the place where text goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The character before the cursor, if it is ours.
    last: Option<char>,
    /// Whether the next word follows without a space.
    glued: bool,
    /// Whether a command ended a sentence.
    capital: bool,
}

/// How text is written.
#[derive(Debug, Clone, Copy)]
pub struct Style<'a> {
    /// Spoken commands of the language; none if they are off.
    pub commands: &'a [Command],
    /// Words of the user's own.
    pub vocabulary: &'a Vocabulary,
    /// Whether sentences begin with a capital letter; as recognised when absent.
    pub capitals: Option<bool>,
}

/// One utterance on its way to another program.
#[derive(Debug, Clone, Default)]
pub struct Composer {
    /// The recognised text that is dealt with: kept to see that it really only grows.
    known: String,
    /// Punctuation behind the last word that is not typed yet.
    pending: String,
    /// Whether any of this utterance was typed.
    begun: bool,
}

/// What stands at a place of the text.
enum Piece<'a> {
    Command(&'a Command),
    /// A word of the vocabulary.
    Own(&'a str),
    /// Not enough is known yet.
    Open,
    Plain,
}

impl Composer {
    /// Takes the text of the utterance so far, `complete` when nothing will follow, and returns what
    /// is to be typed behind all that it returned before. `cursor` is where it goes, and is changed
    /// as if it had been typed.
    pub fn take(
        &mut self,
        text: &str,
        complete: bool,
        style: Style,
        cursor: &mut Cursor,
    ) -> String {
        let rest = text.strip_prefix(self.known.as_str()).unwrap_or_else(|| {
            // It must not happen; then the text counts from where we are.
            tracing::warn!("committed text was taken back");
            let at = (self.known.len()..=text.len()).find(|&at| text.is_char_boundary(at));
            text.get(at.unwrap_or(text.len())..).unwrap_or_default()
        });
        let clean: String = rest.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let found = tokens(&clean);
        let whole = match complete || clean.ends_with(' ') {
            true => found.len(),
            false => found.len().saturating_sub(1),
        };
        let mut sheet = Sheet { cursor, out: String::new() };
        let mut at = 0;
        while at < whole {
            let ahead = found.get(at..).unwrap_or_default();
            let (piece, count) = judge(ahead, whole - at, complete, style);
            let (Some(first), Some(last)) = (ahead.first(), ahead.get(count - 1)) else { break };
            let word = match piece {
                Piece::Open => break,
                Piece::Command(command) => {
                    self.command(command, &mut sheet);
                    at += count;
                    continue;
                }
                Piece::Own("") => String::new(),
                Piece::Own(write) => format!("{}{write}", first.lead),
                Piece::Plain => format!("{}{}", first.lead, first.core),
            };
            let word = Word { text: &word, space: first.space, trail: last.trail };
            let capitals = if let Piece::Plain = piece { Some(style.capitals) } else { None };
            self.word(word, capitals, &mut sheet);
            at += count;
        }
        // A control character became one space, whatever its length: places are counted in
        // characters.
        let done = at.checked_sub(1).and_then(|last| found.get(last)).map_or(0, |token| token.end);
        let done = clean.get(..done).map_or(0, |done| done.chars().count());
        self.known.extend(rest.chars().take(done));
        if complete {
            sheet.put(&std::mem::take(&mut self.pending));
        }
        sheet.out
    }

    /// Writes a word; `capitals` is what to do about its first letter, and absent for words that
    /// are written as they are.
    fn word(&mut self, word: Word, capitals: Option<Option<bool>>, sheet: &mut Sheet) {
        let Some(first) = word.text.chars().next() else { return };
        sheet.put(&std::mem::replace(&mut self.pending, word.trail.to_owned()));
        let capital = sheet.cursor.capital;
        let starts = sheet.cursor.last.is_none_or(ends_sentence);
        if self.wants_space(first, word.space, *sheet.cursor) {
            sheet.put(" ");
        }
        match capitals {
            Some(Some(false)) if starts => sheet.put(&lower(word.text)),
            Some(Some(true)) if starts || capital => sheet.put(&upper(word.text)),
            Some(None) if capital => sheet.put(&upper(word.text)),
            _ => sheet.put(word.text),
        }
        self.begun = true;
        sheet.cursor.glued = false;
        sheet.cursor.capital &= !word.text.contains(char::is_alphanumeric);
    }

    /// Whether a space belongs before a word that begins with that character.
    fn wants_space(&self, first: char, space: bool, cursor: Cursor) -> bool {
        let Some(last) = cursor.last else { return false };
        if cursor.glued || last.is_whitespace() {
            return false;
        }
        // Within an utterance the recogniser knows; between two of them we must.
        let wide = |character| is_wide(character) || is_wide_punctuation(character);
        let apart = !wide(last) && !wide(first) && !opens(last) && !is_pause(first);
        if self.begun { space } else { apart }
    }

    fn command(&mut self, command: &Command, sheet: &mut Sheet) {
        let write = command.write.as_str();
        let is_punctuation = write.trim().chars().all(is_pause) && !write.trim().is_empty();
        // Where the recogniser heard a pause, the command says what belongs there.
        let replaces = match command.join {
            Join::Left => is_punctuation,
            Join::Both => !write.contains(['\n', '\t']),
            Join::None => true,
            Join::Right => false,
        };
        let pending = std::mem::take(&mut self.pending);
        sheet.put(if replaces { pending.trim_end_matches(is_pause) } else { &pending });
        let apart = matches!(command.join, Join::Right | Join::None);
        let first = write.chars().next().unwrap_or(' ');
        if apart && self.wants_space(first, !is_wide_punctuation(first), *sheet.cursor) {
            sheet.put(" ");
        }
        // The recogniser may have ended the last utterance with the very same.
        let doubled =
            !self.begun && is_punctuation && write.trim().chars().next() == sheet.cursor.last;
        if !doubled {
            sheet.put(write);
        }
        self.begun = true;
        sheet.cursor.capital = write.chars().last().is_some_and(ends_sentence);
        sheet.cursor.glued = matches!(command.join, Join::Right | Join::Both);
    }
}

/// A word on its way.
struct Word<'a> {
    text: &'a str,
    /// Whether the recogniser has space before it.
    space: bool,
    /// Punctuation behind it.
    trail: &'a str,
}

/// What is typed this time, and where.
struct Sheet<'a> {
    cursor: &'a mut Cursor,
    out: String,
}

impl Sheet<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        if let Some(last) = text.chars().last() {
            self.cursor.last = Some(last);
        }
    }
}

/// What the first of these tokens is, and how many it takes. The first `whole` of them will not
/// change any more.
fn judge<'a>(
    ahead: &[Token],
    whole: usize,
    complete: bool,
    style: Style<'a>,
) -> (Piece<'a>, usize) {
    let words: Vec<String> = ahead.iter().map(|token| folded(token.core)).collect();
    if words.first().is_none_or(String::is_empty) {
        return (Piece::Plain, 1);
    }
    let mut best = (Piece::Plain, 0);
    let commands = style.commands.iter();
    let commands = commands
        .flat_map(|command| command.phrases().map(move |phrase| (phrase, Piece::Command(command))));
    let own = style.vocabulary.phrases().map(|(phrase, write)| (phrase, Piece::Own(write)));
    for (phrase, piece) in commands.chain(own) {
        match fit(phrase, ahead, &words, whole) {
            Fit::Open if !complete => return (Piece::Open, 1),
            Fit::Whole if phrase.len() > best.1 => best = (piece, phrase.len()),
            _ => {}
        }
    }
    if best.1 > 0 {
        return best;
    }
    let span = style.vocabulary.span();
    if span > 0 {
        if whole < span && !complete {
            return (Piece::Open, 1);
        }
        let joined = ahead.iter().take(whole).take_while(|token| token.trail.is_empty()).count();
        let reach = (joined + 1).min(whole).min(span);
        if let Some((count, write)) = style.vocabulary.alike(words.get(..reach).unwrap_or_default())
        {
            return (Piece::Own(write), count);
        }
    }
    (Piece::Plain, 1)
}

#[derive(PartialEq)]
enum Fit {
    No,
    /// It could, depending on what comes.
    Open,
    Whole,
}

/// Whether a phrase stands at the beginning of these tokens.
fn fit(phrase: &[String], ahead: &[Token], words: &[String], whole: usize) -> Fit {
    for (index, wanted) in phrase.iter().enumerate() {
        let (Some(token), Some(word)) = (ahead.get(index), words.get(index)) else {
            return Fit::Open;
        };
        // A pause within a phrase makes it something else, but for a hyphen.
        let inner = index + 1 < phrase.len();
        let parted = index > 0 && !token.lead.is_empty();
        if index >= whole {
            return if !parted && wanted.starts_with(word.as_str()) { Fit::Open } else { Fit::No };
        }
        if word != wanted || parted || inner && !matches!(token.trail, "" | "-") {
            return Fit::No;
        }
    }
    Fit::Whole
}

/// With its first letter in upper case.
fn upper(word: &str) -> String {
    let Some((at, first)) = word.char_indices().find(|(_, c)| c.is_alphanumeric()) else {
        return word.to_owned();
    };
    let (lead, rest) = word.split_at(at);
    let mut out = lead.to_owned();
    out.extend(first.to_uppercase());
    out.push_str(rest.get(first.len_utf8()..).unwrap_or_default());
    out
}

/// With its first letter in lower case, if only that is a capital one; the English "I" stays.
fn lower(word: &str) -> String {
    let Some((at, first)) = word.char_indices().find(|(_, c)| c.is_alphanumeric()) else {
        return word.to_owned();
    };
    let (lead, rest) = word.split_at(at);
    let rest = rest.get(first.len_utf8()..).unwrap_or_default();
    let is_word = rest.chars().next().is_some_and(char::is_lowercase);
    if !is_word || rest.chars().any(char::is_uppercase) {
        return word.to_owned();
    }
    let mut out = lead.to_owned();
    out.extend(first.to_lowercase());
    out.push_str(rest);
    out
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;

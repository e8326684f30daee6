//! Text as words with the punctuation around them.

/// A word where it stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Whether there is space before it.
    pub space: bool,
    /// Punctuation before the word: an opening quote.
    pub lead: &'a str,
    /// The word, with what is inside it (`don't`, `3.5`); a single character in scripts that are
    /// written without spaces. Empty when punctuation stands alone.
    pub core: &'a str,
    /// Punctuation behind it.
    pub trail: &'a str,
    /// Where it ends in the text, in bytes.
    pub end: usize,
}

/// Cuts a text into words.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let before = rest.len();
        rest = rest.trim_start();
        let space = rest.len() < before;
        let chunk = rest.split_whitespace().next().unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        let start = text.len() - rest.len();
        cut(chunk, start, space, &mut found);
        rest = rest.get(chunk.len()..).unwrap_or_default();
    }
    found
}

/// Cuts what stands between spaces: before each character of a script without spaces, behind it,
/// and before opening punctuation that follows one.
fn cut<'a>(chunk: &'a str, offset: usize, space: bool, found: &mut Vec<Token<'a>>) {
    let mut begin = 0;
    let mut wide = None;
    for (at, character) in chunk.char_indices() {
        let is_wide = is_wide(character);
        let new = match wide {
            // Nothing but opening punctuation so far.
            None => false,
            Some(wide) => is_wide || wide && (character.is_alphanumeric() || opens(character)),
        };
        if new {
            found.push(token(chunk, begin, at, offset, space && begin == 0));
            begin = at;
            wide = None;
        }
        if wide.is_none() && character.is_alphanumeric() {
            wide = Some(is_wide);
        }
    }
    found.push(token(chunk, begin, chunk.len(), offset, space && begin == 0));
}

fn token(chunk: &str, begin: usize, end: usize, offset: usize, space: bool) -> Token<'_> {
    let whole = chunk.get(begin..end).unwrap_or_default();
    let inside = whole.trim_start_matches(|c: char| !c.is_alphanumeric());
    let (lead, inside) = whole.split_at(whole.len() - inside.len());
    // Marks above and below letters belong to the word.
    let core = inside.trim_end_matches(|c: char| is_punctuation(c));
    let (core, trail) = inside.split_at(core.len());
    Token { space, lead, core, trail, end: offset + end }
}

fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(
            character,
            '\u{A1}' | '\u{A7}' | '\u{AB}' | '\u{B6}' | '\u{B7}' | '\u{BB}' | '\u{BF}'
                | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}' | '\u{3001}'..='\u{3003}'
                | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}' | '\u{FF01}'..='\u{FF0F}'
                | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}'
                | '\u{61F}' | '\u{60C}' | '\u{61B}' | '\u{6D4}' | '\u{964}' | '\u{965}'
        )
}

/// Whether a character is of a script that is written without spaces between words.
pub(super) fn is_wide(character: char) -> bool {
    matches!(
        character,
        '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
            | '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}'
    )
}

/// Whether punctuation brings its own space: that of scripts that are written without.
pub(super) fn is_wide_punctuation(character: char) -> bool {
    matches!(character, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3020}'
        | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}'
        | '\u{FF5B}'..='\u{FF65}')
}

/// Whether nothing is written between a character and the word behind it.
pub(super) fn opens(character: char) -> bool {
    matches!(
        character,
        '(' | '['
            | '{'
            | '¿'
            | '¡'
            | '«'
            | '‹'
            | '„'
            | '‚'
            | '《'
            | '〈'
            | '「'
            | '『'
            | '【'
            | '（'
            | '［'
            | '｛'
    )
}

/// Whether a character ends a sentence.
pub(super) fn ends_sentence(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟' | '\n')
}

/// Whether punctuation is what a recogniser puts where speech pauses.
pub(super) fn is_pause(character: char) -> bool {
    ends_sentence(character) && character != '\n'
        || matches!(character, ',' | ';' | ':' | '，' | '、' | '；' | '：' | '،' | '؛')
}

/// A word as it is compared: small letters, one kind of apostrophe.
pub(super) fn folded(word: &str) -> String {
    word.replace('’', "'").to_lowercase()
}

/// A phrase as it is compared.
pub(super) fn phrase(text: &str) -> Vec<String> {
    let words = tokens(text).into_iter().map(|token| folded(token.core));
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(bool, &str, &str, &str)> {
        tokens(text).into_iter().map(|t| (t.space, t.lead, t.core, t.trail)).collect()
    }

    #[test]
    fn words_have_their_punctuation() {
        assert_eq!(
            parts(" “Don't, (e-mail) 3.5 % - ok…”"),
            [
                (true, "“", "Don't", ","),
                (true, "(", "e-mail", ")"),
                (true, "", "3.5", ""),
                (true, "%", "", ""),
                (true, "-", "", ""),
                (true, "", "ok", "…”"),
            ]
        );
    }

    #[test]
    fn scripts_without_spaces_are_cut_at_characters() {
        assert_eq!(
            parts("他说：「好。」OK吗 2瓶"),
            [
                (false, "", "他", ""),
                (false, "", "说", "："),
                (false, "「", "好", "。」"),
                (false, "", "OK", ""),
                (false, "", "吗", ""),
                (true, "", "2", ""),
                (false, "", "瓶", ""),
            ]
        );
    }

    #[test]
    fn all_of_a_text_is_in_its_words() {
        let text = "¡Hola, «señor»! नमस्ते दुनिया। 你好，世界。 ...a";
        let mut last = 0;
        for token in tokens(text) {
            let whole = format!("{}{}{}", token.lead, token.core, token.trail);
            assert_eq!(text[last..token.end].trim_start(), whole);
            last = token.end;
        }
        assert_eq!(last, text.len());
    }
}

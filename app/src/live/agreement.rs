//! Which part of a text that is still being heard may stay.

/// Follows the hypotheses of one utterance and commits what has stood long enough (local agreement,
/// after Macháček et al. 2023, by time instead of by number of hypotheses).
#[derive(Debug, Clone, Default)]
pub struct Agreement {
    tokens: Vec<u32>,
    /// For each token, how much audio had been heard when it came to stand here behind all before
    /// it, in seconds.
    since: Vec<f64>,
    committed: usize,
    /// Of each hypothesis so far, how much audio had been heard, in seconds, and its length.
    lengths: Vec<(f64, usize)>,
}

/// Whether a text of so many tokens is as long as one of `other`: commas come and go.
pub fn is_as_long(tokens: usize, other: usize) -> bool {
    tokens + 1 >= other
}

impl Agreement {
    /// The latest hypothesis.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many of its tokens stay.
    pub fn committed(&self) -> usize {
        self.committed
    }

    /// Tokens of the last two hypotheses, whichever was longer.
    pub fn lately(&self) -> usize {
        self.lengths.iter().rev().take(2).map(|&(_, tokens)| tokens).max().unwrap_or_default()
    }

    /// How much audio had been heard, in seconds, at the last hypothesis that was shorter than so many
    /// tokens (0 if none was) and at the one behind it, if there is one: a text so long says nothing of
    /// what was heard later.
    pub fn as_long_since(&self, tokens: usize) -> (f64, Option<f64>) {
        let shorter = self.lengths.iter().rposition(|&(_, other)| !is_as_long(other, tokens));
        let heard = |index: usize| self.lengths.get(index).map(|&(until, _)| until);
        (shorter.and_then(heard).unwrap_or_default(), heard(shorter.map_or(0, |last| last + 1)))
    }

    /// How much audio had been heard, in seconds, at the last hypothesis that did not have the last
    /// word that stays: it was said behind that, and by the hypothesis that had it.
    pub fn committed_behind(&self) -> f64 {
        let last = self.committed.checked_sub(1).and_then(|last| self.since.get(last));
        let stood = last.copied().unwrap_or_default();
        let before = self.lengths.iter().rev().find(|&&(until, _)| until < stood);
        before.map_or(0.0, |&(until, _)| until)
    }

    /// Takes the next hypothesis, which begins with all that was committed, made of audio up to
    /// `until` seconds. Does nothing if it does not begin so.
    pub fn update(&mut self, tokens: &[u32], until: f64) {
        let same = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        if same < self.committed {
            return;
        }
        self.lengths.push((until, tokens.len()));
        self.since.truncate(same);
        self.since.resize(tokens.len(), until);
        self.tokens = tokens.to_vec();
    }

    /// Commits tokens that have stood while `stand` seconds of audio came, as far as a word ends;
    /// the last word never. Returns for each newly committed word how much audio had been heard when
    /// it first stood here.
    ///
    /// # Errors
    /// As `spell`'s, which says what tokens read as.
    pub fn commit<E>(
        &mut self,
        until: f64,
        stand: f64,
        spell: impl Fn(&[u32]) -> Result<String, E>,
    ) -> Result<Vec<f64>, E> {
        let stood = |&&since: &&f64| since + stand <= until;
        let standing = self.since.iter().take_while(stood).count();
        let ends = word_ends(&self.tokens, self.committed, &spell)?;
        // What is behind the last end is the last word; a word must have stood whole.
        let words: Vec<usize> = ends.into_iter().filter(|&end| end <= standing).collect();
        if let Some(&last) = words.last() {
            self.committed = last;
        }
        let first_stood = |end: usize| self.since.get(end - 1).copied().unwrap_or(until);
        Ok(words.into_iter().map(first_stood).collect())
    }
}

/// After which tokens, behind the first `from`, a word ends and another begins.
fn word_ends<E>(
    tokens: &[u32],
    from: usize,
    spell: &impl Fn(&[u32]) -> Result<String, E>,
) -> Result<Vec<usize>, E> {
    let whole = spell(tokens)?;
    let mut ends = Vec::new();
    for end in from + 1..tokens.len() {
        let text = spell(tokens.get(..end).unwrap_or_default())?;
        // Marks read as nothing, and a character may need several tokens.
        let Some(rest) = whole.strip_prefix(text.as_str()) else { continue };
        let (Some(last), Some(next)) = (text.chars().last(), rest.chars().next()) else { continue };
        if next.is_whitespace() || (is_unspaced(last) && is_unspaced(next)) {
            ends.push(end);
        }
    }
    Ok(ends)
}

/// Whether a character belongs to a script that puts no spaces between words, or to its
/// punctuation.
pub(super) fn is_unspaced(c: char) -> bool {
    use unicode_script::{Script, UnicodeScript};
    matches!(
        c.script(),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
    ) || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff65}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Tokens are Unicode scalars.
    fn spell(tokens: &[u32]) -> Result<String, Infallible> {
        Ok(tokens.iter().filter_map(|&token| char::from_u32(token)).collect())
    }

    fn tokens(text: &str) -> Vec<u32> {
        text.chars().map(u32::from).collect()
    }

    fn committed(agreement: &Agreement) -> String {
        spell(&agreement.tokens()[..agreement.committed()]).unwrap()
    }

    #[test]
    fn whole_words_that_stood_are_committed_and_the_last_never() {
        let mut agreement = Agreement::default();
        agreement.update(&tokens(" I saw the c"), 1.0);
        assert!(agreement.commit(1.0, 0.5, spell).unwrap().is_empty());
        agreement.update(&tokens(" I saw the cat and"), 1.6);
        assert_eq!(agreement.commit(1.6, 0.5, spell).unwrap(), [1.0, 1.0, 1.0]);
        assert_eq!(committed(&agreement), " I saw the");
        // What changed has to stand again.
        agreement.update(&tokens(" I saw the cart and"), 2.2);
        assert!(agreement.commit(2.2, 0.5, spell).unwrap().is_empty());
        agreement.update(&tokens(" I saw the cart and"), 3.0);
        assert_eq!(agreement.commit(3.0, 0.5, spell).unwrap(), [2.2]);
        assert_eq!(committed(&agreement), " I saw the cart");
        // The last of these words was not there yet after 1.6 s.
        assert_eq!(agreement.committed_behind(), 1.6);
        // A text that begins otherwise is not followed.
        agreement.update(&tokens(" Elsewhere"), 4.0);
        assert_eq!(committed(&agreement), " I saw the cart");
    }

    #[test]
    fn what_a_text_says_was_heard_when_it_came_to_be_so_long() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.as_long_since(0), (0.0, None));
        for (until, text) in [(1.0, "I saw"), (2.0, "I saw a cat"), (3.0, "I saw the cat.")] {
            agreement.update(&tokens(text), until);
        }
        assert_eq!(agreement.as_long_since(14), (2.0, Some(3.0)));
        assert_eq!(agreement.as_long_since(16), (3.0, None), "it has grown since");
        // Other letters, a comma more or less, and words that were there for a moment are no growth.
        for (until, text) in
            [(4.0, "I saw the cats."), (5.0, "I saw the cart, he said."), (6.0, "I saw the cart")]
        {
            agreement.update(&tokens(text), until);
            assert_eq!(agreement.as_long_since(14), (2.0, Some(3.0)));
        }
        assert_eq!(agreement.lately(), 24);
        // Of a text that has lost words, what was heard since it first said the rest is unsaid.
        assert_eq!(agreement.as_long_since(11), (1.0, Some(2.0)));
        assert_eq!(agreement.as_long_since(5), (0.0, Some(1.0)));
    }

    #[test]
    fn scripts_without_spaces_are_committed_by_character() {
        let mut agreement = Agreement::default();
        agreement.update(&tokens("我们去看山"), 1.0);
        agreement.update(&tokens("我们去看山"), 2.0);
        assert_eq!(agreement.commit(2.0, 0.5, spell).unwrap().len(), 4);
        assert_eq!(committed(&agreement), "我们去看");
    }

    proptest! {
        /// Whatever is heard, what was committed stays, as long as hypotheses begin with it.
        #[test]
        fn commits_are_append_only(texts in prop::collection::vec("[ab ]{0,12}", 1..20)) {
            let mut agreement = Agreement::default();
            let mut before = String::new();
            for (index, text) in texts.iter().enumerate() {
                let until = index as f64;
                agreement.update(&tokens(&format!("{before}{text}")), until);
                agreement.commit(until, 1.0, spell).unwrap();
                let now = committed(&agreement);
                prop_assert!(now.starts_with(&before));
                before = now;
            }
        }
    }
}

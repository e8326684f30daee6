//! Searching for a text, token by token: greedy, beam, sampled, or verifying a draft.
//!
//! Engines share it: a [`TextModel`] says what may follow, a [`Constraint`] what must not.

use crate::error::ModelError;
use crate::nn::log_sum_exp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A network that has read something and can be asked what comes next. It keeps rows of text side
/// by side.
pub trait TextModel {
    /// Adds one token to each row; logits a row.
    ///
    /// # Errors
    /// When the network fails.
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// Adds several tokens to the only row; logits after each of them.
    ///
    /// # Errors
    /// When the network fails.
    fn read(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// Forgets the last tokens of the only row.
    fn forget(&mut self, tokens: usize);

    /// Makes row `i` the former row `rows[i]`.
    ///
    /// # Errors
    /// When the device has no room.
    fn select(&mut self, rows: &[u32]) -> Result<(), ModelError>;
}

/// What may be written.
pub trait Constraint {
    /// Sets the logits of what must not follow `written` to -inf.
    fn apply(&self, logits: &mut [f32], written: &[u32]);
}

/// Log-probability of a forced token that was thought impossible: finite, so that averages are.
const LEAST: f32 = -30.0;

/// One text that the model found.
#[derive(Debug, Clone, Default)]
pub struct Hypothesis {
    /// Tokens written, without the prompt and the end.
    pub tokens: Vec<u32>,
    /// Log-probability of each of them.
    pub log_probabilities: Vec<f32>,
    /// Sum of the log-probabilities of the tokens and the end.
    pub log_probability: f32,
    /// Tokens that this is the sum of: those written, one for the end, and those of a loop cut off.
    pub scored: usize,
    /// Whether a loop was cut off.
    pub looped: bool,
    /// Whether the end was reached before the bound.
    pub ended: bool,
}

impl Hypothesis {
    /// Mean log-probability a token, the end included.
    pub fn average(&self) -> f32 {
        self.log_probability / self.scored.max(1) as f32
    }

    /// Adds a token; whether the text goes on, having neither ended nor begun to loop.
    fn goes_on(&mut self, token: u32, log_probability: f32, end: u32) -> bool {
        self.log_probability += log_probability;
        self.scored += 1;
        if token == end {
            self.ended = true;
            return false;
        }
        self.tokens.push(token);
        self.log_probabilities.push(log_probability);
        if let Some(length) = cut_loop(&self.tokens) {
            self.tokens.truncate(length);
            self.log_probabilities.truncate(length);
            self.looped = true;
        }
        !self.looped
    }
}

/// How to search.
#[derive(Debug, Clone)]
pub struct Search {
    /// Hypotheses kept side by side; 1 is greedy.
    pub beam: usize,
    /// 0 takes the likeliest token; above, tokens are drawn at this temperature.
    pub temperature: f32,
    /// Texts drawn at a temperature above 0, the likeliest of which is taken.
    pub draws: usize,
    /// Most tokens that are written.
    pub limit: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// Most tokens of a text in audio of this length: some, and 16 a second. Fast speech has about 10 a
/// second in Latin script.
pub fn most_tokens(seconds: f64) -> usize {
    16 + (seconds * 16.0) as usize
}

/// Where a search stands: a model that has read the prompt.
pub struct Started<'a, M> {
    /// The network.
    pub model: M,
    /// Logits after the prompt.
    pub logits: Vec<f32>,
    /// What may be written.
    pub rules: &'a dyn Constraint,
    /// Token that ends a text.
    pub end: u32,
}

impl Search {
    /// Writes the text that follows the prompt.
    ///
    /// # Errors
    /// When the network fails.
    pub fn run<M: TextModel>(&self, start: Started<M>) -> Result<Hypothesis, ModelError> {
        self.go_on(start, Hypothesis::default())
    }

    /// Writes what follows the prompt and what is `begun`, which the model has read too.
    fn go_on<M: TextModel>(
        &self,
        start: Started<M>,
        begun: Hypothesis,
    ) -> Result<Hypothesis, ModelError> {
        if self.temperature > 0.0 {
            self.rows(start, self.draws.max(1), begun)
        } else if self.beam > 1 {
            self.beams(start, begun)
        } else {
            self.rows(start, 1, begun)
        }
    }

    /// Writes given a draft (the text found for nearly the same audio) whose first `forced` tokens
    /// must stay: the text that this search writes behind them. Greedily, it costs one pass over as
    /// much of the draft as that text begins with; otherwise only what is forced counts.
    ///
    /// # Errors
    /// When the network fails.
    pub fn verify<M: TextModel>(
        &self,
        mut start: Started<M>,
        draft: &[u32],
        forced: usize,
    ) -> Result<Hypothesis, ModelError> {
        let greedy = self.beam <= 1 && self.temperature <= 0.0;
        let read = if greedy { draft.len() } else { forced };
        let draft = draft.get(..read.min(draft.len()).min(self.limit)).unwrap_or_default();
        let mut text = Hypothesis::default();
        if draft.is_empty() {
            return self.go_on(start, text);
        }
        let after = start.model.read(draft)?;
        let mut logits = std::mem::take(&mut start.logits);
        let mut right = 0;
        for (&token, next) in draft.iter().zip(after) {
            start.rules.apply(&mut logits, &text.tokens);
            if right >= forced && likeliest(&logits) != token {
                break;
            }
            // A token that the rules forbid may still be forced; its probability is that without.
            let log_probability = log_probability(&logits, token).max(LEAST);
            if !text.goes_on(token, log_probability, start.end) {
                return Ok(text);
            }
            right += 1;
            logits = next;
        }
        start.model.forget(draft.len() - right);
        start.logits = logits;
        self.go_on(start, text)
    }

    /// Greedy, or `count` draws side by side, after what is `begun`.
    fn rows<M: TextModel>(
        &self,
        mut start: Started<M>,
        count: usize,
        begun: Hypothesis,
    ) -> Result<Hypothesis, ModelError> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let room = self.limit.saturating_sub(begun.tokens.len());
        let mut live = vec![begun; count];
        let mut done: Vec<Hypothesis> = Vec::new();
        let mut logits = vec![std::mem::take(&mut start.logits); count];
        if count > 1 {
            start.model.select(&vec![0; count])?;
        }
        for _ in 0..room {
            let rows = live.len();
            let mut kept = Vec::new();
            let mut next = Vec::new();
            for (row, (mut text, mut logits)) in live.drain(..).zip(logits).enumerate() {
                start.rules.apply(&mut logits, &text.tokens);
                let token = match self.temperature > 0.0 {
                    true => draw(&logits, self.temperature, &mut random),
                    false => likeliest(&logits),
                };
                if !text.goes_on(token, log_probability(&logits, token), start.end) {
                    done.push(text);
                    continue;
                }
                kept.push((row as u32, token));
                next.push(text);
            }
            live = next;
            if live.is_empty() {
                break;
            }
            if kept.len() < rows {
                let rows: Vec<u32> = kept.iter().map(|&(row, _)| row).collect();
                start.model.select(&rows)?;
            }
            let tokens: Vec<u32> = kept.iter().map(|&(_, token)| token).collect();
            logits = start.model.step(&tokens)?;
        }
        done.append(&mut live);
        Ok(best(done))
    }

    fn beams<M: TextModel>(
        &self,
        mut start: Started<M>,
        begun: Hypothesis,
    ) -> Result<Hypothesis, ModelError> {
        let room = self.limit.saturating_sub(begun.tokens.len());
        let mut live = vec![begun];
        let mut logits = vec![std::mem::take(&mut start.logits)];
        let mut done: Vec<Hypothesis> = Vec::new();
        for _ in 0..room {
            let mut candidates: Vec<(f32, usize, u32)> = Vec::new();
            for (row, (text, mut logits)) in live.iter().zip(logits).enumerate() {
                start.rules.apply(&mut logits, &text.tokens);
                let normaliser = log_sum_exp(&logits);
                for (token, logit) in top(&logits, self.beam + 1) {
                    candidates.push((text.log_probability + logit - normaliser, row, token));
                }
            }
            candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut next = Vec::new();
            let mut rows = Vec::new();
            let mut tokens = Vec::new();
            for (log_probability, row, token) in candidates {
                let Some(parent) = live.get(row) else { continue };
                let mut text = parent.clone();
                if !text.goes_on(token, log_probability - parent.log_probability, start.end) {
                    done.push(text);
                    continue;
                }
                rows.push(row as u32);
                tokens.push(token);
                next.push(text);
                if next.len() == self.beam {
                    break;
                }
            }
            live = next;
            if live.is_empty() || done.len() >= self.beam {
                break;
            }
            start.model.select(&rows)?;
            logits = start.model.step(&tokens)?;
        }
        if done.is_empty() {
            done = live;
        }
        Ok(best(done))
    }
}

/// The likeliest text a token; one that does not loop if there is any.
fn best(texts: Vec<Hypothesis>) -> Hypothesis {
    let better = |a: &Hypothesis, b: &Hypothesis| {
        b.looped.cmp(&a.looped).then(a.average().total_cmp(&b.average()))
    };
    texts.into_iter().max_by(better).unwrap_or_default()
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token as u32)
}

fn log_probability(logits: &[f32], token: u32) -> f32 {
    logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - log_sum_exp(logits))
}

/// Draws a token at a temperature.
fn draw(logits: &[f32], temperature: f32, random: &mut StdRng) -> u32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |x: f32| ((x - max) / temperature).exp();
    let total: f32 = logits.iter().map(|&x| weight(x)).sum();
    let mut left = random.random::<f32>() * total;
    for (token, &logit) in logits.iter().enumerate() {
        left -= weight(logit);
        if left <= 0.0 && logit > f32::NEG_INFINITY {
            return token as u32;
        }
    }
    likeliest(logits)
}

/// The `count` largest logits with their tokens, largest first.
fn top(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut found: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, &logit) in logits.iter().enumerate() {
        let last = found.last().map_or(f32::NEG_INFINITY, |&(_, logit)| logit);
        if found.len() < count && logit > f32::NEG_INFINITY || logit > last {
            let at = found.partition_point(|&(_, other)| other >= logit);
            found.insert(at, (token as u32, logit));
            found.truncate(count);
        }
    }
    found
}

/// Longest unit, in tokens, that is looked for.
const LONGEST_UNIT: usize = 40;
/// Times that a unit must stand in a row, and tokens that it must fill, to be a loop.
const REPEATS: usize = 4;
const FILLED: usize = 16;

/// If `tokens` end in a loop, the number of tokens to keep: up to the first copy of the unit.
///
/// ```
/// use partita_model::search::cut_loop;
/// assert_eq!(cut_loop(&[1, 2, 3, 4, 5]), None);
/// let looping: Vec<u32> = [7, 8].into_iter().chain([1, 2, 3, 4].repeat(4)).collect();
/// assert_eq!(cut_loop(&looping), Some(6));
/// ```
pub fn cut_loop(tokens: &[u32]) -> Option<usize> {
    for unit in 1..=LONGEST_UNIT.min(tokens.len() / REPEATS) {
        let pairs = tokens.iter().rev().zip(tokens.iter().rev().skip(unit));
        let same = pairs.take_while(|(a, b)| a == b).count();
        let filled = same + unit;
        if filled >= unit * REPEATS && filled >= FILLED {
            return Some(tokens.len() - filled + unit);
        }
    }
    None
}

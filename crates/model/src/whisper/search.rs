//! Searching for the text of one window: greedy, beam, or sampled.

use super::decoder::{Decoder, DecoderState};
use super::guards::cut_loop;
use super::rules::Rules;
use crate::error::ModelError;
use crate::nn::log_sum_exp;
use candle_core::Device;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One text that the model found.
#[derive(Debug, Clone, Default)]
pub struct Hypothesis {
    /// Tokens written, without the prompt and the end.
    pub tokens: Vec<u32>,
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
        if let Some(length) = cut_loop(&self.tokens) {
            self.tokens.truncate(length);
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

/// Where a search stands: a decoder that has read the prompt.
pub struct Started<'a> {
    /// The network.
    pub decoder: &'a Decoder,
    /// Its memory, with the prompt read.
    pub state: DecoderState,
    /// Logits after the prompt.
    pub logits: Vec<f32>,
    /// What may be written.
    pub rules: &'a Rules,
    /// Token that ends a text.
    pub end: u32,
    /// Where the decoder lives.
    pub device: &'a Device,
}

impl Search {
    /// Writes the text that follows the prompt.
    ///
    /// # Errors
    /// When the network fails.
    pub fn run(&self, start: Started) -> Result<Hypothesis, ModelError> {
        if self.temperature > 0.0 {
            self.rows(start, self.draws.max(1))
        } else if self.beam > 1 {
            self.beams(start)
        } else {
            self.rows(start, 1)
        }
    }

    /// Greedy, or `count` draws side by side.
    fn rows(&self, mut start: Started, count: usize) -> Result<Hypothesis, ModelError> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut live = vec![Hypothesis::default(); count];
        let mut done: Vec<Hypothesis> = Vec::new();
        let mut logits = vec![std::mem::take(&mut start.logits); count];
        if count > 1 {
            start.state.select(&vec![0; count], start.device)?;
        }
        for _ in 0..self.limit {
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
            if kept.len() < start.state.batch() {
                let rows: Vec<u32> = kept.iter().map(|&(row, _)| row).collect();
                start.state.select(&rows, start.device)?;
            }
            let tokens: Vec<u32> = kept.iter().map(|&(_, token)| token).collect();
            logits = start.step(&tokens)?;
        }
        done.append(&mut live);
        Ok(best(done))
    }

    fn beams(&self, mut start: Started) -> Result<Hypothesis, ModelError> {
        let mut live = vec![Hypothesis::default()];
        let mut logits = vec![std::mem::take(&mut start.logits)];
        let mut done: Vec<Hypothesis> = Vec::new();
        for _ in 0..self.limit {
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
            start.state.select(&rows, start.device)?;
            logits = start.step(&tokens)?;
        }
        if done.is_empty() {
            done = live;
        }
        Ok(best(done))
    }
}

impl Started<'_> {
    /// Adds one token to each row; logits a row.
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        let hidden = self.decoder.forward(tokens, tokens.len(), &mut self.state)?;
        Ok(self.decoder.logits(&hidden, 0)?)
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

//! Which items make up which batch: balanced, by length, in an order that can be resumed.
//!
//! An epoch is planned as a whole from (seed, epoch):
//!
//! 1. Of a group (a language) with `n` of all items, `p ∝ n^(1/T)` of the draws are wanted
//!    (temperature `T`; 1 leaves the shares as they are). The largest group comes once; a smaller
//!    one `(n_largest / n)^(1 − 1/T)` times, at most [`SamplerOptions::max_repeats`] times. So
//!    every item comes at least once an epoch, and exactly once with `T = 1`.
//! 2. Items without a group (no speech) get a fixed share of all draws.
//! 3. Draws are shuffled, sorted into buckets of similar size, and cut into batches; what does not
//!    fill a batch goes on with the next bucket. The batches are shuffled.
//!
//! Items may lie in blocks (shards of a large set): then an epoch goes through a few blocks at a
//! time, in shuffled order, and does all of the above within them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use partita_corpus::split::stable_hash;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::random::generator;

/// Each bucket's longest item is this much longer than the one before: padding wastes at most a
/// fifth of a batch, and there are some 25 buckets between 0.2 s and 30 s.
const BUCKET_GROWTH: f64 = 1.25;

/// What a sampler needs to know of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it costs: seconds of a clip, characters of a sentence.
    pub size: f64,
    /// What is balanced: the language; `None` for clips without speech.
    pub group: Option<String>,
    /// The block of a large set in which it lies.
    pub block: u32,
}

/// How batches are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerOptions {
    /// From which everything is drawn.
    pub seed: u64,
    /// Most of a batch, padding included: its longest item times its items, in the unit of
    /// [`Item::size`]. An item that is longer alone makes a batch of its own.
    pub max_size: f64,
    /// Most items of a batch.
    pub max_items: usize,
    /// Temperature of the balance, at least 1.
    pub temperature: f64,
    /// How often the items of a small group may come in an epoch.
    pub max_repeats: f64,
    /// Whether all items of a batch are of one group.
    pub one_group: bool,
    /// Share of draws that go to items without a group, where there are any.
    pub none_share: f64,
    /// Share of items that are padded to `padded_size`.
    pub padded_share: f64,
    /// Size of padded items (30 s).
    pub padded_size: f64,
    /// Blocks that are mixed at a time.
    pub window: usize,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            max_size: 240.0,
            max_items: 64,
            temperature: 2.0,
            max_repeats: 16.0,
            one_group: false,
            none_share: 0.05,
            padded_share: 0.15,
            padded_size: 30.0,
            window: 16,
        }
    }
}

impl SamplerOptions {
    /// For sentences: sizes are characters, nothing is padded, and every item has a group.
    pub fn for_text() -> Self {
        Self { max_size: 4000.0, none_share: 0.0, padded_share: 0.0, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let faults = [
            ("max_size must be above 0", self.max_size > 0.0),
            ("max_items must be at least 1", self.max_items >= 1),
            ("temperature must be at least 1", self.temperature >= 1.0),
            ("max_repeats must be at least 1", self.max_repeats >= 1.0),
            ("none_share must be from 0 to below 1", share(self.none_share)),
            ("padded_share must be from 0 to 1", (0.0..=1.0).contains(&self.padded_share)),
            ("padded_size must be above 0", self.padded_size > 0.0),
            ("window must be at least 1", self.window >= 1),
        ];
        match faults.into_iter().find(|(_, fits)| !fits) {
            Some((fault, _)) => bail!("sampler: {fault}"),
            None => Ok(()),
        }
    }
}

/// One draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Index of the item.
    pub item: usize,
    /// How often it was drawn before in this epoch.
    pub repeat: u32,
    /// Whether it is padded to [`SamplerOptions::padded_size`].
    pub padded: bool,
}

/// The draws of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The draws, never none.
    pub picks: Vec<Pick>,
}

/// Where in the order of batches a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The next batch in it, from 0.
    pub batch: u64,
    /// A hash of items and options: the order holds for these only.
    pub data: u64,
}

/// What becomes of a group in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupCount {
    /// Its items.
    pub items: usize,
    /// Their size in all.
    pub size: f64,
    /// Draws in an epoch.
    pub draws: usize,
    /// Share of all draws.
    pub share: f64,
}

/// Gives batch after batch without end. See the module's page for the order.
///
/// ```
/// use partita_train::data::sampler::{Item, Sampler, SamplerOptions};
/// let item = |lang: &str, size| Item { size, group: Some(lang.into()), block: 0 };
/// let items = vec![item("de", 2.0), item("de", 2.1), item("it", 9.0)];
/// let mut sampler = Sampler::new(items, SamplerOptions::default())?;
/// let first = sampler.next_batch();
/// let position = sampler.position();
/// let second = sampler.next_batch();
/// sampler.seek(&position)?;
/// assert_eq!(sampler.next_batch(), second);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    items: Arc<Vec<Item>>,
    /// Items by group, in the order of the groups' names; those without a group first.
    groups: Arc<BTreeMap<Option<String>, Vec<usize>>>,
    data: u64,
    epoch: u64,
    batches: Arc<Vec<Vec<Pick>>>,
    next: usize,
}

impl Sampler {
    /// A sampler at the beginning of epoch 0.
    ///
    /// # Errors
    /// When there are no items, an item's size is no positive number, or options are impossible.
    pub fn new(items: Vec<Item>, options: SamplerOptions) -> Result<Self> {
        options.check()?;
        if items.is_empty() {
            bail!("sampler: there is nothing to draw from");
        }
        if let Some(bad) = items.iter().position(|item| !(item.size > 0.0 && item.size.is_finite()))
        {
            bail!("sampler: item {bad} has no size");
        }
        let mut groups: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            groups.entry(item.group.clone()).or_default().push(index);
        }
        let data = fingerprint(&items, &options);
        let (items, groups) = (Arc::new(items), Arc::new(groups));
        let mut sampler =
            Self { options, items, groups, data, epoch: 0, batches: Arc::default(), next: 0 };
        sampler.plan();
        Ok(sampler)
    }

    /// The options.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Batches of the current epoch; other epochs may have a few more or fewer.
    pub fn batches_in_epoch(&self) -> usize {
        self.batches.len()
    }

    /// What will be next.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, batch: self.next as u64, data: self.data }
    }

    /// Goes to a position.
    ///
    /// # Errors
    /// When the position is one of other data or other options, or none that there is.
    pub fn seek(&mut self, position: &Position) -> Result<()> {
        if position.data != self.data {
            bail!(
                "data position: it belongs to other data or other sampler options \
                 ({:016x}, here {:016x})",
                position.data,
                self.data
            );
        }
        let before = self.epoch;
        self.epoch = position.epoch;
        if before != self.epoch {
            self.plan();
        }
        match usize::try_from(position.batch) {
            Ok(batch) if batch <= self.batches.len() => self.next = batch,
            _ => bail!(
                "data position: batch {} of epoch {}, which has {}",
                position.batch,
                position.epoch,
                self.batches.len()
            ),
        }
        Ok(())
    }

    /// The next batch; after an epoch's last comes the next epoch's first.
    pub fn next_batch(&mut self) -> Plan {
        self.skip();
        let picks = self.next.checked_sub(1).and_then(|last| self.batches.get(last));
        Plan { epoch: self.epoch, picks: picks.cloned().unwrap_or_default() }
    }

    /// Passes over the next batch.
    pub fn skip(&mut self) {
        // An epoch has a batch at least, since there are items and some are drawn.
        while self.next >= self.batches.len() {
            self.epoch = self.epoch.wrapping_add(1);
            self.plan();
        }
        self.next += 1;
    }

    /// What becomes of each group in an epoch, for the log.
    pub fn counts(&self) -> BTreeMap<Option<String>, GroupCount> {
        let draws = self.draws();
        let all = draws.values().sum::<usize>().max(1) as f64;
        let count = |(group, items): (&Option<String>, &Vec<usize>)| {
            let size = items.iter().filter_map(|&i| self.items.get(i)).map(|item| item.size).sum();
            let draws = draws.get(group).copied().unwrap_or_default();
            let items = items.len();
            (group.clone(), GroupCount { items, size, draws, share: draws as f64 / all })
        };
        self.groups.iter().map(count).collect()
    }

    /// Draws of each group in an epoch.
    fn draws(&self) -> BTreeMap<Option<String>, usize> {
        let speech = || self.groups.iter().filter(|(group, _)| group.is_some());
        let largest = speech().map(|(_, items)| items.len()).max().unwrap_or(0) as f64;
        let power = 1.0 - 1.0 / self.options.temperature;
        let repeated = |(group, items): (&Option<String>, &Vec<usize>)| {
            let n = items.len() as f64;
            let repeats = (largest / n).powf(power).clamp(1.0, self.options.max_repeats);
            (group.clone(), (n * repeats).round() as usize)
        };
        let mut draws: BTreeMap<_, _> = speech().map(repeated).collect();
        if let Some(items) = self.groups.get(&None) {
            let speech = draws.values().sum::<usize>() as f64;
            let share = self.options.none_share;
            let wanted = (speech * share / (1.0 - share)).round() as usize;
            draws.insert(None, if speech == 0.0 { items.len() } else { wanted });
        }
        draws
    }

    /// Plans the current epoch and stands at its beginning.
    fn plan(&mut self) {
        let (seed, epoch) = (self.options.seed.to_le_bytes(), self.epoch.to_le_bytes());
        let mut rng = generator(&[b"epoch", &seed, &epoch]);
        let mut picks = Vec::new();
        for (group, draws) in self.draws() {
            let items = self.groups.get(&group).map(Vec::as_slice).unwrap_or_default();
            self.draw(items, draws, &mut rng, &mut picks);
        }
        let mut blocks: Vec<u32> = self.items.iter().map(|item| item.block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks.shuffle(&mut rng);
        let windows = blocks.chunks(self.options.window).enumerate();
        let window_of: BTreeMap<u32, usize> =
            windows.flat_map(|(window, blocks)| blocks.iter().map(move |b| (*b, window))).collect();
        let mut windows = vec![Vec::new(); blocks.len().div_ceil(self.options.window)];
        for pick in picks {
            let window = self.items.get(pick.item).and_then(|item| window_of.get(&item.block));
            if let Some(window) = window.and_then(|&window| windows.get_mut(window)) {
                window.push(pick);
            }
        }
        let mut batches = Vec::new();
        for picks in windows {
            let mut of_window = self.cut(picks, &mut rng);
            of_window.shuffle(&mut rng);
            batches.append(&mut of_window);
        }
        self.batches = Arc::new(batches);
        self.next = 0;
    }

    /// Draws from a group: each item as often as it fits, some of them once more.
    fn draw(&self, items: &[usize], draws: usize, rng: &mut StdRng, picks: &mut Vec<Pick>) {
        let whole = draws / items.len().max(1);
        let mut once_more = items.to_vec();
        once_more.shuffle(rng);
        once_more.truncate(draws % items.len().max(1));
        let rounds = (0..whole).map(|_| items).chain([once_more.as_slice()]);
        for (repeat, items) in rounds.enumerate() {
            for &item in items {
                let short = self.items.get(item).is_some_and(|i| i.size < self.options.padded_size);
                let padded = short && rng.random_bool(self.options.padded_share);
                picks.push(Pick { item, repeat: repeat as u32, padded });
            }
        }
    }

    fn size(&self, pick: &Pick) -> f64 {
        if pick.padded {
            return self.options.padded_size;
        }
        self.items.get(pick.item).map_or(0.0, |item| item.size)
    }

    /// Cuts draws into batches of similar size.
    fn cut(&self, mut picks: Vec<Pick>, rng: &mut StdRng) -> Vec<Vec<Pick>> {
        picks.shuffle(rng);
        let group = |pick: &Pick| self.items.get(pick.item).and_then(|item| item.group.as_deref());
        let by_group = |pick: &Pick| if self.options.one_group { group(pick) } else { None };
        let bucket = |pick: &Pick| (self.size(pick).ln() / BUCKET_GROWTH.ln()).ceil() as i64;
        picks.sort_by(|a, b| (by_group(a), bucket(a)).cmp(&(by_group(b), bucket(b))));
        let mut batches: Vec<Vec<Pick>> = Vec::new();
        let mut longest = 0.0_f64;
        for pick in picks {
            let size = self.size(&pick);
            match batches.last_mut() {
                Some(batch)
                    if batch.len() < self.options.max_items
                        && longest.max(size) * (batch.len() + 1) as f64
                            <= self.options.max_size
                        && batch.first().map(by_group) == Some(by_group(&pick)) =>
                {
                    batch.push(pick);
                    longest = longest.max(size);
                }
                _ => {
                    batches.push(vec![pick]);
                    longest = size;
                }
            }
        }
        batches
    }
}

/// A hash of all that the order of batches depends on.
fn fingerprint(items: &[Item], options: &SamplerOptions) -> u64 {
    let options = format!("{options:?}");
    let items = items.iter().fold(0, |hash: u64, item| {
        let group = item.group.as_deref().unwrap_or_default();
        let (hash, size) = (hash.to_le_bytes(), item.size.to_bits().to_le_bytes());
        stable_hash(&[&hash, &size, &item.block.to_le_bytes(), group.as_bytes()])
    });
    stable_hash(&[options.as_bytes(), &items.to_le_bytes()])
}

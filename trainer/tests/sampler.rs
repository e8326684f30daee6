//! The sampler's promises, for any data and options.

#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, HashMap, HashSet};

use partita_train::data::sampler::{Item, Pick, Plan};
use partita_train::data::{Position, Sampler, SamplerOptions};
use proptest::prelude::*;

const LANGS: [&str; 5] = ["de", "en", "fr", "it", "ru"];

fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = (0.2..30.0_f64, 0..LANGS.len(), 0..5_u32);
    let item = item.prop_map(|(size, lang, block)| Item {
        size,
        // Squares make some languages much rarer than others.
        group: Some(LANGS[lang * lang / LANGS.len()].to_owned()),
        block,
    });
    proptest::collection::vec(item, 1..300)
}

fn options() -> impl Strategy<Value = SamplerOptions> {
    let numbers = (any::<u64>(), 5.0..200.0_f64, 1..40_usize, 1.0..5.0_f64);
    let shares = (any::<bool>(), 0.0..0.5_f64, 1..4_usize);
    (numbers, shares).prop_map(
        |((seed, max_size, max_items, temperature), (one_group, padded_share, window))| {
            SamplerOptions {
                seed,
                max_size,
                max_items,
                temperature,
                max_repeats: 1e9,
                one_group,
                padded_share,
                window,
                ..SamplerOptions::default()
            }
        },
    )
}

/// All batches of an epoch, at whose beginning (or the end of the one before) the sampler stands.
fn epoch(sampler: &mut Sampler) -> Vec<Plan> {
    let first = sampler.next_batch();
    let rest = sampler.batches_in_epoch() - 1;
    std::iter::once(first).chain((0..rest).map(|_| sampler.next_batch())).collect()
}

fn size(items: &[Item], options: &SamplerOptions, pick: &Pick) -> f64 {
    if pick.padded { options.padded_size } else { items[pick.item].size }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_item_comes_once_an_epoch(items in items(), mut options in options()) {
        options.temperature = 1.0;
        let mut sampler = Sampler::new(items.clone(), options).expect("sampler");
        for number in 0..3 {
            let plans = epoch(&mut sampler);
            let mut seen: Vec<usize> =
                plans.iter().flat_map(|plan| &plan.picks).map(|pick| pick.item).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..items.len()).collect::<Vec<_>>());
            prop_assert!(plans.iter().all(|plan| plan.epoch == number && !plan.picks.is_empty()));
        }
    }

    #[test]
    fn shares_are_those_of_the_formula(items in items(), options in options()) {
        let mut sampler = Sampler::new(items.clone(), options.clone()).expect("sampler");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &items {
            *counts.entry(item.group.as_deref().expect("group")).or_default() += 1;
        }
        let weight = |n: usize| (n as f64).powf(1.0 / options.temperature);
        let all: f64 = counts.values().map(|n| weight(*n)).sum();
        let mut drawn: HashMap<usize, u32> = HashMap::new();
        let mut turns = HashSet::new();
        for pick in epoch(&mut sampler).iter().flat_map(|plan| &plan.picks) {
            *drawn.entry(pick.item).or_default() += 1;
            prop_assert!(turns.insert((pick.item, pick.repeat)), "each turn has its number");
        }
        let draws: u32 = drawn.values().sum();
        for (lang, n) in counts {
            let mut of_lang = Vec::new();
            for (index, item) in items.iter().enumerate() {
                if item.group.as_deref() == Some(lang) {
                    of_lang.push(drawn.get(&index).copied().unwrap_or(0));
                }
            }
            let wanted = weight(n) / all * f64::from(draws);
            let got: u32 = of_lang.iter().sum();
            // Rounding to whole draws, in each language.
            prop_assert!((f64::from(got) - wanted).abs() <= 1.0 + LANGS.len() as f64 / 2.0,
                "{lang}: {got} draws, {wanted} wanted");
            let (least, most) = (of_lang.iter().min(), of_lang.iter().max());
            let (least, most) = (least.expect("item"), most.expect("item"));
            prop_assert!(*least >= 1 && most - least <= 1, "all alike: {least} to {most}");
        }
    }

    #[test]
    fn batches_keep_their_bounds(items in items(), options in options()) {
        let mut sampler = Sampler::new(items.clone(), options.clone()).expect("sampler");
        for plan in epoch(&mut sampler) {
            let sizes = plan.picks.iter().map(|pick| size(&items, &options, pick));
            let longest = sizes.fold(0.0, f64::max);
            let padded = longest * plan.picks.len() as f64;
            prop_assert!(plan.picks.len() == 1 || padded <= options.max_size, "{padded}");
            prop_assert!(plan.picks.len() <= options.max_items);
            let groups: HashSet<_> = plan.picks.iter().map(|p| &items[p.item].group).collect();
            prop_assert!(!options.one_group || groups.len() == 1);
        }
    }

    #[test]
    fn any_position_can_be_resumed(items in items(), options in options(), steps in 0..200_usize) {
        let mut sampler = Sampler::new(items.clone(), options.clone()).expect("sampler");
        (0..steps).for_each(|_| sampler.skip());
        let stored = serde_json::to_string(&sampler.position()).expect("JSON");
        let rest: Vec<_> = (0..50).map(|_| sampler.next_batch()).collect();
        let mut again = Sampler::new(items, options).expect("sampler");
        let position: Position = serde_json::from_str(&stored).expect("position");
        again.seek(&position).expect("seek");
        let same: Vec<_> = (0..50).map(|_| again.next_batch()).collect();
        prop_assert_eq!(rest, same);
        prop_assert_eq!(sampler.position(), again.position());
    }

    #[test]
    fn a_window_of_blocks_is_finished_before_the_next(items in items(), options in options()) {
        let mut sampler = Sampler::new(items.clone(), options.clone()).expect("sampler");
        let plans = epoch(&mut sampler);
        let picks = plans.iter().flat_map(|plan| &plan.picks);
        let mut last_of: HashMap<u32, usize> = HashMap::new();
        let mut first_of: HashMap<u32, usize> = HashMap::new();
        for (at, pick) in picks.enumerate() {
            let block = items[pick.item].block;
            first_of.entry(block).or_insert(at);
            last_of.insert(block, at);
        }
        let total: usize = plans.iter().map(|plan| plan.picks.len()).sum();
        for at in 0..total {
            let open = first_of.iter().filter(|(b, first)| **first <= at && last_of[b] >= at);
            prop_assert!(open.count() <= options.window);
        }
    }
}

fn clips(lang: Option<&str>, count: usize) -> Vec<Item> {
    let group = lang.map(str::to_owned);
    (0..count)
        .map(|n| Item { size: 1.0 + n as f64 % 7.0, group: group.clone(), block: 0 })
        .collect()
}

#[test]
fn epochs_differ_and_seeds_differ() {
    let of = |seed| {
        let options = SamplerOptions { seed, ..SamplerOptions::default() };
        let mut sampler = Sampler::new(clips(Some("de"), 400), options).expect("sampler");
        [epoch(&mut sampler), epoch(&mut sampler)]
            .map(|plans| plans.into_iter().map(|plan| plan.picks).collect::<Vec<_>>())
    };
    let [first, second] = of(1);
    assert_ne!(first, second);
    assert_ne!(first, of(2)[0]);
    assert_eq!(first, of(1)[0]);
}

#[test]
fn silence_and_padding_have_their_shares() {
    let items = [clips(Some("de"), 1900), clips(None, 37)].concat();
    let options = SamplerOptions { none_share: 0.05, padded_share: 0.15, ..Default::default() };
    let mut sampler = Sampler::new(items.clone(), options).expect("sampler");
    let counts = sampler.counts();
    assert_eq!(counts[&None].draws, 100);
    assert!((counts[&None].share - 0.05).abs() < 1e-9);
    let picks: Vec<Pick> = epoch(&mut sampler).into_iter().flat_map(|plan| plan.picks).collect();
    assert_eq!(picks.len(), 2000);
    let padded = picks.iter().filter(|pick| pick.padded).count();
    assert!((240..360).contains(&padded), "{padded} of 2000");
    let silent = picks.iter().filter(|pick| items[pick.item].group.is_none()).count();
    assert_eq!(silent, 100);
}

#[test]
fn similar_sizes_come_together() {
    let sizes = (0..2000).map(|n| 0.5 + 29.0 * f64::from(n) / 2000.0);
    let items: Vec<_> =
        sizes.map(|size| Item { size, group: Some("de".into()), block: 0 }).collect();
    let options = SamplerOptions { padded_share: 0.0, max_size: 120.0, ..Default::default() };
    let mut sampler = Sampler::new(items.clone(), options).expect("sampler");
    let (mut spoken, mut padded) = (0.0, 0.0);
    for plan in epoch(&mut sampler) {
        let sizes: Vec<f64> = plan.picks.iter().map(|pick| items[pick.item].size).collect();
        spoken += sizes.iter().sum::<f64>();
        padded += sizes.iter().copied().fold(0.0, f64::max) * sizes.len() as f64;
    }
    assert!(spoken / padded > 0.85, "{:.3} of the batches is speech", spoken / padded);
}

#[test]
fn what_cannot_be() {
    let refused = |items: Vec<Item>, options: SamplerOptions| {
        Sampler::new(items, options).expect_err("refused").to_string()
    };
    assert!(refused(Vec::new(), SamplerOptions::default()).contains("nothing to draw from"));
    let cold = SamplerOptions { temperature: 0.5, ..SamplerOptions::default() };
    assert!(refused(clips(None, 1), cold).contains("temperature"));
    let nan = vec![Item { size: f64::NAN, group: None, block: 0 }];
    assert!(refused(nan, SamplerOptions::default()).contains("item 0"));

    let mut sampler = Sampler::new(clips(Some("de"), 50), SamplerOptions::default()).expect("it");
    let other = Sampler::new(clips(Some("de"), 51), SamplerOptions::default()).expect("it");
    let error = sampler.seek(&other.position()).expect_err("other data").to_string();
    assert!(error.contains("other data"), "{error}");
    let beyond = Position { batch: 10_000, ..sampler.position() };
    assert!(sampler.seek(&beyond).is_err());
}

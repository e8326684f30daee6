//! Whether time stays right: lanes and the mixer, with a clock and devices that are made up.

use partita::capture::{Lane, Mixer};
use proptest::prelude::*;

const RATE: f64 = 16_000.0;

/// A microphone that exists in numbers only. Each sample is one plus the time when it sounded, so
/// that every sample tells where it belongs, and silence is told apart.
struct Device {
    /// Samples in a block.
    block: usize,
    /// How much faster its clock runs than it says, in parts per million.
    ppm: f64,
    /// Seconds from the end of a block to its arrival, at the least.
    latency: f64,
    /// Most seconds that a block comes later than that.
    jitter: f64,
    seed: u64,
}

impl Device {
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Plays `seconds` into a lane. Of what sounds within a hole (from, to) nothing arrives; what
    /// sounds within a hold (from, to) arrives at its end, if it is among the first `room` seconds.
    fn play(
        &mut self,
        lane: &mut Lane,
        seconds: f64,
        holes: &[(f64, f64)],
        holds: &[(f64, f64, f64)],
    ) {
        let step = 1.0 / (RATE * (1.0 + self.ppm * 1e-6));
        let (mut time, mut before) = (0.0, 0.0_f64);
        while time < seconds {
            let block: Vec<f32> =
                (0..self.block).map(|n| (1.0 + time + n as f64 * step) as f32).collect();
            let sounded = time;
            time += self.block as f64 * step;
            if holes.iter().any(|&(from, to)| from <= sounded && sounded < to) {
                continue;
            }
            let mut arrival = time + self.latency + self.jitter * self.random().powi(3);
            let mut dropped = false;
            for &(from, to, room) in holds {
                if from <= sounded && sounded < to {
                    dropped = sounded > from + room;
                    arrival = to + self.latency;
                }
            }
            // Blocks stay in order.
            before = arrival.max(before + 1e-5);
            if !dropped {
                assert!(!lane.push(&block, 0, before));
                lane.advance(before);
            }
        }
    }
}

fn drain(lane: &mut Lane) -> Vec<f32> {
    std::iter::from_fn(|| lane.take()).collect()
}

/// The greatest distance of a sample from its place, in seconds, among those that sounded within
/// `from` and `to`.
fn worst(laid: &[f32], from: f64, to: f64) -> f64 {
    let sounding = laid.iter().enumerate().filter(|(_, sample)| **sample != 0.0);
    sounding
        .map(|(n, sample)| (n as f64 / RATE, f64::from(*sample) - 1.0))
        .filter(|(_, sounded)| (from..to).contains(sounded))
        .map(|(place, sounded)| (place - sounded).abs())
        .fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Drift and jitter never look like a loss, however long it goes on.
    #[test]
    fn nothing_is_invented(
        ppm in -300.0..300.0_f64,
        jitter in 0.0..0.2_f64,
        latency in 0.0..0.3_f64,
        block in 160_usize..2048,
        seed: u64,
    ) {
        let mut lane = Lane::device(false);
        let mut device = Device { block, ppm, latency, jitter, seed };
        let mut taken = 0;
        let mut mixer = Mixer::default();
        let mut out = Vec::new();
        device.play(&mut lane, 1200.0, &[], &[]);
        taken += mixer.mix(std::slice::from_mut(&mut lane), &mut out);
        prop_assert_eq!(lane.take_lost(), 0);
        let first = out.iter().position(|sample| *sample != 0.0).unwrap();
        prop_assert!(first as f64 / RATE <= latency + jitter + block as f64 / RATE + 0.01);
        prop_assert!(out[first..].iter().all(|sample| *sample != 0.0), "silence was put in");
        prop_assert!(out[first..].windows(2).all(|pair| pair[0] <= pair[1]), "the order changed");
        prop_assert_eq!(taken, out.len());
    }

    /// What is lost at once is counted, and silence stands in its place.
    #[test]
    fn losses_are_found_and_placed(
        ppm in -100.0..100.0_f64,
        jitter in 0.0..0.08_f64,
        latency in 0.0..0.1_f64,
        block in 160_usize..1200,
        lengths in prop::collection::vec(0.4..20.0_f64, 1..5),
        seed: u64,
    ) {
        let (mut time, mut holes) = (3.0, Vec::new());
        for length in lengths {
            holes.push((time, time + length));
            time += length + 3.0;
        }
        let mut lane = Lane::device(false);
        Device { block, ppm, latency, jitter, seed }.play(&mut lane, time, &holes, &[]);
        let missing: f64 = holes.iter().map(|(from, to)| to - from).sum();
        let tolerance = 0.02 + jitter + block as f64 / RATE;
        let lost = lane.take_lost() as f64 / RATE;
        prop_assert!(
            (lost - missing).abs() < tolerance * holes.len() as f64,
            "{lost} s counted for {missing} s"
        );
        let laid = drain(&mut lane);
        let off = worst(&laid, 0.0, time - 1.0);
        // Errors of one loss do not add up with those of the next by more than jitter.
        prop_assert!(
            off < latency + jitter + tolerance * (1.0 + holes.len() as f64),
            "a sample stands {off} s from its place"
        );
    }

    /// A process that was stopped: what the system kept is not lost, the rest is, and what follows
    /// stands where it belongs.
    #[test]
    fn a_stall_loses_what_was_not_kept(
        stall in 1.0..15.0_f64,
        room in 0.0..12.0_f64,
        block in 160_usize..1200,
        jitter in 0.0..0.05_f64,
        seed: u64,
    ) {
        let mut lane = Lane::device(false);
        let mut device = Device { block, ppm: 50.0, latency: 0.05, jitter, seed };
        device.play(&mut lane, 5.0 + stall + 5.0, &[], &[(5.0, 5.0 + stall, room)]);
        let missing = (stall - room - block as f64 / RATE).max(0.0);
        let lost = lane.take_lost() as f64 / RATE;
        if missing == 0.0 && room > stall {
            prop_assert_eq!(lost, 0.0);
        } else if missing > 0.4 {
            let off = lost - missing;
            prop_assert!(off.abs() < 0.15 + jitter, "{lost} s counted for {missing} s");
        }
        let laid = drain(&mut lane);
        let off = worst(&laid, 5.0 + stall + 0.1, 5.0 + stall + 4.0);
        prop_assert!(off < 0.5, "what follows stands {off} s from its place");
        if room > 0.5 && missing > 0.4 {
            let off = worst(&laid, 5.0, 5.0 + room - 0.15 - jitter - block as f64 / RATE * 2.0);
            prop_assert!(off < 0.25, "what was kept stands {off} s from its place");
        }
    }

    /// Mixing: what is small adds up, nothing leaves -1 to 1, louder stays louder.
    #[test]
    fn mixing_never_clips(a in prop::collection::vec(-1.0_f32..=1.0, 1..200), b in -1.0_f32..=1.0, c in -1.0_f32..=1.0) {
        let mut lanes = [Lane::file(), Lane::file(), Lane::file()];
        lanes[0].push(&a, 0, 0.0);
        lanes[1].push(&vec![b; a.len() + 50], 0, 0.0);
        lanes[2].push(&vec![c; a.len()], 0, 0.0);
        let mut out = vec![7.0];
        prop_assert_eq!(Mixer::default().mix(&mut lanes, &mut out), a.len());
        prop_assert_eq!(out.remove(0), 7.0);
        let mut pairs: Vec<(f32, f32)> = a.iter().map(|a| a + b + c).zip(out).collect();
        for (sum, mixed) in &pairs {
            prop_assert!(mixed.abs() <= 1.0);
            prop_assert!(sum.abs() > 0.8 || mixed == sum);
        }
        pairs.sort_by(|x, y| x.0.total_cmp(&y.0));
        prop_assert!(pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        prop_assert_eq!(lanes[1].ready(), 50);
    }
}

#[test]
fn one_source_is_left_as_it_is() {
    let mut lanes = [Lane::file()];
    let samples = [0.0, 1.0, -1.0, 0.95];
    lanes[0].push(&samples, 0, 0.0);
    let mut out = Vec::new();
    Mixer::default().mix(&mut lanes, &mut out);
    assert_eq!(out, samples);
}

#[test]
fn small_losses_add_up() {
    let holes: Vec<(f64, f64)> =
        (1..100).map(|n| (f64::from(n) * 3.0, f64::from(n) * 3.0 + 0.06)).collect();
    let mut lane = Lane::device(false);
    let mut device = Device { block: 160, ppm: 0.0, latency: 0.02, jitter: 0.005, seed: 1 };
    device.play(&mut lane, 303.0, &holes, &[]);
    let missing = 99.0 * 0.06;
    let lost = lane.take_lost() as f64 / RATE;
    // 500 ppm of 300 s may pass as drift, and what is below the tolerance is not counted yet.
    assert!(lost > missing - 0.15 - 0.26 && lost < missing + 0.05, "{lost} s for {missing} s");
    let laid = drain(&mut lane);
    assert!(worst(&laid, 0.0, 303.0) < 0.5);
}

#[test]
fn a_known_loss_stands_where_it_was() {
    let mut lane = Lane::device(false);
    let block = [0.5; 1600];
    lane.push(&block, 0, 0.1);
    lane.push(&block, 800, 0.25);
    lane.push(&block, 0, 0.35);
    let laid = drain(&mut lane);
    assert_eq!(laid.len(), 3 * 1600 + 800);
    assert!(laid[1600..2400].iter().all(|sample| *sample == 0.0));
    assert!(laid[2400..].iter().all(|sample| *sample == 0.5));
    assert_eq!(lane.take_lost(), 800);
    assert_eq!(lane.take_lost(), 0);
}

#[test]
fn silence_stands_for_a_source_that_is_away_at_true_speed() {
    let mut lane = Lane::device(false);
    lane.push(&[0.5; 1600], 0, 0.1);
    lane.leave(0.1);
    let mut given = lane.ready();
    for tick in 1..=100 {
        let now = 0.1 + f64::from(tick) * 0.05;
        assert!(!lane.advance(now));
        assert!(lane.away());
        let behind = now * RATE - lane.ready() as f64;
        assert!(behind <= 0.1 * RATE + 1.0 && lane.ready() >= given, "{behind} samples behind");
        given = lane.ready();
    }
    lane.resume();
    assert!(!lane.push(&[0.25; 1600], 0, 6.0));
    let laid = drain(&mut lane);
    assert_eq!(laid.len(), 6 * 16_000);
    assert!(laid[1600..6 * 16_000 - 1600].iter().all(|sample| *sample == 0.0));
    assert_eq!(lane.take_lost(), 0, "away is not lost");
}

#[test]
fn a_source_that_gives_nothing_is_away_only_when_one_looked_long_enough() {
    let mut lane = Lane::device(false);
    lane.push(&[0.5; 1600], 0, 0.1);
    // The process was stopped for ten seconds: nobody can know yet.
    assert!(!lane.advance(10.1));
    assert_eq!(lane.ready(), 1600);
    let mut now = 10.1;
    let mut told = 0;
    while now < 20.0 {
        now += 0.1;
        told += u32::from(lane.advance(now));
    }
    assert_eq!(told, 1, "told once");
    assert!(lane.away());
    assert!(lane.push(&[0.5; 1600], 0, 20.1), "and that it is back");
    assert!((lane.ready() as f64 / RATE - 20.1).abs() < 0.01);
    // Until it was told that it gives nothing, audio was expected.
    let lost = lane.take_lost() as f64 / RATE;
    assert!(lost > 14.8 && lost < 15.3, "{lost} s");

    // An output that plays nothing is no fault: silence was heard.
    let mut quiet = Lane::device(true);
    quiet.push(&[0.5; 1600], 0, 0.1);
    let mut now = 0.1;
    while now < 5.0 {
        now += 0.02;
        assert!(!quiet.advance(now));
    }
    assert!(!quiet.push(&[0.5; 1600], 0, 5.1));
    assert!((quiet.ready() as f64 / RATE - 5.1).abs() < 0.01);
    assert_eq!(quiet.take_lost(), 0);
}

/// Two microphones whose clocks differ: neither waits longer and longer for the other.
#[test]
fn clocks_that_differ_stay_together() {
    let mut lanes = [Lane::device(false), Lane::device(false)];
    let mut mixer = Mixer::default();
    let mut out = Vec::new();
    let (mut most, mut count) = (0, 0);
    for step in 1..=36_000_u32 {
        let now = f64::from(step) * 0.1;
        // 200 ppm apart: every 5000 samples one more.
        let more = usize::from(step % 3 == 0);
        lanes[0].push(&vec![0.25; 1600 + more], 0, now);
        lanes[1].push(&[0.25; 1600], 0, now);
        count += mixer.mix(&mut lanes, &mut out);
        out.clear();
        most = most.max(lanes[0].ready().max(lanes[1].ready()));
    }
    assert_eq!(lanes[0].take_lost() + lanes[1].take_lost(), 0);
    assert!(most < 1600, "one lane was {most} samples ahead");
    assert!((count as f64 / RATE - 3600.0).abs() < 0.1, "{count} samples");
}

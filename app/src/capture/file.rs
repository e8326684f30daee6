//! A recording as if it were live.

use super::feed::{News, Post};
use partita_audio::{AudioReader, SAMPLE_RATE};
use std::thread;
use std::time::{Duration, Instant};

/// Samples that are given at a time: 64 ms, as much as a microphone at another rate gives.
const BLOCK: usize = 1024;
/// Longest wait without looking whether it is time to stop.
const TICK: Duration = Duration::from_millis(100);

/// Reads the file out, `speed` times as fast as it sounds; at 0, as fast as it is taken.
pub(super) fn run(mut reader: AudioReader, speed: f64, post: &Post) {
    let start = Instant::now();
    let mut given = 0_u64;
    loop {
        let block = match reader.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => {
                post.send(News::Failed(error.into()));
                return;
            }
        };
        for samples in block.chunks(BLOCK) {
            given += samples.len() as u64;
            if speed > 0.0 {
                // Audio is there when it has sounded, not before.
                let sounded = given as f64 / f64::from(SAMPLE_RATE) / speed;
                wait(start, sounded, post);
            }
            let seconds = samples.len() as f32 / SAMPLE_RATE as f32;
            post.meter.hear(post.lane, samples, seconds);
            let at = Instant::now();
            if !post.send(News::Block { samples: samples.to_vec(), lost: 0, at }) {
                return;
            }
        }
    }
    post.meter.silence(post.lane);
    post.send(News::Ended);
}

/// Waits until so many seconds after `start`.
fn wait(start: Instant, seconds: f64, post: &Post) {
    while !post.stopped() {
        let left = seconds - start.elapsed().as_secs_f64();
        if left <= 0.0 {
            return;
        }
        thread::park_timeout(Duration::from_secs_f64(left.min(TICK.as_secs_f64())));
    }
}

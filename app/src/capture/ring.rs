//! The ring between a device's callback and the thread that reads it.

use super::Meter;
use cpal::FromSample;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::thread::Thread;

/// Losses that can be told apart while nobody reads; further ones are told as one.
const MOST_GAPS: usize = 64;

/// A ring for so many mono frames; `reader` is woken when frames come.
pub(super) fn ring(
    frames: usize,
    channels: usize,
    meter: Arc<Meter>,
    reader: Thread,
) -> (Inlet, Outlet) {
    let (samples_in, samples) = RingBuffer::new(frames);
    let (gaps_in, gaps) = RingBuffer::new(MOST_GAPS);
    let inlet = Inlet {
        samples: samples_in,
        gaps: gaps_in,
        written: 0,
        missing: 0,
        channels: channels.max(1),
        meter,
        reader,
    };
    (inlet, Outlet { samples, gaps, read: 0 })
}

/// Frames that are missing before frame number `place`.
struct Gap {
    place: u64,
    frames: u64,
}

/// The callback's end.
pub(super) struct Inlet {
    samples: Producer<f32>,
    gaps: Producer<Gap>,
    written: u64,
    missing: u64,
    channels: usize,
    meter: Arc<Meter>,
    pub(super) reader: Thread,
}

impl Inlet {
    /// Takes what the device brought. Allocates nothing, locks nothing, waits for nothing.
    pub(super) fn take<T>(&mut self, data: &[T])
    where
        T: Copy,
        f32: FromSample<T>,
    {
        let frames = data.len() / self.channels;
        let room = self.samples.slots().min(frames);
        if self.missing > 0 && room > 0 {
            let gap = Gap { place: self.written, frames: self.missing };
            if self.gaps.push(gap).is_ok() {
                self.missing = 0;
            }
        }
        let share = 1.0 / self.channels as f32;
        let mono = data.chunks_exact(self.channels).map(|frame| {
            let sum: f32 = frame.iter().map(|&sample| finite(f32::from_sample_(sample))).sum();
            sum * share
        });
        if let Ok(chunk) = self.samples.write_chunk_uninit(room) {
            self.written += chunk.fill_from_iter(mono) as u64;
        }
        let rejected = (frames - room) as u64;
        if rejected > 0 {
            self.missing += rejected;
            self.meter.overflow(rejected);
        }
        self.reader.unpark();
    }
}

fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

/// The reader's end.
pub(super) struct Outlet {
    samples: Consumer<f32>,
    gaps: Consumer<Gap>,
    read: u64,
}

/// What the ring gave.
#[derive(Default)]
pub(super) struct Taken {
    /// Frames that were lost before these.
    pub lost: u64,
    /// Mono samples at the rate of the device.
    pub samples: Vec<f32>,
}

impl Outlet {
    /// What has come since the last call, up to the next loss; nothing when nothing came.
    pub(super) fn take(&mut self) -> Option<Taken> {
        // In this order: a gap is told before the frames behind it are.
        let mut count = self.samples.slots();
        let mut lost = 0;
        if let Ok(gap) = self.gaps.peek() {
            let before = gap.place.saturating_sub(self.read);
            if before == 0 {
                lost = gap.frames;
                self.gaps.pop().ok();
                if let Ok(next) = self.gaps.peek() {
                    count = count.min(usize::try_from(next.place.saturating_sub(self.read)).unwrap_or(count));
                }
            } else {
                count = count.min(usize::try_from(before).unwrap_or(count));
            }
        }
        if count == 0 && lost == 0 {
            return None;
        }
        let mut taken = Taken { lost, samples: Vec::with_capacity(count) };
        if let Ok(chunk) = self.samples.read_chunk(count) {
            taken.samples.extend(chunk);
        }
        self.read += taken.samples.len() as u64;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, finite, ring};
    use proptest::prelude::*;
    use std::sync::Arc;

    #[test]
    fn channels_are_averaged_and_what_does_not_fit_is_lost_where_it_was() {
        let meter = Arc::new(Meter::new(1));
        let (mut inlet, mut outlet) = ring(4, 2, meter.clone(), std::thread::current());
        assert!(outlet.take().is_none());
        inlet.take::<i16>(&[0, 16384, -16384, -16384, 0, 0]);
        inlet.take::<f32>(&[1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        assert_eq!(meter.overflowed(), 2);
        let taken = outlet.take().unwrap();
        assert_eq!((taken.lost, taken.samples), (0, vec![0.25, -0.5, 0.0, 1.0]));
        assert!(outlet.take().is_none(), "nothing stands behind the gap yet");
        inlet.take::<f32>(&[0.125, 0.125]);
        let taken = outlet.take().unwrap();
        assert_eq!((taken.lost, taken.samples), (2, vec![0.125]));
    }

    #[test]
    fn samples_that_are_no_numbers_are_silence() {
        assert_eq!([f32::NAN, f32::INFINITY, 3.0, -0.5].map(finite), [0.0, 0.0, 1.0, -0.5]);
    }

    proptest! {
        /// Whatever is written and read when: every frame is read at its place or counted as lost.
        #[test]
        fn places_are_right(steps in prop::collection::vec((0_usize..40, any::<bool>()), 1..80)) {
            let meter = Arc::new(Meter::new(1));
            let (mut inlet, mut outlet) = ring(64, 1, meter, std::thread::current());
            let (mut written, mut place) = (0_u64, 0_u64);
            for (frames, reads) in steps {
                let block: Vec<i32> = (0..frames as u64).map(|i| (written + i) as i32 * 65536).collect();
                inlet.take::<i32>(&block);
                written += frames as u64;
                while reads && let Some(taken) = outlet.take() {
                    place += taken.lost;
                    for sample in taken.samples {
                        prop_assert_eq!((sample * 32768.0) as u64, place);
                        place += 1;
                    }
                }
            }
            prop_assert!(place <= written);
        }
    }
}

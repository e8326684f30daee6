//! Random numbers that depend on what they are for, never on the order in which they are asked for.

use partita_corpus::split::stable_hash;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A generator for one purpose: the same parts give the same numbers.
pub(super) fn generator(parts: &[&[u8]]) -> StdRng {
    StdRng::seed_from_u64(stable_hash(parts))
}

/// The generator of all that is done to one clip at one of its turns.
pub(super) fn of_clip(seed: u64, epoch: u64, clip: u64, repeat: u32) -> StdRng {
    let parts = [seed.to_le_bytes(), epoch.to_le_bytes(), clip.to_le_bytes()];
    let [seed, epoch, clip] = &parts;
    generator(&[b"clip", seed, epoch, clip, &repeat.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    #[test]
    fn every_turn_has_numbers_of_its_own() {
        let first = |seed, epoch, clip, repeat| of_clip(seed, epoch, clip, repeat).random::<u64>();
        assert_eq!(first(1, 2, 3, 4), first(1, 2, 3, 4));
        let mut seen = HashSet::new();
        for n in 0..50 {
            seen.extend([first(n, 0, 1, 2), first(0, n, 2, 1), first(1, 2, n, 0)]);
            seen.insert(first(2, 1, 0, n as u32));
        }
        assert_eq!(seen.len(), 200);
    }
}

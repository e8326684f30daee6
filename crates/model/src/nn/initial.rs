//! What parameters are before anything has trained them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a tensor holds that nothing has been stored for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Nothing: it must be stored.
    Stored,
    /// One value everywhere.
    Constant(f32),
    /// Draws from a normal distribution of mean 0 and this standard deviation.
    Normal(f64),
}

impl Init {
    /// Draws that keep the variance of what goes through a matrix of so many inputs.
    pub fn fan_in(inputs: usize) -> Self {
        Self::Normal((inputs.max(1) as f64).powf(-0.5))
    }

    /// What goes with a weight of this kind as its bias: zeros, or stored where that is.
    pub fn bias(self) -> Self {
        if self == Self::Stored { self } else { Self::Constant(0.0) }
    }

    /// `count` values; `None` where they must be stored. They depend on the seed and the name only,
    /// so the order in which tensors are made does not matter.
    pub(super) fn values(self, name: &str, seed: u64, count: usize) -> Option<Vec<f32>> {
        match self {
            Self::Stored => None,
            Self::Constant(value) => Some(vec![value; count]),
            Self::Normal(deviation) => {
                let mut random = StdRng::seed_from_u64(named_seed(name, seed));
                let mut pairs = std::iter::repeat_with(|| normal_pair(&mut random, deviation));
                Some(pairs.by_ref().take(count.div_ceil(2)).flatten().take(count).collect())
            }
        }
    }
}

/// A seed of a name's own: FNV-1a over it, begun from the common seed.
pub(super) fn named_seed(name: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Two independent normal draws (Box and Muller 1958).
fn normal_pair(random: &mut StdRng, deviation: f64) -> [f32; 2] {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt() * deviation;
    let (sine, cosine) = (random.random::<f64>() * std::f64::consts::TAU).sin_cos();
    [(radius * cosine) as f32, (radius * sine) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_normal_and_depend_on_seed_and_name_alone() {
        let draw = |name, seed, count| Init::Normal(0.5).values(name, seed, count).unwrap();
        let values = draw("a", 1, 100_001);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
        let moment = |power: i32| {
            values.iter().map(|&x| (f64::from(x) / 0.5).powi(power)).sum::<f64>()
                / values.len() as f64
        };
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.15);
        assert_eq!(values[..7], draw("a", 1, 7));
        assert_ne!(values[..7], draw("b", 1, 7));
        assert_ne!(values[..7], draw("a", 2, 7));
        assert_eq!(Init::Stored.values("a", 1, 3), None);
        assert_eq!(Init::Constant(2.0).values("a", 1, 3), Some(vec![2.0; 3]));
    }
}

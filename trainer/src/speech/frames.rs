//! Frames of the encoder that the adapter does not hear in training.

use candle_core::{Result, Tensor};
use rand::Rng;

/// Which share of frames is dropped, each drawn alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameDropout(pub f64);

impl FrameDropout {
    /// None at all, for measuring.
    pub const NONE: Self = Self(0.0);

    /// Sets whole vectors of `[clips, frames, width]` to zero. The others stay as long as they are:
    /// adapters begin with norms or norm what they give. Nothing is drawn where nothing is dropped.
    pub fn apply(self, heard: Tensor, random: &mut impl Rng) -> Result<Tensor> {
        if self.0 <= 0.0 {
            return Ok(heard);
        }
        let (clips, frames, _) = heard.dims3()?;
        let kept = |_| f32::from(u8::from(!random.random_bool(self.0.min(1.0))));
        let kept: Vec<f32> = (0..clips * frames).map(kept).collect();
        let kept = Tensor::from_vec(kept, (clips, frames, 1), heard.device())?;
        heard.broadcast_mul(&kept.to_dtype(heard.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn whole_frames_are_dropped_as_often_as_asked() {
        let heard = Tensor::ones((4, 500, 3), DType::F32, &Device::Cpu).unwrap();
        let drawn = |share, seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let heard = FrameDropout(share).apply(heard.clone(), &mut random).unwrap();
            (heard.to_vec3::<f32>().unwrap(), random.random::<u64>())
        };
        let (rows, _) = drawn(0.1, 1);
        let rows = rows.concat();
        assert!(rows.iter().all(|row| *row == [0.0; 3] || *row == [1.0; 3]));
        let dropped = rows.iter().filter(|row| row[0] == 0.0).count();
        assert!((140..260).contains(&dropped), "{dropped} of 2000");
        assert_eq!(drawn(0.1, 1), drawn(0.1, 1));
        assert_ne!(drawn(0.1, 1).0, drawn(0.1, 2).0);
        // Without it the generator goes on as if it were not there.
        let untouched = StdRng::seed_from_u64(1).random::<u64>();
        assert_eq!(drawn(0.0, 1), (heard.to_vec3::<f32>().unwrap(), untouched));
    }
}

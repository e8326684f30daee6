//! Batches of clips of different lengths.

use candle_core::{DType, Device, Result, Tensor, bail};

/// Which frames of a padded batch are a clip's own, so that padding cannot leak into it.
#[derive(Debug, Clone)]
pub struct FrameMask {
    /// `[batch, time]`, 1 for a clip's own frames and 0 behind them.
    own: Tensor,
}

impl FrameMask {
    /// For clips of these lengths in a batch of `time` frames; `None` where all clips fill it and
    /// there is nothing to mask.
    ///
    /// # Errors
    /// When a length is zero or more than `time`.
    pub fn new(lengths: &[usize], time: usize, device: &Device) -> Result<Option<Self>> {
        if let Some(length) = lengths.iter().find(|&&length| length == 0 || length > time) {
            bail!("a clip of {length} frames in a batch of {time}");
        }
        if lengths.iter().all(|&length| length == time) {
            return Ok(None);
        }
        let row = |&length: &usize| (0..time).map(move |at| f32::from(at < length));
        let own: Vec<f32> = lengths.iter().flat_map(row).collect();
        Ok(Some(Self { own: Tensor::from_vec(own, (lengths.len(), time), device)? }))
    }

    /// Zeroes what lies behind each clip's end; `x` is finite, `[batch, …]`, with time along
    /// `time_dim`.
    ///
    /// # Errors
    /// When `x` is of another batch or length.
    pub fn clear(&self, x: &Tensor, time_dim: usize) -> Result<Tensor> {
        let (batch, time) = self.own.dims2()?;
        let mut shape = vec![1; x.rank()];
        for (dim, size) in [(0, batch), (time_dim, time)] {
            match shape.get_mut(dim) {
                Some(place) if x.dim(dim)? == size => *place = size,
                _ => bail!("{:?} is no batch of {batch} by {time} frames", x.shape()),
            }
        }
        x.broadcast_mul(&self.own.reshape(shape)?.to_dtype(x.dtype())?)
    }

    /// What is added to attention scores `[batch, heads, queries, time]`: 0 where a key is the
    /// clip's own, -inf where it is not; `[batch, 1, 1, time]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn keys(&self, dtype: DType) -> Result<Tensor> {
        let (batch, time) = self.own.dims2()?;
        let hidden = self.own.log()?;
        hidden.reshape((batch, 1, 1, time))?.to_dtype(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_behind_the_end_are_zeroed_and_hidden() {
        let device = Device::Cpu;
        let mask = FrameMask::new(&[3, 1], 3, &device).unwrap().unwrap();
        let x = Tensor::ones((2, 3, 2), DType::F32, &device).unwrap();
        let cleared = mask.clear(&x, 1).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(cleared[0], [[1.0; 2]; 3]);
        assert_eq!(cleared[1], [[1.0; 2], [0.0; 2], [0.0; 2]]);
        let along_last = mask.clear(&x.transpose(1, 2).unwrap(), 2).unwrap();
        assert_eq!(along_last.transpose(1, 2).unwrap().to_vec3::<f32>().unwrap(), cleared);
        let keys = mask.keys(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(keys, [0.0, 0.0, 0.0, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);

        assert!(FrameMask::new(&[3, 3], 3, &device).unwrap().is_none());
        assert!(FrameMask::new(&[4, 3], 3, &device).is_err());
        assert!(FrameMask::new(&[0, 3], 3, &device).is_err());
        assert!(mask.clear(&x, 2).is_err());
    }
}

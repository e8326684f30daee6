//! Keys and values of tokens already seen.

use candle_core::{Result, Tensor};

/// Positions added when a cache is full.
const GROWTH: usize = 64;

/// Keys and values `[batch, heads, time, width]` of one attention layer.
///
/// The buffers grow in steps, so adding a token costs the token and not the text before it.
/// Dropping the last positions ([`KvCache::truncate`]) is free: text can be rolled back.
#[derive(Debug, Default)]
pub struct KvCache {
    buffers: Option<(Tensor, Tensor)>,
    length: usize,
}

impl KvCache {
    /// Positions held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A cache of its own with the same content; adding to one leaves the other as it is.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn fork(&self) -> Result<Self> {
        let buffers = match &self.buffers {
            Some((keys, values)) => Some((keys.copy()?, values.copy()?)),
            None => None,
        };
        Ok(Self { buffers, length: self.length })
    }

    /// Rows of the batch.
    pub fn batch(&self) -> usize {
        self.buffers.as_ref().and_then(|(keys, _)| keys.dims().first().copied()).unwrap_or(1)
    }

    /// Adds keys and values and returns all that are held, the new ones last.
    ///
    /// # Errors
    /// When the shapes do not fit those before.
    pub fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let added = keys.dim(2)?;
        let needed = self.length + added;
        let capacity = match &self.buffers {
            Some((keys, _)) => keys.dim(2)?,
            None => 0,
        };
        if needed > capacity {
            let grow = |old: Option<&Tensor>, like: &Tensor| -> Result<Tensor> {
                let (batch, heads, _, width) = like.dims4()?;
                let shape = (batch, heads, needed.div_ceil(GROWTH) * GROWTH, width);
                let buffer = Tensor::zeros(shape, like.dtype(), like.device())?;
                if let Some(old) = old {
                    buffer.slice_set(&old.narrow(2, 0, self.length)?.contiguous()?, 2, 0)?;
                }
                Ok(buffer)
            };
            let old = self.buffers.take().filter(|_| self.length > 0);
            self.buffers = Some((
                grow(old.as_ref().map(|(keys, _)| keys), keys)?,
                grow(old.as_ref().map(|(_, values)| values), values)?,
            ));
        }
        let Some((all_keys, all_values)) = &self.buffers else {
            return Ok((keys.clone(), values.clone()));
        };
        all_keys.slice_set(&keys.contiguous()?, 2, self.length)?;
        all_values.slice_set(&values.contiguous()?, 2, self.length)?;
        self.length = needed;
        Ok((all_keys.narrow(2, 0, needed)?, all_values.narrow(2, 0, needed)?))
    }

    /// Keeps the first `length` positions.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Makes row `i` of the batch the former row `rows[i]`; the batch may grow or shrink.
    ///
    /// # Errors
    /// When an index is not smaller than the batch.
    pub fn select(&mut self, rows: &Tensor) -> Result<()> {
        if let Some((keys, values)) = &self.buffers {
            self.buffers = Some((keys.index_select(rows, 0)?, values.index_select(rows, 0)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn grows_rolls_back_and_reorders() {
        let part = |from: f32, time: usize| {
            let count = (2 * 3 * time * 4) as f32;
            Tensor::arange(from, from + count, &Device::Cpu)
                .unwrap()
                .reshape((2, 3, time, 4))
                .unwrap()
        };
        let mut cache = KvCache::default();
        let (a, b, c) = (part(0.0, 60), part(5000.0, 10), part(9000.0, 1));
        cache.append(&a, &a).unwrap();
        let (keys, _) = cache.append(&b, &b).unwrap();
        let expected = Tensor::cat(&[&a, &b], 2).unwrap();
        let same = |x: &Tensor, y: &Tensor| {
            x.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                == y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert!(same(&keys, &expected));
        cache.truncate(61);
        cache.select(&Tensor::new(&[1u32, 1, 0], &Device::Cpu).unwrap()).unwrap();
        let c = Tensor::cat(&[&c, &c.narrow(0, 0, 1).unwrap()], 0).unwrap();
        let (keys, _) = cache.append(&c, &c).unwrap();
        assert_eq!(keys.dims(), [3, 3, 62, 4]);
        let old = expected.narrow(2, 0, 61).unwrap();
        assert!(same(
            &keys.narrow(2, 0, 61).unwrap().narrow(0, 1, 1).unwrap(),
            &old.narrow(0, 1, 1).unwrap()
        ));
        assert!(same(&keys.narrow(2, 61, 1).unwrap(), &c));
    }
}

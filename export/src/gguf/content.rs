//! What a file is to hold, and how it gets there: quantized a few rows at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use half::f16;
use partita_model::files::gguf::{GgufWriter, TensorSpec};
use partita_model::files::{TensorKind, Value, WeightFile};
use partita_model::nn::{Repack, repacking};
use rayon::prelude::*;

use super::encode::{AT_ONCE, Blocks, Loss, joined};
use super::quant::Choice;
use crate::interrupt;

/// How much each column matters, by the tensor's name: mean squares of what comes in by it.
pub type Importance = BTreeMap<String, Vec<f32>>;

/// One file to be: metadata and tensors, in order.
pub struct Plan<'a> {
    /// Typed keys.
    pub metadata: Vec<(String, Value)>,
    /// Tensors.
    pub items: Vec<Item<'a>>,
    /// How much each column of a matrix matters, by the tensor's name, where that is known.
    pub importance: Importance,
}

/// One tensor to be.
pub struct Item<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape, in PyTorch order.
    pub shape: Vec<usize>,
    /// Its type.
    pub choice: Choice,
    /// Where its values come from.
    pub content: Content<'a>,
}

/// Where values come from.
pub enum Content<'a> {
    /// Rows of a matrix of a file, in this order; those of blocks that become the wanted ones without
    /// loss are copied.
    Rows {
        /// The file.
        file: &'a WeightFile,
        /// Its tensor.
        name: String,
        /// Which rows.
        rows: Vec<u32>,
        /// Others, by their place among `rows`; places beyond `rows` come after them.
        replaced: BTreeMap<usize, Vec<f32>>,
    },
    /// Values that are made when their turn comes.
    Made(Box<dyn Fn() -> Result<Vec<f32>> + Sync + 'a>),
}

impl<'a> Plan<'a> {
    /// A file in which all columns matter alike.
    pub fn new(metadata: Vec<(String, Value)>, items: Vec<Item<'a>>) -> Self {
        Self { metadata, items, importance: Importance::new() }
    }

    /// A string of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.as_str()
    }

    /// A value of the metadata.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// A tensor.
    pub fn item(&self, name: &str) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.name == name)
    }

    /// Number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.items
            .iter()
            .map(|item| item.shape.iter().map(|&dim| dim as u64).product::<u64>())
            .sum()
    }

    /// Which tensors go into which of several files of about `most` bytes; a tensor is never cut.
    pub fn shards(&self, most: u64) -> Vec<Range<usize>> {
        let (mut shards, mut begin, mut size) = (Vec::new(), 0, 0);
        for (place, item) in self.items.iter().enumerate() {
            let bytes = item.bytes();
            if size > 0 && size + bytes > most {
                shards.push(begin..place);
                (begin, size) = (place, 0);
            }
            size += bytes;
        }
        shards.push(begin..self.items.len());
        shards
    }

    /// Writes a file with these keys and tensors, and says what rounding cost, tensor by tensor.
    ///
    /// # Errors
    /// When the file cannot be written, a source cannot be read, a value is not finite or too large
    /// for its type, or [`interrupt::stop`] was called; nothing is left at `path` then.
    pub fn write(
        &self,
        path: &Path,
        metadata: &[(String, Value)],
        items: Range<usize>,
    ) -> Result<Vec<Loss>> {
        let items = self.items.get(items).context("no such tensors")?;
        let spec = |item: &Item| TensorSpec {
            name: item.name.clone(),
            shape: item.shape.clone(),
            kind: item.choice.kind,
        };
        let specs: Vec<_> = items.iter().map(spec).collect();
        let mut writer = GgufWriter::create(path, metadata, &specs)?;
        let mut losses = Vec::with_capacity(items.len());
        for item in items {
            interrupt::check()?;
            let importance = self.importance.get(&item.name).map(Vec::as_slice);
            let encoded = item.encode(importance);
            let (bytes, loss) = encoded.with_context(|| format!("tensor `{}`", item.name))?;
            if !(loss.meant.is_finite() && loss.missed.is_finite()) {
                let kind = item.choice.kind;
                bail!(
                    "rule finite-values: tensor `{}` has values that {kind} cannot hold",
                    item.name
                );
            }
            writer.tensor(&item.name, &bytes)?;
            losses.push(loss);
        }
        writer.finish()?;
        Ok(losses)
    }
}

impl Item<'_> {
    /// Its length in the file.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&dim| dim as u64).product();
        self.choice.kind.block().map_or(0, |(block, bytes)| elements / block * bytes)
    }

    /// The length of a row in the file.
    pub fn row_bytes(&self) -> u64 {
        let row = self.shape.last().copied().unwrap_or(0) as u64;
        self.choice.kind.block().map_or(0, |(block, bytes)| row / block * bytes)
    }

    fn encode(&self, importance: Option<&[f32]>) -> Result<(Vec<u8>, Loss)> {
        let row = self.shape.last().copied().unwrap_or(1).max(1);
        let blocks = Blocks { row, kind: self.choice.kind, importance };
        match &self.content {
            Content::Made(make) => {
                let values = make()?;
                let wanted: usize = self.shape.iter().product();
                if values.len() != wanted {
                    bail!("{} values for shape {:?}", values.len(), self.shape);
                }
                blocks.encode(&values)
            }
            Content::Rows { file, name, rows, replaced } => {
                let count = self.shape.first().copied().unwrap_or(0);
                let places: Vec<usize> = (0..count).collect();
                let repack = lossless(file.tensor(name)?.kind, self.choice.kind);
                let parts = places
                    .par_chunks((AT_ONCE / row).max(1))
                    .map(|places| part(file, name, (rows, replaced), places, (blocks, repack)));
                joined(parts.collect::<Result<_>>()?)
            }
        }
    }
}

/// How rows of a type become another without loss: as they are, or in wider blocks.
fn lossless(from: TensorKind, to: TensorKind) -> Option<Repack> {
    match (from, to) {
        (from, to) if from == to => Some(|row, out| out.extend_from_slice(row)),
        (from, TensorKind::Q8_0) => repacking(from),
        (TensorKind::Q5_0, TensorKind::Q5_1) => Some(|row, out| {
            for block in row.as_chunks::<22>().0 {
                let [low, high, bits @ ..] = block;
                // d (q - 16) = d q - 16 d, and sixteen times a half is a half, unless too large.
                let least = f16::from_f32(-16.0 * f16::from_le_bytes([*low, *high]).to_f32());
                out.extend([*low, *high]);
                out.extend(least.to_le_bytes());
                out.extend(bits);
            }
        }),
        _ => None,
    }
}

/// Some rows of a matrix.
fn part(
    file: &WeightFile,
    name: &str,
    (rows, replaced): (&[u32], &BTreeMap<usize, Vec<f32>>),
    places: &[usize],
    (blocks, repack): (Blocks, Option<Repack>),
) -> Result<(Vec<u8>, Loss)> {
    interrupt::check()?;
    let stored = |place: &usize| {
        let found = rows.get(*place).copied();
        found.with_context(|| format!("no row for place {place}"))
    };
    if let Some(repack) = repack {
        let (mut bytes, mut loss) = (Vec::new(), Loss::default());
        for place in places {
            match replaced.get(place) {
                Some(values) => {
                    let (own, lost) = blocks.encode_rows(values)?;
                    bytes.extend(own);
                    loss += lost;
                }
                None => repack(file.row_bytes(name, stored(place)?)?, &mut bytes),
            }
        }
        return Ok((bytes, loss));
    }
    let mut values = Vec::with_capacity(places.len() * blocks.row);
    for place in places {
        match replaced.get(place) {
            Some(own) => values.extend_from_slice(own),
            None => values.extend(file.rows(name, &[stored(place)?])?),
        }
    }
    blocks.encode_rows(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};
    use partita_model::files::gguf::write_gguf;

    #[test]
    fn blocks_become_wider_ones_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..4 * 96).map(|i| (i as f32 * 0.37).sin() * 0.1).collect();
        let tensor = Tensor::from_vec(values, (4, 96), &Device::Cpu).unwrap();
        for (from, to) in [
            (TensorKind::Q4_0, TensorKind::Q8_0),
            (TensorKind::Q5_0, TensorKind::Q8_0),
            (TensorKind::Q5_0, TensorKind::Q5_1),
            (TensorKind::Q5_0, TensorKind::Q5_0),
        ] {
            let stored = QTensor::quantize(&tensor, from.candle().unwrap()).unwrap();
            let path = folder.path().join("from.gguf");
            write_gguf(&path, &[], &[("w", &stored)]).unwrap();
            let file = WeightFile::open(&path).unwrap();
            let rows = vec![3, 0, 2];
            let replaced = BTreeMap::new();
            let content = Content::Rows { file: &file, name: "w".to_owned(), rows, replaced };
            let choice = Choice { kind: to, instead_of: None };
            let (name, shape) = ("w".to_owned(), vec![3, 96]);
            let plan = Plan::new(Vec::new(), vec![Item { name, shape, choice, content }]);
            let path = folder.path().join("to.gguf");
            let losses = plan.write(&path, &[], 0..1).unwrap();
            let found = WeightFile::open(&path).unwrap();
            assert_eq!(found.floats("w").unwrap().1, file.rows("w", &[3, 0, 2]).unwrap(), "{to}");
            assert_eq!(losses[0].missed, 0.0);
        }
    }
}

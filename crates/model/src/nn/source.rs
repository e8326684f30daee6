//! Where layers get their weights from.

use super::reblock::{ROW, reblock};
use super::{Conv1d, Init, LayerNorm, Linear, Mode, RmsNorm};
use crate::error::ModelError;
use crate::files::{FileError, WeightFile};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Gives layers by the names of their weights: `NAME.weight`, `NAME.bias`.
///
/// Layers that may be trained from nothing ask with an [`Init`]; sources for inference have all
/// tensors stored and do not look at it, so one definition of a network serves both.
pub trait WeightSource {
    /// The form of operations that the layers shall use.
    fn mode(&self) -> Mode;

    /// One f32 tensor of exactly this shape.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError>;

    /// A linear layer with weight of shape `(outputs, inputs)`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    fn linear(&self, name: &str, shape: (usize, usize), bias: bool) -> Result<Linear, ModelError>;

    /// A linear layer over some rows of a weight of `file`, in that order and without bias; never
    /// trained. Floats, unless the source holds quantized weights.
    ///
    /// # Errors
    /// When the tensor is missing or no matrix, or a row is beyond it.
    fn linear_of_rows(
        &self,
        file: &WeightFile,
        name: &str,
        rows: &[u32],
        device: &Device,
    ) -> Result<Linear, ModelError> {
        let values = file.rows(&format!("{name}.weight"), rows)?;
        let width = values.len() / rows.len().max(1);
        let weight = Tensor::from_vec(values, (rows.len(), width), device)?;
        Ok(Linear::float(weight, None, self.mode()))
    }

    /// As [`WeightSource::tensor`]; in training it may begin as `init`.
    ///
    /// # Errors
    /// When it is missing where it must be stored, or has another shape.
    fn tensor_or(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, ModelError> {
        let _ = init;
        self.tensor(name, shape)
    }

    /// As [`WeightSource::linear`]; in training the weight may begin as `init`, the bias as zeros.
    ///
    /// # Errors
    /// When a tensor is missing where it must be stored, or has another shape.
    fn linear_or(
        &self,
        name: &str,
        shape: (usize, usize),
        bias: bool,
        init: Init,
    ) -> Result<Linear, ModelError> {
        let _ = init;
        self.linear(name, shape, bias)
    }

    /// Layer normalisation of this width.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    fn layer_norm(&self, name: &str, width: usize) -> Result<LayerNorm, ModelError> {
        self.layer_norm_or(name, width, Init::Stored)
    }

    /// As [`WeightSource::layer_norm`]; in training the gain may begin as `init`, the bias as zeros.
    ///
    /// # Errors
    /// When a tensor is missing where it must be stored, or has another shape.
    fn layer_norm_or(&self, name: &str, width: usize, init: Init) -> Result<LayerNorm, ModelError> {
        let gain = self.tensor_or(&format!("{name}.weight"), &[width], init)?;
        let bias = self.tensor_or(&format!("{name}.bias"), &[width], init.bias())?;
        Ok(LayerNorm::new(gain, bias, 1e-5, self.mode()))
    }

    /// Root-mean-square normalisation of this width.
    ///
    /// # Errors
    /// When the gain is missing or has another shape.
    fn rms_norm(&self, name: &str, width: usize, epsilon: f32) -> Result<RmsNorm, ModelError> {
        self.rms_norm_or(name, width, epsilon, Init::Stored)
    }

    /// As [`WeightSource::rms_norm`]; in training the gain may begin as `init`.
    ///
    /// # Errors
    /// When the gain is missing where it must be stored, or has another shape.
    fn rms_norm_or(
        &self,
        name: &str,
        width: usize,
        epsilon: f32,
        init: Init,
    ) -> Result<RmsNorm, ModelError> {
        let gain = self.tensor_or(&format!("{name}.weight"), &[width], init)?;
        Ok(RmsNorm::new(gain, epsilon, self.mode()))
    }

    /// A convolution with weight `[outputs, inputs, kernel]`, `kernel` odd, zero-padded so that
    /// `t` frames become `ceil(t / stride)`; in training the weight may begin as `init`, the bias
    /// as zeros.
    ///
    /// # Errors
    /// When a tensor is missing where it must be stored, or has another shape.
    fn convolution(
        &self,
        name: &str,
        [outputs, inputs, kernel]: [usize; 3],
        stride: usize,
        init: Init,
    ) -> Result<Conv1d, ModelError> {
        let weight = self.tensor_or(&format!("{name}.weight"), &[outputs, inputs, kernel], init)?;
        let bias = self.tensor_or(&format!("{name}.bias"), &[outputs], init.bias())?;
        Ok(Conv1d::new(weight, bias, kernel / 2, stride, self.mode())?)
    }
}

/// What the processor offers to candle's quantized products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorLevel {
    /// 8-bit dot products (AVX-512 VNNI or AVX-VNNI): Q8_0 is fastest.
    Vnni,
    /// x86 with AVX2 but no 8-bit dot products: K-quants for single rows, f32 for long inputs.
    Avx2,
    /// Anything else; ARM has its own fast Q8_0.
    Other,
}

impl ProcessorLevel {
    /// The level of this machine, or a lower one forced by the variables that candle reads too
    /// (`MISTRALRS_FORCE_AVX2=1`, `MISTRALRS_FORCE_AVXVNNI=1`).
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let forced = |name: &str| std::env::var(name).is_ok_and(|value| value == "1");
            let vnni = forced("MISTRALRS_FORCE_AVXVNNI")
                || is_x86_feature_detected!("avxvnni")
                || (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"));
            if vnni && !forced("MISTRALRS_FORCE_AVX2") {
                return Self::Vnni;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Other
    }

    /// The type that single rows (decoding) are fastest with at little loss.
    pub fn decoding_type(self) -> GgmlDType {
        match self {
            Self::Avx2 => GgmlDType::Q6K,
            Self::Vnni | Self::Other => GgmlDType::Q8_0,
        }
    }
}

/// How linear weights of a file are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As f32.
    Float,
    /// As the file has them; floats as f32.
    Stored,
    /// In the quantized type that is fastest here for single rows; types of fewer bits stay.
    Decoding,
    /// In the form that is fastest here for many rows at once.
    Prefill,
}

/// Layers for inference from a weight file of ours.
#[derive(Debug)]
pub struct FileSource<'a> {
    file: &'a WeightFile,
    device: Device,
    precision: Precision,
    level: ProcessorLevel,
}

impl<'a> FileSource<'a> {
    /// Reads from `file` to `device`.
    pub fn new(file: &'a WeightFile, device: &Device, precision: Precision) -> Self {
        Self { file, device: device.clone(), precision, level: ProcessorLevel::detect() }
    }

    /// The same file, held otherwise.
    pub fn with(&self, precision: Precision) -> Self {
        Self { file: self.file, device: self.device.clone(), precision, level: self.level }
    }

    /// The device that layers are made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A matrix `[rows, columns]` in the type that the precision asks for, where that type takes
    /// rows of this length; as it is stored otherwise.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn matrix(&self, name: &str, shape: &[usize]) -> Result<QTensor, ModelError> {
        let found = &self.file.tensor(name)?.shape;
        self.expect_shape(name, found, shape)?;
        let stored = self.file.qtensor(name, &self.device)?;
        let wanted = self.wanted(stored.dtype(), shape);
        let row = shape.last().copied().unwrap_or(0);
        if wanted == stored.dtype() || !row.is_multiple_of(wanted.block_size()) {
            return Ok(stored);
        }
        let values = stored.dequantize(&self.device)?;
        Ok(QTensor::quantize(&values, wanted)?)
    }

    /// The weight of a linear layer, with rows padded to what is fast.
    fn weight(&self, name: &str, shape: &[usize]) -> Result<QTensor, ModelError> {
        let stored = self.file.tensor(name)?;
        self.expect_shape(name, &stored.shape, shape)?;
        let kind = stored.kind.candle().unwrap_or(GgmlDType::F32);
        let wanted = self.wanted(kind, shape);
        let is_as_wanted =
            wanted == kind && (wanted.block_size() == 1 || is_fast_row(shape) || !self.pads());
        match is_as_wanted {
            true => Ok(self.file.qtensor(name, &self.device)?),
            false => reblock(self.file, name, None, wanted, &self.device),
        }
    }

    /// Whether rows are padded to what fast products take.
    fn pads(&self) -> bool {
        self.device.is_cpu() && matches!(self.precision, Precision::Decoding | Precision::Prefill)
    }

    /// The type to hold a matrix in that is stored in another.
    fn wanted(&self, stored: GgmlDType, shape: &[usize]) -> GgmlDType {
        match self.precision {
            _ if !self.device.is_cpu() => stored,
            Precision::Stored => stored,
            Precision::Float => GgmlDType::F32,
            Precision::Prefill if self.level == ProcessorLevel::Avx2 => GgmlDType::F32,
            Precision::Decoding | Precision::Prefill => self.fitting(stored, shape),
        }
    }

    /// The stored type, or the level's own where the stored one has no fast product here.
    fn fitting(&self, stored: GgmlDType, shape: &[usize]) -> GgmlDType {
        let fast = match stored {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => true,
            GgmlDType::Q4K | GgmlDType::Q6K => is_fast_row(shape),
            other => other == self.level.decoding_type() && is_fast_row(shape),
        };
        if fast { stored } else { self.level.decoding_type() }
    }

    fn layer(&self, weight: QTensor, bias: Option<Tensor>) -> Result<Linear, ModelError> {
        if matches!(weight.dtype(), GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            let weight = weight.dequantize(&self.device)?;
            return Ok(Linear::float(weight, bias, Mode::Inference));
        }
        Ok(Linear::quantized(Arc::new(weight), bias)?)
    }

    fn expect_shape(
        &self,
        name: &str,
        found: &[usize],
        wanted: &[usize],
    ) -> Result<(), ModelError> {
        if found == wanted {
            return Ok(());
        }
        let reason = format!("shape {found:?}, wanted {wanted:?}");
        let (path, name) = (self.file.path().to_owned(), name.to_owned());
        Err(FileError::Tensor { path, name, reason }.into())
    }
}

/// Whether candle has fast quantized products for rows of this length.
fn is_fast_row(shape: &[usize]) -> bool {
    shape.last().is_some_and(|row| row.is_multiple_of(ROW))
}

impl WeightSource for FileSource<'_> {
    fn mode(&self) -> Mode {
        Mode::Inference
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let (found, values) = self.file.floats(name)?;
        self.expect_shape(name, &found, shape)?;
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    fn linear(
        &self,
        name: &str,
        (outputs, inputs): (usize, usize),
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = match bias {
            true => Some(self.tensor(&format!("{name}.bias"), &[outputs])?),
            false => None,
        };
        self.layer(weight, bias)
    }

    fn linear_of_rows(
        &self,
        file: &WeightFile,
        name: &str,
        rows: &[u32],
        device: &Device,
    ) -> Result<Linear, ModelError> {
        let name = format!("{name}.weight");
        let stored = file.tensor(&name)?;
        let wanted = self.wanted(stored.kind.candle().unwrap_or(GgmlDType::F32), &stored.shape);
        self.layer(reblock(file, &name, Some(rows), wanted, device)?, None)
    }
}

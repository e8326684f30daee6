//! Which type each tensor gets: llama.cpp's mixtures, with its fallbacks by row length.

use partita_model::files::TensorKind;

/// A quantization by its usual name. Those with `M` mix types as `llama-quantize` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "names of the field")]
pub enum Quant {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q6K,
    Q5KM,
    Q4KM,
    Q4_0,
}

/// A tensor's type, and the type that it would have had with rows of another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// What is written.
    pub kind: TensorKind,
    /// What was wanted, where its blocks do not divide the rows.
    pub instead_of: Option<TensorKind>,
}

/// Name, `general.file_type`, type of matrices.
type Row = (Quant, &'static str, u32, TensorKind);

const ROWS: [Row; 8] = [
    (Quant::F32, "F32", 0, TensorKind::F32),
    (Quant::F16, "F16", 1, TensorKind::F16),
    (Quant::Bf16, "BF16", 32, TensorKind::BF16),
    (Quant::Q8_0, "Q8_0", 7, TensorKind::Q8_0),
    (Quant::Q6K, "Q6_K", 18, TensorKind::Q6_K),
    (Quant::Q5KM, "Q5_K_M", 17, TensorKind::Q5_K),
    (Quant::Q4KM, "Q4_K_M", 15, TensorKind::Q4_K),
    (Quant::Q4_0, "Q4_0", 2, TensorKind::Q4_0),
];

impl Quant {
    /// All, best first.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.0 == self).unwrap_or(&ROWS[0])
    }

    /// Name as in file names: `Q4_K_M`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The quantization of this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.row().2
    }

    /// What encoder and adapter get beside a language model of this quantization: they are a tenth
    /// of the bytes, and what they lose no later layer can put right.
    pub fn for_projector(self) -> Self {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => self,
            _ => Self::Q8_0,
        }
    }

    /// The type of a tensor `shape` (PyTorch order) in a file whose networks have `layers` layers
    /// each; `output` says whether it is the output matrix, tied or not.
    ///
    /// Matrices get the mixture's types, convolutions F16, and all else (norms, biases, positions)
    /// F32.
    pub fn choose(self, name: &str, shape: &[usize], layers: usize, output: bool) -> Choice {
        let plain = |kind| Choice { kind, instead_of: None };
        let is_matrix = name.ends_with(".weight")
            && shape.len() >= 2
            && !name.contains("position_embd")
            && !name.contains("norm");
        if !is_matrix || self == Self::F32 {
            return plain(TensorKind::F32);
        }
        if shape.len() > 2 {
            return plain(TensorKind::F16);
        }
        let own = self.row().3;
        let is_mixture = matches!(self, Self::Q5KM | Self::Q4KM);
        let wanted = match self {
            Self::Q8_0 | Self::F16 | Self::Bf16 => own,
            _ if output => TensorKind::Q6_K,
            _ if is_mixture && wants_more_bits(name, layers) => TensorKind::Q6_K,
            _ => own,
        };
        let row = shape.last().copied().unwrap_or(0);
        let mut kind = wanted;
        while !fits(kind, row) {
            kind = match kind {
                TensorKind::Q4_K => TensorKind::Q5_0,
                TensorKind::Q5_K => TensorKind::Q5_1,
                TensorKind::Q6_K => TensorKind::Q8_0,
                _ => TensorKind::F16,
            };
        }
        Choice { kind, instead_of: (kind != wanted).then_some(wanted) }
    }
}

impl std::fmt::Display for Quant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Whether rows of this length are whole blocks.
fn fits(kind: TensorKind, row: usize) -> bool {
    kind.block().is_none_or(|(block, _)| (row as u64).is_multiple_of(block))
}

/// What a mixture spends more bits on: values and the way down, in the first and the last eighth of
/// the layers and in every third between.
fn wants_more_bits(name: &str, layers: usize) -> bool {
    let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
    let Some(layer) = layer(name).filter(|_| matches!(part, "attn_v" | "ffn_down" | "cross_v"))
    else {
        return false;
    };
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// `N` of a name with `blk.N.` in it.
fn layer(name: &str) -> Option<usize> {
    let (_, rest) = name.split_once("blk.")?;
    rest.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of the published Gemma 3 270M in Q4_K_M, which `llama-quantize` made: rows of 640
    /// are no multiple of 256.
    #[test]
    fn the_mixture_is_that_of_llama_quantize() {
        let of = |name: &str, shape: &[usize]| Quant::Q4KM.choose(name, shape, 18, false).kind;
        for layer in 0..18 {
            let more = [0, 1, 4, 7, 10, 13, 15, 16, 17].contains(&layer);
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let down = if more { TensorKind::Q6_K } else { TensorKind::Q4_K };
            let value = if more { TensorKind::Q8_0 } else { TensorKind::Q5_0 };
            assert_eq!(of(&name("ffn_down"), &[640, 2048]), down, "{layer}");
            assert_eq!(of(&name("attn_v"), &[256, 640]), value, "{layer}");
            assert_eq!(of(&name("attn_q"), &[1024, 640]), TensorKind::Q5_0);
            assert_eq!(of(&name("attn_output"), &[640, 1024]), TensorKind::Q4_K);
            assert_eq!(of(&name("attn_q_norm"), &[256]), TensorKind::F32);
        }
        let table = Quant::Q4KM.choose("token_embd.weight", &[262_144, 640], 18, true);
        assert_eq!(table.kind, TensorKind::Q8_0);
        assert_eq!(table.instead_of, Some(TensorKind::Q6_K));
    }

    #[test]
    fn rows_that_no_block_divides_fall_back_in_steps() {
        let of = |quant: Quant, row| quant.choose("blk.1.attn_q.weight", &[8, row], 4, false);
        assert_eq!(of(Quant::Q5KM, 512).kind, TensorKind::Q5_K);
        assert_eq!(of(Quant::Q5KM, 96).kind, TensorKind::Q5_1);
        assert_eq!(of(Quant::Q6K, 96).kind, TensorKind::Q8_0);
        assert_eq!(of(Quant::Q4_0, 48).kind, TensorKind::F16);
        assert_eq!(of(Quant::Q4KM, 48).instead_of, Some(TensorKind::Q4_K));
        assert_eq!(of(Quant::Q8_0, 64), Choice { kind: TensorKind::Q8_0, instead_of: None });
    }

    #[test]
    fn what_is_no_matrix_stays_float() {
        for quant in Quant::all() {
            let of = |name: &str, shape: &[usize]| quant.choose(name, shape, 4, false).kind;
            assert_eq!(of("a.position_embd.weight", &[1500, 512]), TensorKind::F32);
            assert_eq!(of("a.conv1d.1.bias", &[512, 1]), TensorKind::F32);
            assert_eq!(of("mm.a.norm_pre.weight", &[2048]), TensorKind::F32);
            let convolution = of("a.conv1d.2.weight", &[512, 512, 3]);
            let wanted = if quant == Quant::F32 { TensorKind::F32 } else { TensorKind::F16 };
            assert_eq!(convolution, wanted, "{quant}");
            assert_eq!(Quant::from_name(&quant.name().to_lowercase()), Some(quant));
        }
    }
}

//! Element types of all formats, with their block sizes.

use candle_core::quantized::GgmlDType;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $ggml:tt $block:literal $bytes:literal,)*) => {
        /// How a tensor's elements are stored: plain numbers, or ggml's blocks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(non_camel_case_types, missing_docs)]
        pub enum TensorKind {
            $($(#[$doc])* $kind,)*
            /// A ggml type id that is not known here: listed, never decoded.
            Unknown(u32),
        }

        impl TensorKind {
            const KNOWN: &[(Self, &str, Option<u32>, u64, u64)] =
                &[$((Self::$kind, $name, kinds!(@id $ggml), $block, $bytes),)*];
        }
    };
    (@id _) => { None };
    (@id $id:literal) => { Some($id) };
}

// Type, name, ggml id, elements of a block, bytes of a block.
kinds! {
    F32 "F32" 0 1 4,
    F16 "F16" 1 1 2,
    BF16 "BF16" 30 1 2,
    F64 "F64" 28 1 8,
    I8 "I8" 24 1 1,
    I16 "I16" 25 1 2,
    I32 "I32" 26 1 4,
    I64 "I64" 27 1 8,
    U8 "U8" _ 1 1,
    U16 "U16" _ 1 2,
    U32 "U32" _ 1 4,
    U64 "U64" _ 1 8,
    Bool "BOOL" _ 1 1,
    C64 "C64" _ 1 8,
    F4 "F4" _ 2 1,
    F6_E2M3 "F6_E2M3" _ 4 3,
    F6_E3M2 "F6_E3M2" _ 4 3,
    F8_E5M2 "F8_E5M2" _ 1 1,
    F8_E4M3 "F8_E4M3" _ 1 1,
    F8_E8M0 "F8_E8M0" _ 1 1,
    F8_E4M3FNUZ "F8_E4M3FNUZ" _ 1 1,
    F8_E5M2FNUZ "F8_E5M2FNUZ" _ 1 1,
    Q4_0 "Q4_0" 2 32 18,
    Q4_1 "Q4_1" 3 32 20,
    Q5_0 "Q5_0" 6 32 22,
    Q5_1 "Q5_1" 7 32 24,
    Q8_0 "Q8_0" 8 32 34,
    /// For activations; not met in files.
    Q8_1 "Q8_1" 9 32 36,
    Q2_K "Q2_K" 10 256 84,
    Q3_K "Q3_K" 11 256 110,
    Q4_K "Q4_K" 12 256 144,
    Q5_K "Q5_K" 13 256 176,
    Q6_K "Q6_K" 14 256 210,
    /// For activations; not met in files.
    Q8_K "Q8_K" 15 256 292,
    IQ2_XXS "IQ2_XXS" 16 256 66,
    IQ2_XS "IQ2_XS" 17 256 74,
    IQ3_XXS "IQ3_XXS" 18 256 98,
    IQ1_S "IQ1_S" 19 256 50,
    IQ4_NL "IQ4_NL" 20 32 18,
    IQ3_S "IQ3_S" 21 256 110,
    IQ2_S "IQ2_S" 22 256 82,
    IQ4_XS "IQ4_XS" 23 256 136,
    IQ1_M "IQ1_M" 29 256 56,
    TQ1_0 "TQ1_0" 34 256 54,
    TQ2_0 "TQ2_0" 35 256 66,
    MXFP4 "MXFP4" 39 32 17,
}

impl TensorKind {
    fn row(self) -> Option<&'static (Self, &'static str, Option<u32>, u64, u64)> {
        Self::KNOWN.iter().find(|row| row.0 == self)
    }

    /// The type of a ggml type id.
    pub fn from_ggml(id: u32) -> Self {
        Self::KNOWN.iter().find(|row| row.2 == Some(id)).map_or(Self::Unknown(id), |row| row.0)
    }

    /// The ggml type id, for the types that a GGUF file can hold.
    pub fn ggml(self) -> Option<u32> {
        match self {
            Self::Unknown(id) => Some(id),
            known => known.row().and_then(|row| row.2),
        }
    }

    /// Elements and bytes of one block (1 element for plain types); `None` for unknown ids.
    pub fn block(self) -> Option<(u64, u64)> {
        self.row().map(|row| (row.3, row.4))
    }

    /// The usual name, such as `Q4_K`; `type 99` for unknown ids.
    pub fn name(self) -> String {
        match self {
            Self::Unknown(id) => format!("type {id}"),
            known => known.row().map_or_else(String::new, |row| row.1.to_owned()),
        }
    }

    /// Whether elements share scales in blocks, as ggml's quantized types do.
    pub fn is_quantized(self) -> bool {
        self >= Self::Q4_0
    }

    /// candle's name of the type, where candle reads it from files.
    pub fn candle(self) -> Option<GgmlDType> {
        Some(match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::BF16 => GgmlDType::BF16,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q2_K => GgmlDType::Q2K,
            Self::Q3_K => GgmlDType::Q3K,
            Self::Q4_K => GgmlDType::Q4K,
            Self::Q5_K => GgmlDType::Q5K,
            Self::Q6_K => GgmlDType::Q6K,
            _ => return None,
        })
    }
}

impl From<GgmlDType> for TensorKind {
    fn from(kind: GgmlDType) -> Self {
        match kind {
            GgmlDType::F32 => Self::F32,
            GgmlDType::F16 => Self::F16,
            GgmlDType::BF16 => Self::BF16,
            GgmlDType::Q4_0 => Self::Q4_0,
            GgmlDType::Q4_1 => Self::Q4_1,
            GgmlDType::Q5_0 => Self::Q5_0,
            GgmlDType::Q5_1 => Self::Q5_1,
            GgmlDType::Q8_0 => Self::Q8_0,
            GgmlDType::Q8_1 => Self::Q8_1,
            GgmlDType::Q2K => Self::Q2_K,
            GgmlDType::Q3K => Self::Q3_K,
            GgmlDType::Q4K => Self::Q4_K,
            GgmlDType::Q5K => Self::Q5_K,
            GgmlDType::Q6K => Self::Q6_K,
            GgmlDType::Q8K => Self::Q8_K,
        }
    }
}

impl std::fmt::Display for TensorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name())
    }
}

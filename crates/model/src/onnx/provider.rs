//! What computes within ONNX Runtime.

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use std::fmt;
use std::path::Path;

/// An execution provider. Which there are depends on the library and its platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// The processor; every library has it.
    #[default]
    Cpu,
    /// NVIDIA cards.
    Cuda,
    /// Apple's accelerators.
    CoreMl,
    /// DirectX 12 cards of Windows.
    DirectMl,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::CoreMl, Self::DirectMl];

    /// Its name in options: `cpu`, `cuda`, `coreml`, `directml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
        }
    }

    /// As people know it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "Processor",
            Self::Cuda => "CUDA",
            Self::CoreMl => "CoreML",
            Self::DirectMl => "DirectML",
        }
    }

    /// The provider of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether the loaded library was built with it.
    fn is_there(self) -> bool {
        let found = match self {
            Self::Cpu => Ok(true),
            Self::Cuda => ep::CUDA::is_available(),
            Self::CoreMl => ep::CoreML::is_available(),
            Self::DirectMl => ep::DirectML::is_available(),
        };
        found.unwrap_or(false)
    }

    /// What a session registers for it, none for the processor; what `library` has instead where it
    /// does not have it.
    pub(super) fn dispatch(
        self,
        library: &Path,
    ) -> Result<Option<ExecutionProviderDispatch>, String> {
        if !self.is_there() {
            let there = Self::ALL.into_iter().filter(|provider| provider.is_there());
            let there: Vec<&str> = there.map(Self::name).collect();
            let (library, there) = (library.display(), there.join(", "));
            return Err(format!("provider {self}: {library} has {there} alone"));
        }
        let found = match self {
            Self::Cpu => return Ok(None),
            Self::Cuda => ep::CUDA::default().build(),
            Self::CoreMl => ep::CoreML::default().build(),
            Self::DirectMl => ep::DirectML::default().build(),
        };
        Ok(Some(found.error_on_failure()))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! In which forms a trained model lies at a path.

use super::Backend;
use anyhow::bail;
use partita_model::speech::{OnnxModel, TrainedModel};
use std::path::{Path, PathBuf};

/// What there is of a trained model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What candle runs.
    pub weights: Option<Weights>,
    /// What ONNX Runtime runs: a folder of graphs, or one of its decoder graphs.
    pub graphs: Option<PathBuf>,
}

/// Weights that candle runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// A run's folder or a packed file, over its bases.
    Trained(PathBuf),
    /// The language model's file of a GGUF pair.
    Pair(PathBuf),
}

impl Found {
    /// Looks at a file or a folder. Nothing is found where nothing is; for ONNX Runtime, weights are not
    /// looked for.
    ///
    /// # Errors
    /// When a folder holds several pairs.
    pub fn at(path: &Path, backend: Backend) -> anyhow::Result<Self> {
        let graphs = OnnxModel::is_at(path).then(|| path.to_owned());
        let named = path.extension().is_some_and(|extension| extension == "onnx");
        let weights = match backend {
            Backend::Onnx => None,
            _ if TrainedModel::is_at(path) => Some(Weights::Trained(path.to_owned())),
            _ if path.is_dir() => pair(path)?.map(Weights::Pair),
            _ if !path.is_file() || named => None,
            _ => Some(Weights::Pair(path.to_owned())),
        };
        Ok(Self { weights, graphs })
    }

    /// Bytes of the largest file of each form: with its path, what a model is known by.
    pub fn bytes(&self) -> u64 {
        let weights = self.weights.as_ref().map(|weights| match weights {
            Weights::Trained(path) => TrainedModel::weights(path),
            Weights::Pair(file) => file.clone(),
        });
        let graphs = self.graphs.as_ref().and_then(|path| OnnxModel::open(path).ok());
        let graphs = graphs.map(|model| model.graph("decoder_model_merged"));
        let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
        let data = graphs.as_ref().map(|file| PathBuf::from(format!("{}_data", file.display())));
        [weights, graphs, data].into_iter().flatten().map(length).sum()
    }
}

/// The language model's file of the one pair in a folder.
fn pair(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_first = |path: &PathBuf| {
        let name = name(path);
        let part = name.contains("-of-") && !name.contains("-00001-of-");
        name.ends_with(".gguf") && !name.starts_with("mmproj-") && !part
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_first).collect();
    files.sort();
    if files.len() > 1 {
        let names: Vec<String> = files.iter().map(name).collect();
        bail!("{}: several models, {}: name one of them", folder.display(), names.join(", "));
    }
    Ok(files.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_hold_weights_graphs_or_both() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let found = |backend| Found::at(folder.path(), backend);
        assert_eq!(found(Backend::Auto).unwrap(), Found::default());
        std::fs::create_dir(at("onnx")).unwrap();
        std::fs::write(at("config.json"), "{}").unwrap();
        let graph = at("onnx/decoder_model_merged_q4.onnx");
        std::fs::write(&graph, "").unwrap();
        let alone = found(Backend::Auto).unwrap();
        assert_eq!((&alone.weights, &alone.graphs), (&None, &Some(folder.path().to_owned())));
        assert_eq!(Found::at(&graph, Backend::Auto).unwrap().graphs, Some(graph.clone()));
        assert_eq!(Found::at(&graph, Backend::Auto).unwrap().weights, None);
        for name in ["a-Q8_0.gguf", "mmproj-a-Q8_0.gguf", "a-Q8_0-00002-of-00002.gguf"] {
            std::fs::write(at(name), "").unwrap();
        }
        let both = found(Backend::Auto).unwrap();
        assert_eq!(both.weights, Some(Weights::Pair(at("a-Q8_0.gguf"))));
        assert!(both.graphs.is_some() && found(Backend::Candle).unwrap() == both);
        assert!(found(Backend::Onnx).unwrap().weights.is_none());
        std::fs::write(at("b.gguf"), "").unwrap();
        let error = found(Backend::Auto).unwrap_err().to_string();
        assert!(error.contains("a-Q8_0.gguf, b.gguf"), "{error}");
        std::fs::write(at("model.json"), "").unwrap();
        let run = found(Backend::Auto).unwrap();
        assert_eq!(run.weights, Some(Weights::Trained(folder.path().to_owned())));
    }
}

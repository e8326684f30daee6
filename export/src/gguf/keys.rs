//! The keys that say what a file is: `general.*`, and our own `partita.*`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use partita_model::files::{Value, WeightFile};
use partita_model::speech::{ExportedModel, TrainedModel};
use partita_model::tokens::{Lang, Mark, Marks};
use sha2::{Digest, Sha256};

use super::quant::Quant;
use super::tokenizer::Tokens;
use crate::bases::file_name;

/// What a file says of itself.
pub struct Card<'a> {
    /// Its name without quantization.
    pub name: &'a str,
    /// `model` or `mmproj`.
    pub kind: &'static str,
    /// `general.architecture`.
    pub architecture: &'a str,
    /// One line on what it is.
    pub description: String,
    /// Elements of all tensors.
    pub parameters: u64,
    /// The quantization asked for.
    pub quant: Quant,
    /// Languages, if known.
    pub languages: &'a [Lang],
    /// What it was made from, and the name of that.
    pub base: (&'a WeightFile, &'a str),
}

/// The keys `general.*` of a model that was trained over a base: its licence goes along.
pub fn general(card: &Card) -> Vec<(String, Value)> {
    let (base, base_name) = card.base;
    let key = |name: &str| format!("general.{name}");
    let text = |name: &str| base.metadata().get(&key(name)).and_then(Value::as_str);
    let (basename, version) = super::card::parts(card.name);
    let mut keys: Vec<(String, Value)> = vec![
        (key("architecture"), card.architecture.into()),
        (key("type"), card.kind.into()),
        (key("name"), card.name.into()),
        (key("basename"), basename.into()),
        (key("finetune"), "speech".into()),
        (key("description"), Value::String(card.description.clone())),
        (key("size_label"), Value::String(size_label(card.parameters))),
        (key("file_type"), Value::U32(card.quant.file_type())),
        (key("alignment"), Value::U32(32)),
        (key("tags"), ["speech-to-text", "speech-translation"].map(str::to_owned).to_vec().into()),
    ];
    keys.extend(version.map(|version| (key("version"), version.into())));
    for name in ["license", "license.name", "license.link"] {
        keys.extend(text(name).map(|value| (key(name), value.into())));
    }
    if !card.languages.is_empty() {
        keys.push((key("languages"), codes(card.languages)));
    }
    keys.push((key("base_model.count"), Value::U32(1)));
    let named = text("name").unwrap_or(file_name(base_name));
    keys.push((key("base_model.0.name"), named.into()));
    for (name, of_base) in
        [("organization", "organization"), ("version", "version"), ("repo_url", "repo_url")]
    {
        keys.extend(
            text(of_base).map(|value| (key(&format!("base_model.0.{name}")), value.into())),
        );
    }
    keys
}

/// The keys `general.*` of a model that is written as it is, in other types.
pub fn unchanged(base: &WeightFile, name: Option<&str>, quant: Quant) -> Vec<(String, Value)> {
    let ours = ["general.file_type", "general.quantization_version", "general.alignment"];
    let kept = base.metadata().iter();
    let kept = kept.filter(|(key, _)| key.starts_with("general.") && !ours.contains(&key.as_str()));
    let mut keys: Vec<_> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(name) = name {
        keys.retain(|(key, _)| key != "general.name");
        keys.push(("general.name".to_owned(), name.into()));
    }
    keys.push(("general.file_type".to_owned(), Value::U32(quant.file_type())));
    keys.push(("general.alignment".to_owned(), Value::U32(32)));
    keys
}

/// What our own runtime needs of a trained model beside stock keys: tasks' and languages' tokens,
/// languages, the tokens that text is written with (as ids of the file), and the bases' names.
///
/// # Errors
/// When a mark is not among the tokens.
pub fn private(
    model: &TrainedModel,
    marks: &Marks,
    tokens: &Tokens,
    pair: &str,
) -> Result<Vec<(String, Value)>> {
    let ids: Option<Vec<u32>> = marks.ids().map(|id| tokens.new_id(id)).collect();
    let names: Vec<String> = Mark::all().map(|mark| mark.to_string()).collect();
    let written: Vec<u32> =
        model.config.shortlist.ids().iter().filter_map(|&id| tokens.new_id(id)).collect();
    Ok(vec![
        (ExportedModel::PAIR.to_owned(), pair.into()),
        (ExportedModel::LANGUAGES.to_owned(), codes(&model.languages)),
        (ExportedModel::TARGETS.to_owned(), codes(&model.targets)),
        (ExportedModel::SHORTLIST.to_owned(), written.into()),
        ("partita.marks.names".to_owned(), names.into()),
        ("partita.marks.tokens".to_owned(), ids.context("a mark without a token")?.into()),
        ("partita.base.encoder".to_owned(), file_name(&model.encoder).into()),
        ("partita.base.llm".to_owned(), file_name(&model.llm).into()),
    ])
}

/// Where the weights come from: what a run's recipe says of itself, and the hash of its weights.
///
/// # Errors
/// When the weights cannot be read, or there is a recipe that is none.
pub fn provenance(model: &Path) -> Result<Vec<(String, Value)>> {
    let key = |name: &str| format!("partita.training.{name}");
    let mut keys = vec![(key("weights.sha256"), Value::String(weights_hash(model)?))];
    let path = model.join("config.toml");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(keys) };
    let recipe: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    for name in ["name", "about"] {
        keys.extend(recipe.get(name).and_then(toml::Value::as_str).map(|v| (key(name), v.into())));
    }
    let steps = recipe.get("budget").and_then(|budget| budget.get("steps"));
    for (name, value) in [("seed", recipe.get("seed")), ("steps", steps)] {
        keys.extend(value.and_then(toml::Value::as_integer).map(|v| (key(name), Value::I64(v))));
    }
    if let Some(order) = recipe.get("order").and_then(toml::Value::as_array) {
        let stages: Vec<String> =
            order.iter().filter_map(|stage| Some(stage.as_str()?.to_owned())).collect();
        keys.push((key("stages"), stages.into()));
    }
    let speech = recipe.get("data").and_then(|data| data.get("speech"));
    let manifests = speech.and_then(toml::Value::as_array).into_iter().flatten();
    let manifests = manifests.filter_map(|path| Path::new(path.as_str()?).file_stem()?.to_str());
    let mut count = 0;
    for name in manifests {
        keys.push((format!("general.dataset.{count}.name"), name.into()));
        count += 1;
    }
    if count > 0 {
        keys.push(("general.dataset.count".to_owned(), Value::U32(count)));
    }
    Ok(keys)
}

/// SHA-256 of a trained model's weights.
fn weights_hash(model: &Path) -> Result<String> {
    let path = TrainedModel::weights(model);
    let shown = || path.display().to_string();
    let mut hash = Sha256::new();
    std::io::copy(&mut fs::File::open(&path).with_context(shown)?, &mut hash)
        .with_context(shown)?;
    Ok(hex(&hash.finalize()))
}

/// What the two files of a pair have in common: weights, description and vocabulary.
///
/// # Errors
/// When the description cannot be written down.
pub fn pair(model: &TrainedModel, weights: &[(String, Value)], tokens: &Tokens) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(model)?);
    hash.update(format!("{weights:?}"));
    tokens.ids().iter().for_each(|id| hash.update(id.to_le_bytes()));
    Ok(hex(hash.finalize().get(..16).unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn codes(langs: &[Lang]) -> Value {
    langs.iter().map(|lang| lang.code().to_owned()).collect::<Vec<_>>().into()
}

/// `270M`, `1.2B`.
fn size_label(parameters: u64) -> String {
    match parameters as f64 {
        n if n >= 1e9 => format!("{:.1}B", n / 1e9),
        n if n >= 1e6 => format!("{:.0}M", n / 1e6),
        n => format!("{:.0}K", n / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names_are_short() {
        assert_eq!(size_label(268_098_176), "268M");
        assert_eq!(size_label(1_240_000_000), "1.2B");
        assert_eq!(file_name("/some/where/llm.gguf"), "llm.gguf");
        assert_eq!(file_name("whisper-base"), "whisper-base");
    }
}

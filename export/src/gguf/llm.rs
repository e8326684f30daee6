//! The language model's file.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use partita_model::files::{Value, WeightFile};
use partita_model::speech::SpeechLlm;
use partita_model::tokens::{Marks, TextTokenizer};

use super::changed::ChangedBase;
use super::content::{Content, Item, Plan};
use super::quant::Quant;
use super::tokenizer::Tokens;

const TABLE: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";

/// The rows of marks, by token.
pub fn trained_marks(
    trained: &WeightFile,
    tokenizer: &TextTokenizer,
) -> Result<BTreeMap<u32, Vec<f32>>> {
    let marks: Vec<u32> = Marks::for_tokenizer(tokenizer).ids().collect();
    let (shape, values) = trained.floats(SpeechLlm::MARKS)?;
    let &[rows, width] = &shape[..] else { bail!("{}: shape {shape:?}", SpeechLlm::MARKS) };
    if rows != marks.len() || width == 0 {
        bail!("{}: {rows} rows for {} marks", SpeechLlm::MARKS, marks.len());
    }
    Ok(marks.into_iter().zip(values.chunks_exact(width).map(<[f32]>::to_vec)).collect())
}

/// Plans the file: the base's architecture keys and tensors, of its vocabulary these tokens, with
/// `marks` in place of reserved tokens' rows and `more` keys behind.
///
/// # Errors
/// When the base is incomplete, or marks would need an output of their own.
pub fn plan<'a>(
    merged: &'a ChangedBase<'a>,
    quant: Quant,
    tokens: &Tokens,
    marks: &BTreeMap<u32, Vec<f32>>,
    more: Vec<(String, Value)>,
) -> Result<Plan<'a>> {
    let base = merged.base();
    let architecture = base.metadata_str("general.architecture")?.to_owned();
    let layers = base.metadata_u64(&format!("{architecture}.block_count"))? as usize;
    let own = format!("{architecture}.");
    let mut metadata = more;
    for (key, value) in base.metadata().iter().filter(|(key, _)| key.starts_with(&own)) {
        let is_size = key.ends_with(".vocab_size");
        let value = if is_size { Value::U32(tokens.ids().len() as u32) } else { value.clone() };
        metadata.push((key.clone(), value));
    }
    let has_template = metadata.iter().any(|(key, _)| key == "tokenizer.chat_template");
    let keys = tokens.keys(base)?.into_iter();
    metadata.extend(keys.filter(|(key, _)| !(has_template && key == "tokenizer.chat_template")));

    let tied = !base.contains(OUTPUT);
    let mut items = Vec::new();
    for tensor in base.tensors() {
        let name = tensor.name.as_str();
        let mut shape = tensor.shape.clone();
        let rows = shape.first().copied().unwrap_or(0);
        let is_output = name == OUTPUT || (tied && name == TABLE);
        let content = match (name, &shape[..]) {
            (TABLE | OUTPUT, &[_, width]) => {
                let ids = tokens.ids().to_vec();
                let beyond = ids.iter().any(|&id| id as usize >= rows);
                if beyond && !tied {
                    bail!(
                        "rule appended-marks: a model with an output matrix of its own has no rows for marks"
                    );
                }
                if merged.is_changed(name) {
                    bail!("`{name}` was trained as a whole, which is not exported");
                }
                let replaced = match name {
                    TABLE => replaced(&ids, rows, width, marks)?,
                    _ => BTreeMap::new(),
                };
                if let Some(first) = shape.first_mut() {
                    *first = ids.len();
                }
                Content::Rows { file: base, name: name.to_owned(), rows: ids, replaced }
            }
            (_, [_, _]) if !merged.is_changed(name) => whole(base, name, rows),
            _ => {
                let name = name.to_owned();
                Content::Made(Box::new(move || merged.values(&name)))
            }
        };
        let choice = quant.choose(name, &shape, layers, is_output);
        items.push(Item { name: name.to_owned(), shape, choice, content });
    }
    Ok(Plan::new(metadata, items))
}

/// All rows of a matrix of a file.
pub fn whole<'a>(file: &'a WeightFile, name: &str, rows: usize) -> Content<'a> {
    let (name, rows) = (name.to_owned(), (0..rows as u32).collect());
    Content::Rows { file, name, rows, replaced: BTreeMap::new() }
}

/// Rows of the table that are not the base's, by place: marks, and zeros for appended rows that no
/// mark uses yet.
fn replaced(
    ids: &[u32],
    rows: usize,
    width: usize,
    marks: &BTreeMap<u32, Vec<f32>>,
) -> Result<BTreeMap<usize, Vec<f32>>> {
    let mut replaced = BTreeMap::new();
    for (place, &id) in ids.iter().enumerate() {
        match marks.get(&id) {
            Some(row) if row.len() == width => {
                replaced.insert(place, row.clone());
            }
            Some(row) => bail!("a mark of {} elements in a table of {width}", row.len()),
            None if id as usize >= rows => {
                replaced.insert(place, vec![0.0; width]);
            }
            None => {}
        }
    }
    Ok(replaced)
}

/// The tokenizer that a planned file will have, from a file with its metadata alone.
///
/// # Errors
/// When the keys make no tokenizer.
pub fn tokenizer_of(plan: &Plan, folder: &std::path::Path) -> Result<TextTokenizer> {
    let path = folder.join("tokenizer.gguf");
    partita_model::files::gguf::GgufWriter::create(&path, &plan.metadata, &[])?.finish()?;
    let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&path)?);
    std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    Ok(tokenizer?)
}

/// Width of a language model.
///
/// # Errors
/// When its file does not say.
pub fn width(base: &WeightFile) -> Result<usize> {
    let architecture = base.metadata_str("general.architecture")?;
    Ok(base.metadata_u64(&format!("{architecture}.embedding_length"))? as usize)
}

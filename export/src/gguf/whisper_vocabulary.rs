//! The part of Whisper's vocabulary that some languages need: words' tokens are left out, special ones
//! (languages, tasks, times) all stay, in their order behind the words.

use anyhow::{Context, Result, bail, ensure};
use partita_model::files::{Array, Value, WeightFile};
use partita_model::tokens::TextTokenizer;
use partita_model::whisper::{WhisperConfig, WhisperTokens, merges};
use serde_json::{Map, Value as Json, json};

use super::tokenizer::{Tokens, kept_merges};
use super::vocabulary::{Options, Proof, Text};

const JSON_KEY: &str = "tokenizer.huggingface.json";
/// How byte-level BPE of GPT-2, and so Whisper's, cuts text into words.
const WORDS: &str = "gpt-2";
const NO_MERGES: &str = "no merges, or one that is no pair";

/// The tokens that stay, and the text by which they were chosen.
pub struct Cut {
    tokens: Tokens,
    json: String,
    /// Tokenizers of words alone, before and now.
    words: [TextTokenizer; 2],
    text: Text,
}

impl Cut {
    /// Chooses the tokens of an imported model's file.
    ///
    /// # Errors
    /// When the file has no such tokenizer, or there is no text of a language.
    pub fn new(file: &WeightFile, options: &Options) -> Result<Self> {
        let shown = || format!("{}: tokenizer", file.path().display());
        let config = WhisperConfig::from_file(file)?;
        let whole = file.metadata_str(JSON_KEY)?;
        let size = (config.vocabulary, config.multilingual);
        let end = WhisperTokens::parse(whole, size, file.path())?.end;
        let whole: Json = serde_json::from_str(whole).with_context(shown)?;
        let before = words(&whole, end).with_context(shown)?;
        let text = Text::read(options, &before, true)?;
        // Lists are of words alone: what is beyond them is special.
        let ordinary = text.needed().iter().copied().filter(|&id| id < end);
        let ids: Vec<u32> = ordinary.chain(end..config.vocabulary as u32).collect();
        let tokens = Tokens::all(config.vocabulary, 0).only(ids);
        let json = shortened(whole, &tokens).with_context(shown)?;
        let words = [before, words(&json, end_of(&tokens, end)?).with_context(shown)?];
        Ok(Self { tokens, json: json.to_string(), words, text })
    }

    /// The tokens that stay.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A key's value in the smaller file.
    ///
    /// # Errors
    /// When a list is none of tokens.
    pub fn key(&self, key: &str, value: &Value) -> Result<Value> {
        let list = |ids: &[i32]| -> Vec<i32> {
            let new = |&id: &i32| u32::try_from(id).ok().and_then(|id| self.tokens.new_id(id));
            ids.iter().filter_map(|id| i32::try_from(new(id)?).ok()).collect()
        };
        Ok(match (key, value) {
            (JSON_KEY, _) => Value::String(self.json.clone()),
            ("whisper.vocabulary", _) => Value::U32(self.tokens.ids().len() as u32),
            ("whisper.suppress" | "whisper.suppress_first", Value::Array(Array::I32(ids))) => {
                Value::Array(Array::I32(list(ids)))
            }
            ("whisper.suppress" | "whisper.suppress_first", _) => bail!("`{key}` is no list"),
            _ => value.clone(),
        })
    }

    /// The proof that text of the languages is written as before.
    ///
    /// # Errors
    /// When a line reads otherwise than before.
    pub fn proof(&self, row_bytes: u64) -> Result<Proof> {
        let [before, now] = &self.words;
        let proof = self.text.prove((before, None), (now, None), &self.tokens, row_bytes)?;
        ensure!(proof.unreadable == 0, "{} held-out lines read otherwise", proof.unreadable);
        Ok(proof)
    }
}

/// The new id of the end of text, before which all words' tokens are.
fn end_of(tokens: &Tokens, end: u32) -> Result<u32> {
    tokens.new_id(end).context("no end of text")
}

/// A tokenizer of the tokens before `end` alone.
fn words(file: &Json, end: u32) -> Result<TextTokenizer> {
    let model = &file["model"];
    let vocabulary = model["vocab"].as_object().context("no vocabulary")?;
    let is_word = |id: &Json| id.as_u64().is_some_and(|id| id < u64::from(end));
    let vocabulary: Map<String, Json> = vocabulary
        .iter()
        .filter(|(_, id)| is_word(id))
        .map(|(p, id)| (p.clone(), id.clone()))
        .collect();
    let of_words = json!({"model": {"type": model["type"], "vocab": vocabulary, "merges": merges(model).context(NO_MERGES)?}});
    let text = serde_json::to_vec(&of_words)?;
    Ok(TextTokenizer::from_json(&text, "tokenizer.json".as_ref(), (None, None), Some(WORDS))?)
}

/// A `tokenizer.json` with these tokens alone, under their new ids.
fn shortened(mut file: Json, tokens: &Tokens) -> Result<Json> {
    let new = |id: &Json| u32::try_from(id.as_u64()?).ok().and_then(|id| tokens.new_id(id));
    let merges = merges(&file["model"]).context(NO_MERGES)?;
    let vocabulary = file["model"]["vocab"].as_object().context("no vocabulary")?;
    let vocabulary: Map<String, Json> = vocabulary
        .iter()
        .filter_map(|(piece, id)| Some((piece.clone(), new(id)?.into())))
        .collect();
    let merges = kept_merges(&merges, |piece| vocabulary.contains_key(piece));
    let added = file["added_tokens"].as_array().cloned().unwrap_or_default();
    let added: Vec<Json> = added
        .into_iter()
        .filter_map(|mut token| {
            token["id"] = new(&token["id"])?.into();
            Some(token)
        })
        .collect();
    // What is put around texts names its tokens' ids again.
    if let Some(named) =
        file.pointer_mut("/post_processor/special_tokens").and_then(Json::as_object_mut)
    {
        for token in named.values_mut() {
            let ids = token["ids"].as_array().cloned().unwrap_or_default();
            let ids: Option<Vec<u32>> = ids.iter().map(&new).collect();
            token["ids"] = ids.context("a special token that is not there")?.into();
        }
    }
    file["model"]["vocab"] = vocabulary.into();
    file["model"]["merges"] = merges.into();
    file["added_tokens"] = added.into();
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_made_by_the_merge_that_published_files_lack() {
        let file = json!({"model": {
            "type": "BPE",
            "vocab": {"a": 0, "h": 1, "t": 2, "Ġ": 3, "Ġt": 4, "Ġa": 5, "Ġth": 6, "Ġthat": 7, "at": 8},
            "merges": ["Ġ a", "Ġt h", ["a", "t"], "Ġth at"],
        }});
        let words = words(&file, 9).unwrap();
        assert_eq!(words.encode(" that"), [7]);
    }
}

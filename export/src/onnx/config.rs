//! The small files beside the graphs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use partita_model::speech::AdapterShape;
use partita_model::whisper::WhisperConfig;
use serde_json::{Map, Value, json};

use super::tokenizer::{AUDIO, name};
use crate::bases::file_name;
use crate::merged::{Merged, Text};

/// Samples of one encoder frame at 16 kHz.
const SAMPLES: usize = 320;
/// The most tokens of an answer: transcript and translation of 30 s.
const LONGEST: usize = 448;
/// Longest configuration of an earlier export that is read.
const LONGEST_CONFIG: u64 = 10_000_000;

/// Names and contents. `graphs` are the graphs that are written now, and whether their weights lie in
/// files of their own; what earlier exports into `folder` say of others stays.
///
/// # Errors
/// When the tokenizer lacks a token.
pub fn files(
    model: &Merged,
    folder: &Path,
    graphs: &[(String, bool)],
) -> Result<Vec<(&'static str, Value)>> {
    let preprocessor = ("preprocessor_config.json", preprocessor(model));
    let Some(text) = &model.text else {
        let mut config = whisper(&model.whisper);
        external(&mut config, folder, graphs);
        return Ok(vec![("config.json", config), preprocessor]);
    };
    let mut config = config(model, text)?;
    external(&mut config, folder, graphs);
    let stack = match text.trained.config.adapter.shape {
        AdapterShape::Ultravox { stack, .. } => stack,
        _ => 1,
    };
    let processor = json!({
        "processor_class": "UltravoxProcessor",
        "audio_placeholder": AUDIO,
        "encoder_ds_factor": SAMPLES,
        "stack_factor": stack,
    });
    let ends = ends(text)?;
    let generation = json!({
        "bos_token_id": ends.start,
        "eos_token_id": ends.end,
        "pad_token_id": ends.padding,
        "do_sample": false,
        "max_new_tokens": LONGEST,
    });
    Ok(vec![
        ("config.json", config),
        ("generation_config.json", generation),
        preprocessor,
        ("processor_config.json", processor),
        ("tokenizer_config.json", tokenizer(text)?),
    ])
}

struct Ends {
    start: usize,
    end: usize,
    padding: usize,
}

fn ends(text: &Text) -> Result<Ends> {
    let end = text.tokenizer.eos().map_or_else(|| text.start(), Ok)?;
    let padding = text.tokenizer.padding().filter(|&id| text.place(id).is_ok()).unwrap_or(end);
    Ok(Ends {
        start: text.place(text.start()?)?,
        end: text.place(end)?,
        padding: text.place(padding)?,
    })
}

fn config(model: &Merged, text: &Text) -> Result<Value> {
    let llm = &text.config;
    let kind = match llm.architecture.as_str() {
        "gemma3" => "gemma3_text",
        other => other,
    };
    let ends = ends(text)?;
    let codes = |langs: &[partita_model::tokens::Lang]| -> Vec<&str> {
        langs.iter().map(|lang| lang.code()).collect()
    };
    let bases = [&text.trained.encoder, &text.trained.llm].map(|base| file_name(base));
    Ok(json!({
        "model_type": "ultravox",
        "architectures": ["UltravoxModel"],
        "audio_token_id": text.ids.len(),
        "audio_token_index": text.ids.len(),
        "bos_token_id": ends.start,
        "eos_token_id": ends.end,
        "pad_token_id": ends.padding,
        "hidden_size": llm.width,
        "vocab_size": text.ids.len() + 1,
        "torch_dtype": "float32",
        "audio_config": whisper(&model.whisper),
        "text_config": {
            "model_type": kind,
            "hidden_size": llm.width,
            "intermediate_size": llm.feed_forward,
            "num_hidden_layers": llm.layers,
            "num_attention_heads": llm.heads,
            "num_key_value_heads": llm.key_heads,
            "head_dim": llm.head_width,
            "max_position_embeddings": llm.context,
            "rms_norm_eps": llm.epsilon,
            "rope_theta": llm.rope_base,
            "sliding_window": llm.window.map(|window| window.positions),
            "vocab_size": text.ids.len() + 1,
        },
        "partita": {
            "languages": codes(&text.trained.languages),
            "targets": codes(&text.trained.targets),
            "bases": bases,
            "pre": super::tokenizer::pre(text)?,
        },
    }))
}

fn whisper(config: &WhisperConfig) -> Value {
    json!({
        "model_type": "whisper",
        "d_model": config.width,
        "encoder_layers": config.encoder_layers,
        "encoder_attention_heads": config.heads,
        "encoder_ffn_dim": 4 * config.width,
        "decoder_layers": config.decoder_layers,
        "decoder_attention_heads": config.heads,
        "max_source_positions": config.audio_positions,
        "max_target_positions": config.text_positions,
        "num_mel_bins": config.mel_bins,
        "vocab_size": config.vocabulary,
    })
}

/// Whisper's front end; transformers.js makes the filters itself.
fn preprocessor(model: &Merged) -> Value {
    let positions = model.whisper.audio_positions;
    let mut made = json!({
        "feature_extractor_type": "WhisperFeatureExtractor",
        "chunk_length": positions * SAMPLES / 16_000,
        "feature_size": model.whisper.mel_bins,
        "hop_length": SAMPLES / 2,
        "n_fft": 400,
        "n_samples": positions * SAMPLES,
        "nb_max_frames": 2 * positions,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": false,
        "sampling_rate": 16_000,
    });
    if model.text.is_some() {
        made["processor_class"] = "UltravoxProcessor".into();
    }
    made
}

fn tokenizer(text: &Text) -> Result<Value> {
    let own = |id: Option<u32>| id.map(|id| name(text, id)).transpose();
    let ends = ends(text)?;
    let padding = text.ids.get(ends.padding).copied();
    Ok(json!({
        "tokenizer_class": "PreTrainedTokenizer",
        "processor_class": "UltravoxProcessor",
        "add_bos_token": false,
        "add_eos_token": false,
        "bos_token": own(Some(text.start()?))?,
        "eos_token": own(text.tokenizer.eos())?,
        "pad_token": own(padding)?,
        "unk_token": own(text.tokenizer.unknown())?,
        "clean_up_tokenization_spaces": false,
        "model_max_length": text.config.context,
        "chat_template": chat_template(),
    }))
}

/// A user's message is what the model reads: audio or a text, then the marks of a task, such as
/// `<|audio|><asr>`. Audio brings the start token along, a text does not.
fn chat_template() -> String {
    let part = format!(
        "{{%- if part['type'] == 'audio' -%}}{AUDIO}\
         {{%- elif part['type'] == 'text' -%}}{{{{ part['text'] }}}}{{%- endif -%}}"
    );
    format!(
        "{{%- for message in messages -%}}\
         {{%- set content -%}}\
         {{%- if message['content'] is string -%}}{{{{ message['content'] }}}}\
         {{%- else -%}}{{%- for part in message['content'] -%}}{part}{{%- endfor -%}}\
         {{%- endif -%}}\
         {{%- endset -%}}\
         {{%- if message['role'] == 'assistant' -%}}{{{{ content + eos_token }}}}\
         {{%- elif '{AUDIO}' in content -%}}{{{{ content }}}}\
         {{%- else -%}}{{{{ bos_token + content }}}}\
         {{%- endif -%}}\
         {{%- endfor -%}}"
    )
}

/// Tells transformers.js which graphs have their weights in a file of their own.
fn external(config: &mut Value, folder: &Path, graphs: &[(String, bool)]) {
    const OWN: &str = "transformers.js_config";
    const KEY: &str = "use_external_data_format";
    let path = folder.join("config.json");
    let short = fs::metadata(&path).is_ok_and(|found| found.len() <= LONGEST_CONFIG);
    let before: Value = match fs::read(&path) {
        Ok(bytes) if short => serde_json::from_slice(&bytes).unwrap_or_default(),
        _ => Value::Null,
    };
    let mut outside: Map<String, Value> = before[OWN][KEY].as_object().cloned().unwrap_or_default();
    for (name, split) in graphs {
        match split {
            true => outside.insert(name.clone(), 1.into()),
            false => outside.remove(name),
        };
    }
    if !outside.is_empty() {
        config[OWN] = json!({KEY: outside});
    }
}

//! The chat template: what a stock tool sends becomes what the model was trained on.

use anyhow::{Context, Result};
use partita_model::tokens::{Mark, Marks, TextTokenizer};

/// A Jinja template that renders a message as the start token, the audio (or text) and the task's
/// marks, and nothing else: `<asr>`, `<st><to:de>`, `<direct><to:en>`, `<mt><to:fr>` in a message
/// become the tokens that stand for them, `<lang:xx>` behind them forces a language, and a message
/// without a task is one for a transcript.
///
/// # Errors
/// When a mark has no token.
pub fn chat_template(tokenizer: &TextTokenizer, marks: &Marks) -> Result<String> {
    let mut spell = String::new();
    for mark in Mark::all() {
        let piece =
            tokenizer.piece(marks.mark(mark)).with_context(|| format!("no token for {mark}"))?;
        spell += &format!(" | replace('{mark}', '{piece}')");
    }
    let tasks = [Mark::Transcribe, Mark::Translate, Mark::DirectTranslation, Mark::TextTranslation];
    let none = tasks.map(|mark| format!("'{mark}' not in text.all")).join(" and ");
    let default = Mark::Transcribe;
    Ok([
        "{{- bos_token -}}",
        "{%- for message in messages -%}",
        "{%- set text = namespace(all='') -%}",
        "{%- if message['content'] is string -%}",
        "{%- set text.all = message['content'] | trim -%}",
        "{%- else -%}",
        "{%- for part in message['content'] -%}",
        "{%- if part['text'] -%}{%- set text.all = text.all + (part['text'] | trim) -%}{%- endif -%}",
        "{%- endfor -%}",
        "{%- endif -%}",
        "{%- if message['role'] == 'user' -%}",
        // Tools that take strings alone put a line end between audio and text.
        "{%- set text.all = text.all | replace('>\\n<', '><') -%}",
        &format!("{{%- if {none} -%}}{{%- set text.all = text.all + '{default}' -%}}{{%- endif -%}}"),
        "{%- endif -%}",
        &format!("{{{{- text.all{spell} -}}}}"),
        "{%- if message['role'] == 'assistant' -%}{{- eos_token -}}{%- endif -%}",
        "{%- endfor -%}",
    ]
    .concat())
}

//! How a language model of others is asked: in the form of turns that its chat template is of.
//!
//! A chat template is a program. It is not run, as it could hold more memory than there is or never
//! end; the form is told from the marks in it, as llama.cpp does unless it is told to run templates.
//! What a template says before the first turn (a system's message) is left out.

use crate::error::ModelError;
use crate::files::{FileError, Value, WeightFile};
use crate::tokens::TextTokenizer;

const KEY: &str = "tokenizer.chat_template";

/// A form of turns.
#[derive(Debug)]
pub(super) struct TurnForm {
    /// Whose it is.
    name: &'static str,
    /// What is in every template of this form, and not in one of a form further below.
    signs: &'static [&'static str],
    /// Which of its marks must be single tokens.
    marks: &'static [&'static str],
    /// What is before and behind what a user says; an answer follows.
    turn: [&'static str; 2],
}

/// Forms from the more special to the less.
static FORMS: [TurnForm; 11] = [
    TurnForm {
        name: "Llama 3",
        signs: &["<|start_header_id|>"],
        marks: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        turn: [
            "<|start_header_id|>user<|end_header_id|>\n\n",
            "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ],
    },
    TurnForm {
        name: "Phi 4",
        signs: &["<|im_start|>", "<|im_sep|>"],
        marks: &["<|im_start|>", "<|im_sep|>", "<|im_end|>"],
        turn: ["<|im_start|>user<|im_sep|>", "<|im_end|><|im_start|>assistant<|im_sep|>"],
    },
    TurnForm {
        // These think aloud unless they are shown an end of thinking.
        name: "Qwen 3",
        signs: &["<|im_start|>", "enable_thinking"],
        marks: &["<|im_start|>", "<|im_end|>"],
        turn: ["<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"],
    },
    TurnForm {
        name: "ChatML",
        signs: &["<|im_start|>"],
        marks: &["<|im_start|>", "<|im_end|>"],
        turn: ["<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"],
    },
    TurnForm {
        name: "Gemma",
        signs: &["<start_of_turn>"],
        marks: &["<start_of_turn>", "<end_of_turn>"],
        turn: ["<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"],
    },
    TurnForm {
        name: "Mistral 7",
        signs: &["[INST]", "[SYSTEM_PROMPT]"],
        marks: &["[INST]", "[/INST]"],
        turn: ["[INST]", "[/INST]"],
    },
    TurnForm {
        name: "Mistral 3 with Tekken",
        signs: &["\"[INST]\"", "[AVAILABLE_TOOLS]"],
        marks: &["[INST]", "[/INST]"],
        turn: ["[INST]", "[/INST]"],
    },
    TurnForm {
        name: "Mistral 3",
        signs: &["[INST]", "[AVAILABLE_TOOLS]"],
        marks: &["[INST]", "[/INST]"],
        turn: ["[INST] ", "[/INST]"],
    },
    TurnForm { name: "Llama 2", signs: &["[INST]"], marks: &[], turn: ["[INST] ", " [/INST]"] },
    TurnForm {
        name: "Phi 3",
        signs: &["<|assistant|>", "<|end|>"],
        marks: &["<|user|>", "<|end|>", "<|assistant|>"],
        turn: ["<|user|>\n", "<|end|>\n<|assistant|>\n"],
    },
    TurnForm {
        name: "Granite",
        signs: &["<|start_of_role|>"],
        marks: &["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"],
        turn: [
            "<|start_of_role|>user<|end_of_role|>",
            "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        ],
    },
];

impl TurnForm {
    /// The form that the template in a language model's file is of.
    ///
    /// # Errors
    /// When there is no template, it is of none of these forms, or a mark of its form is no token.
    pub fn of(file: &WeightFile, tokenizer: &TextTokenizer) -> Result<&'static Self, ModelError> {
        let wrong = |reason: String| FileError::metadata(file.path(), KEY, reason).into();
        let Some(template) = file.metadata().get(KEY).and_then(Value::as_str) else {
            let reason = "missing: a language model that was not taught to follow instructions";
            return Err(wrong(reason.to_owned()));
        };
        let Some(form) = Self::told(template) else {
            let names: Vec<_> = FORMS.iter().map(|form| form.name).collect();
            return Err(wrong(format!("turns of none of these forms: {}", names.join(", "))));
        };
        match form.marks.iter().find(|mark| tokenizer.encode_with_control(mark).len() != 1) {
            Some(mark) => {
                Err(wrong(format!("turns as {} has them, without a token `{mark}`", form.name)))
            }
            None => Ok(form),
        }
    }

    fn told(template: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| form.signs.iter().all(|sign| template.contains(sign)))
    }

    /// Tokens before and behind the audio of a turn that says these words and then the audio.
    pub fn ask(&self, tokenizer: &TextTokenizer, words: &str) -> [Vec<u32>; 2] {
        let [before, behind] = self.turn;
        let mut before = tokenizer.encode_with_control(&format!("{before}{words}\n"));
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos()) {
            before.insert(0, bos);
        }
        [before, tokenizer.encode_with_control(behind)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beginnings of published templates.
    #[test]
    fn forms_are_told_from_templates() {
        for (template, name) in [
            (
                "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}",
                "Llama 3",
            ),
            ("{{'<|im_start|>' + message['role'] + '\\n' + message['content'] }}", "ChatML"),
            ("<|im_start|>assistant\\n' }}{% if enable_thinking is false %}<think>", "Qwen 3"),
            ("{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}", "Phi 4"),
            ("{{ '<start_of_turn>' + role + '\\n' + (message['content'] | trim) }}", "Gemma"),
            ("{{ '[SYSTEM_PROMPT]' + s }}{{ '[INST]' + m }}", "Mistral 7"),
            ("{{ \"[AVAILABLE_TOOLS]\" }}{{ \"[INST]\" + m }}", "Mistral 3 with Tekken"),
            ("{{ '[AVAILABLE_TOOLS] ' }}{{ '[INST] ' + m }}", "Mistral 3"),
            ("{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}", "Llama 2"),
            ("{{'<|user|>\\n' + message['content'] + '<|end|>\\n<|assistant|>\\n'}}", "Phi 3"),
            ("{{- '<|start_of_role|>user<|end_of_role|>' + m }}", "Granite"),
        ] {
            assert_eq!(TurnForm::told(template).map(|form| form.name), Some(name), "{template}");
        }
        assert!(TurnForm::told("{{ messages[0].content }}").is_none());
    }
}

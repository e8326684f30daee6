//! Names of parameters: the networks' own, after llama.cpp, and those of recipes and checkpoints,
//! which begin with the module ([`crate::recipe::ModuleName`]).

use crate::recipe::LoraTarget;

/// Where each module's tensors begin in the networks' names, and what they are in a recipe's.
const PREFIXES: [(&str, &str); 4] =
    [("a.", "encoder."), ("mm.a.", "adapter."), ("marks.", "marks."), ("ctc.", "ctc.")];

/// The recipe's name of a tensor.
pub fn module_name(own: &str) -> String {
    if own.ends_with(".lora_a") || own.ends_with(".lora_b") {
        return format!("lora.{own}");
    }
    let found =
        PREFIXES.iter().find_map(|(prefix, module)| Some((module, own.strip_prefix(prefix)?)));
    match found {
        Some((module, rest)) => format!("{module}{rest}"),
        None => own.to_owned(),
    }
}

/// The network's name of a parameter in a recipe.
pub fn own_name(module_name: &str) -> String {
    if let Some(rest) = module_name.strip_prefix("lora.") {
        return rest.to_owned();
    }
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, module)| Some((prefix, module_name.strip_prefix(module)?)));
    match found {
        Some((prefix, rest)) => format!("{prefix}{rest}"),
        None => module_name.to_owned(),
    }
}

/// The linear layers of a block that a recipe's word means.
pub fn lora_pattern(target: LoraTarget) -> &'static str {
    match target {
        LoraTarget::Q => "blk.*.attn_q",
        LoraTarget::K => "blk.*.attn_k",
        LoraTarget::V => "blk.*.attn_v",
        LoraTarget::O => "blk.*.attn_output",
        LoraTarget::Gate => "blk.*.ffn_gate",
        LoraTarget::Up => "blk.*.ffn_up",
        LoraTarget::Down => "blk.*.ffn_down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (own, module) in [
            ("a.blk.3.attn_q.weight", "encoder.blk.3.attn_q.weight"),
            ("a.post_ln.bias", "encoder.post_ln.bias"),
            ("mm.a.mlp.1.weight", "adapter.mlp.1.weight"),
            ("blk.2.attn_v.weight.lora_b", "lora.blk.2.attn_v.weight.lora_b"),
            ("marks.weight", "marks.weight"),
            ("ctc.blank", "ctc.blank"),
        ] {
            assert_eq!((module_name(own).as_str(), own_name(module).as_str()), (module, own));
        }
    }
}

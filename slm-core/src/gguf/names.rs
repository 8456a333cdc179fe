//! How GGUF names the families and their tensors, and in which order it keeps their rows.

use crate::config::{Family, ModelConfig, NormPlacement};

/// The `general.architecture` of a family.
pub(super) fn architecture(family: Family) -> &'static str {
    match family {
        // Mistral is Llama there; the window makes the difference.
        Family::Llama | Family::Mistral => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        Family::Phi3 => "phi3",
        Family::Gemma2 => "gemma2",
        Family::Gemma3 => "gemma3",
        Family::SmolLm3 => "smollm3",
        Family::Olmo2 => "olmo2",
        Family::Granite => "granite",
    }
}

/// The `general.architecture` values that can be read.
pub(super) const ARCHITECTURES: [&str; 9] =
    ["llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "smollm3", "olmo2", "granite"];

/// The name of a tensor in a GGUF file, from its name in a Hugging Face checkpoint of `config`.
pub(super) fn tensor_name(config: &ModelConfig, name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".into()),
        "model.norm.weight" => return Some("output_norm.weight".into()),
        "lm_head.weight" => return Some("output.weight".into()),
        _ => {}
    }
    let (index, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (path, kind) = rest.rsplit_once('.')?;
    let own = match path {
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        // Gate and up stacked go by the name of up alone.
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if config.norms == NormPlacement::Pre => "ffn_norm",
        "post_attention_layernorm" => "post_attention_norm",
        "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        _ => return None,
    };
    Some(format!("blk.{index}.{own}.{kind}"))
}

/// Rows of a projection whose order in a GGUF file is another one.
///
/// llama.cpp turns neighbouring dimensions of a head in the families that come from Llama, where Hugging Face's
/// checkpoints turn the halves of a head: row `2·i + s` of a head in the file is row `s·d/2 + i` of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interleaved {
    pub(super) head_dim: usize,
}

impl Interleaved {
    /// The order of a tensor by its Hugging Face name; `None` where both are the same.
    pub(super) fn of(config: &ModelConfig, name: &str) -> Option<Self> {
        let family =
            matches!(config.family, Family::Llama | Family::Mistral | Family::Granite | Family::SmolLm3);
        let turned = name.contains(".self_attn.q_proj.") || name.contains(".self_attn.k_proj.");
        (family && turned).then_some(Self { head_dim: config.head_dim })
    }

    /// Row of the checkpoint that is row `row` of the file.
    pub(super) fn in_checkpoint(self, row: usize) -> usize {
        let (head, at) = (row / self.head_dim, row % self.head_dim);
        head * self.head_dim + at % 2 * (self.head_dim / 2) + at / 2
    }

    /// Row of the file that is row `row` of the checkpoint.
    pub(super) fn in_file(self, row: usize) -> usize {
        let (head, at) = (row / self.head_dim, row % self.head_dim);
        head * self.head_dim + at % (self.head_dim / 2) * 2 + at / (self.head_dim / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_undo_each_other() {
        let order = Interleaved { head_dim: 6 };
        let file: Vec<usize> = (0..12).map(|row| order.in_checkpoint(row)).collect();
        assert_eq!(file, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert!((0..12).all(|row| order.in_file(order.in_checkpoint(row)) == row));
    }
}

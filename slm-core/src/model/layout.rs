//! Which tensors a checkpoint of each family holds, and which parameters each of them carries.

use crate::config::{AttentionBias, Family, ModelConfig, NormPlacement, QkNorm};

/// A tensor of a checkpoint: one parameter, or several stacked by rows (Phi-3's fused projections).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Name and number of rows of each parameter.
    pub(crate) parts: Vec<(String, usize)>,
}

impl Stored {
    fn one(name: String, shape: &[usize]) -> Self {
        Self { parts: vec![(name.clone(), shape[0])], shape: shape.to_vec(), name }
    }

    fn stacked(prefix: &str, name: &str, width: usize, parts: &[(&str, usize)]) -> Self {
        Self {
            name: format!("{prefix}.{name}.weight"),
            shape: vec![parts.iter().map(|p| p.1).sum(), width],
            parts: parts.iter().map(|(n, rows)| (format!("{prefix}.{n}.weight"), *rows)).collect(),
        }
    }
}

/// All tensors of a checkpoint, in the order of the forward pass.
pub(crate) fn layout(c: &ModelConfig) -> Vec<Stored> {
    let mut all = vec![Stored::one("model.embed_tokens.weight".into(), &[c.vocab_size, c.hidden_size])];
    for index in 0..c.num_hidden_layers {
        block(c, &format!("model.layers.{index}"), &mut all);
    }
    all.push(Stored::one("model.norm.weight".into(), &[c.hidden_size]));
    if !c.tie_word_embeddings {
        all.push(Stored::one("lm_head.weight".into(), &[c.vocab_size, c.hidden_size]));
    }
    all
}

fn block(c: &ModelConfig, prefix: &str, all: &mut Vec<Stored>) {
    let (h, q, kv, m) = (
        c.hidden_size,
        c.num_attention_heads * c.head_dim,
        c.num_key_value_heads * c.head_dim,
        c.intermediate_size,
    );
    let attention = [("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
    let gated = [("mlp.gate_proj", m), ("mlp.up_proj", m)];
    let one = |name: &str, shape: &[usize]| Stored::one(format!("{prefix}.{name}"), shape);
    if c.family == Family::Phi3 {
        all.push(Stored::stacked(prefix, "self_attn.qkv_proj", h, &attention));
        all.push(Stored::stacked(prefix, "mlp.gate_up_proj", h, &gated));
    } else {
        for (name, rows) in attention.into_iter().chain(gated) {
            all.push(one(&format!("{name}.weight"), &[rows, h]));
        }
    }
    all.push(one("self_attn.o_proj.weight", &[h, q]));
    all.push(one("mlp.down_proj.weight", &[h, m]));
    let biased = match c.attention_bias {
        AttentionBias::None => &[][..],
        AttentionBias::Inputs => &attention[..],
        AttentionBias::All => &[attention[0], attention[1], attention[2], ("self_attn.o_proj", h)],
    };
    for (name, rows) in biased {
        all.push(one(&format!("{name}.bias"), &[*rows]));
    }
    if c.mlp_bias {
        for (name, rows) in gated.into_iter().chain([("mlp.down_proj", h)]) {
            all.push(one(&format!("{name}.bias"), &[rows]));
        }
    }
    let widths = match c.qk_norm {
        QkNorm::None => None,
        QkNorm::PerHead => Some((c.head_dim, c.head_dim)),
        QkNorm::Whole => Some((q, kv)),
    };
    if let Some((q, k)) = widths {
        all.push(one("self_attn.q_norm.weight", &[q]));
        all.push(one("self_attn.k_norm.weight", &[k]));
    }
    let norms: &[&str] = match c.norms {
        NormPlacement::Pre => &["input_layernorm", "post_attention_layernorm"],
        NormPlacement::Post => &["post_attention_layernorm", "post_feedforward_layernorm"],
        NormPlacement::Both => &[
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ],
    };
    for name in norms {
        all.push(one(&format!("{name}.weight"), &[h]));
    }
}

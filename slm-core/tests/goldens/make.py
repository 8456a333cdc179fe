#!/usr/bin/env python3
"""Makes the goldens beside this script: tiny models with random weights and what transformers and PEFT compute.

    python3 make.py <output folder>          needs: torch transformers peft safetensors tokenizers

Weights are random and no norm is exactly one, so that every weight matters. Recorded with transformers 5.23 and 5.24,
peft 0.21 and torch 2.15 (float32, eager attention, one thread). Per family:

    config.json, tokenizer.json, model.safetensors    a Hugging Face directory
    reference.safetensors     input_ids [rows,40]; logits [rows,40,512]; logits_12: the first 12 tokens alone; hidden.N;
                              loss (labels are the inputs); greedy_12_16: 16 greedy tokens after 12

Whatever has a window, a border or a rotary scaling has it well within those 40 tokens.
    ../../../slm-lora/tests/goldens/FAMILY-KIND       a PEFT adapter, its logits, five AdamW losses, merged logits
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

os.environ["HF_HUB_OFFLINE"] = "1"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(kind, architecture, **more):
    common = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=512,
                  intermediate_size=128, hidden_act="silu", initializer_range=0.02, attention_dropout=0.0,
                  torch_dtype="float32", use_cache=True, bos_token_id=0, eos_token_id=0)
    return {**common, "model_type": kind, "architectures": [architecture], **more}


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32,
              rope_type="llama3")
LONGROPE = dict(type="longrope", short_factor=[1.0, 1.01, 1.03, 1.08, 1.1, 1.3, 1.5, 1.9],
                long_factor=[1.05, 1.2, 1.6, 2.5, 3.9, 5.1, 6.6, 7.9])


def small(kind, architecture, **more):
    """Half as wide, for the families that came later."""
    narrow = dict(hidden_size=32, intermediate_size=64, max_position_embeddings=256)
    return config(kind, architecture, **{**narrow, **more})


# The seed of a family is its number.
FAMILIES = {
    "qwen3": (0, config("qwen3", "Qwen3ForCausalLM", head_dim=32, attention_bias=False, max_position_embeddings=256,
                        max_window_layers=2, rms_norm_eps=1e-6, rope_scaling=None, rope_theta=1000000,
                        sliding_window=None, use_sliding_window=False, tie_word_embeddings=True)),
    "llama": (2, config("llama", "LlamaForCausalLM", head_dim=16, attention_bias=False, mlp_bias=False,
                        max_position_embeddings=1024, rms_norm_eps=1e-5, rope_scaling=LLAMA3, rope_theta=500000.0,
                        tie_word_embeddings=True, pretraining_tp=1)),
    "mistral": (3, config("mistral", "MistralForCausalLM", head_dim=16, max_position_embeddings=256,
                          rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=8, tie_word_embeddings=False)),
    "phi3": (4, config("phi3", "Phi3ForCausalLM", attention_bias=False, embd_pdrop=0.0, resid_pdrop=0.0,
                       max_position_embeddings=128, pad_token_id=0, original_max_position_embeddings=16,
                       rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=False,
                       rope_scaling=LONGROPE)),
    "qwen2": (10, small("qwen2", "Qwen2ForCausalLM", num_hidden_layers=3, max_window_layers=2, rms_norm_eps=1e-6,
                        rope_theta=1000000.0, sliding_window=8, use_sliding_window=True, tie_word_embeddings=False)),
    "gemma2": (11, small("gemma2", "Gemma2ForCausalLM", head_dim=16, hidden_act=None, attention_bias=False,
                         hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=24, sliding_window=8,
                         attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rms_norm_eps=1e-6,
                         rope_theta=10000.0, tie_word_embeddings=True, pad_token_id=0)),
    "gemma3": (12, small("gemma3_text", "Gemma3ForCausalLM", head_dim=16, hidden_act=None, attention_bias=False,
                         num_hidden_layers=3, hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=24,
                         attn_logit_softcapping=None, final_logit_softcapping=None, rms_norm_eps=1e-6,
                         rope_theta=1000000.0, rope_local_base_freq=10000.0, sliding_window=8, sliding_window_pattern=2,
                         rope_scaling=dict(rope_type="linear", factor=8.0), tie_word_embeddings=True, pad_token_id=0)),
    "phi4": (13, small("phi3", "Phi3ForCausalLM", attention_bias=False, embd_pdrop=0.0, resid_pdrop=0.0, hidden_size=64,
                       pad_token_id=0, original_max_position_embeddings=16, rms_norm_eps=1e-5, rope_theta=10000.0,
                       sliding_window=262144, tie_word_embeddings=True, partial_rotary_factor=0.75,
                       rope_scaling=dict(type="longrope", short_factor=[1.0, 1.01, 1.03, 1.08, 1.1, 1.3],
                                         long_factor=[1.05, 1.2, 1.6, 2.5, 3.9, 5.1]))),
    "smollm3": (14, small("smollm3", "SmolLM3ForCausalLM", num_hidden_layers=4, no_rope_layers=[1, 0, 1, 0],
                          no_rope_layer_interval=2, attention_bias=False, mlp_bias=False, rms_norm_eps=1e-6,
                          rope_theta=5000000.0, rope_scaling=None, sliding_window=None, use_sliding_window=False,
                          layer_types=["full_attention"] * 4, tie_word_embeddings=True, pad_token_id=0)),
    "olmo2": (15, small("olmo2", "Olmo2ForCausalLM", attention_bias=False, rms_norm_eps=1e-6, rope_theta=500000.0,
                        rope_scaling=None, tie_word_embeddings=False, pad_token_id=0)),
    "granite": (16, small("granite", "GraniteForCausalLM", attention_bias=False, mlp_bias=False, rms_norm_eps=1e-5,
                          rope_theta=10000.0, rope_scaling=None, embedding_multiplier=3.0, attention_multiplier=0.2,
                          residual_multiplier=0.22, logits_scaling=2.0, tie_word_embeddings=True, pad_token_id=0)),
    "linear": (17, small("llama", "LlamaForCausalLM", attention_bias=False, mlp_bias=False, rms_norm_eps=1e-5,
                         rope_theta=10000.0, rope_scaling=dict(rope_type="linear", factor=4.0),
                         tie_word_embeddings=True, pretraining_tp=1)),
    "dynamic": (18, small("llama", "LlamaForCausalLM", attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5,
                          rope_theta=10000.0, rope_scaling=dict(type="dynamic", factor=4.0),
                          max_position_embeddings=16, tie_word_embeddings=True, pretraining_tp=1)),
    "yarn": (19, small("qwen3", "Qwen3ForCausalLM", head_dim=16, attention_bias=False, max_window_layers=2,
                       rms_norm_eps=1e-6, rope_theta=10000.0, sliding_window=None, use_sliding_window=False,
                       rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
                       max_position_embeddings=16, tie_word_embeddings=True)),
}
# Norms of these multiply by one plus their weight, and embeddings by the square root of the width.
GEMMA = {"gemma2", "gemma3"}


def tokenizer(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    words = ("small language model domain question answer document retrieve token layer weight quantize adapter rank "
             "train loss number revenue patient clause court contract dose table figure report year the of and to in is "
             "that for with as on by at from").split()
    seed = torch.Generator().manual_seed(5)
    text = [" ".join(words[int(i)] for i in torch.randint(0, len(words), (12,), generator=seed)) for _ in range(400)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    bpe.save(f"{folder}/tokenizer.json")
    names = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    json.dump(names, open(f"{folder}/tokenizer_config.json", "w"))
    return bpe.get_vocab_size()


def load(folder):
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)


def contiguous(tensors):
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def family(out, name, number, settings):
    from transformers import AutoConfig, AutoModelForCausalLM
    folder = f"{out}/{name}"
    os.makedirs(folder, exist_ok=True)
    settings = {key: value for key, value in settings.items() if key != "hidden_act" or value}
    json.dump(settings, open(f"{folder}/config.json", "w"), indent=1)
    vocabulary = tokenizer(folder)
    torch.manual_seed(1000 + number)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
    noise = torch.Generator().manual_seed(2000 + number)
    with torch.no_grad():
        for path, weight in sorted(model.named_parameters()):
            z = torch.randn(weight.shape, generator=noise)
            scale = 1.4 / weight.shape[-1] ** 0.5
            one, embedding = 0.0 if name in GEMMA else 1.0, 1.0 if number < 10 else 0.25
            weight.copy_(one + 0.2 * z if "norm" in path else embedding * z if "embed" in path else z * scale)
    weights = contiguous(model.state_dict())
    if settings["tie_word_embeddings"]:
        weights.pop("lm_head.weight", None)
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})

    model = load(folder).eval()
    ids = torch.randint(1, vocabulary, (2 if number < 10 else 1, 40), generator=torch.Generator().manual_seed(77))
    with torch.no_grad():
        whole = model(ids, output_hidden_states=True, labels=ids)
        greedy = model.generate(ids[:1, :12], max_new_tokens=16, do_sample=False, eos_token_id=None, pad_token_id=0)
        reference = {"input_ids": ids, "logits": whole.logits, "loss": whole.loss.reshape(1),
                     "logits_12": model(ids[:, :12]).logits, "greedy_12_16": greedy[:, 12:]}
    reference |= {f"hidden.{i}": h for i, h in enumerate(whole.hidden_states)}
    save_file(contiguous(reference), f"{folder}/reference.safetensors")
    return folder, ids


def adapter(base, out, ids, number, **kind):
    from peft import LoraConfig, get_peft_model
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEAR, **kind)
    model = get_peft_model(load(base), settings)
    noise = torch.Generator().manual_seed(3000 + number)
    with torch.no_grad():
        for path, weight in sorted(model.named_parameters()):
            if "lora_" in path:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=noise))
    model.eval()
    model.save_pretrained(f"{out}/start")
    with torch.no_grad():
        reference = {"input_ids": ids, "logits_start": model(ids).logits}
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses = []
    for _ in range(5):
        loss = model(ids, labels=ids).loss
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    reference["losses"] = torch.stack(losses)
    with torch.no_grad():
        reference["logits_after5"] = model(ids).logits
        reference["logits_merged"] = model.merge_and_unload()(ids).logits
    save_file(contiguous(reference), f"{out}/reference.safetensors")


def main(out):
    torch.set_num_threads(1)
    for name, (number, settings) in FAMILIES.items():
        base, ids = family(out, name, number, settings)
        if name in ("llama", "qwen3"):
            adapter(base, f"{out}/{name}-lora", ids, number)
        if name == "llama":
            adapter(base, f"{out}/{name}-rslora", ids, number, use_rslora=True)
        print(name)


if __name__ == "__main__":
    main(sys.argv[1])

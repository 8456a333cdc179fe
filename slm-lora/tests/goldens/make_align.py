"""Makes `align.safetensors`: losses, rewards and gradients of TRL's own trainers on one fixed batch of the tiny model `qwen2`
with the adapter `excluded`, for `tests/align.rs`.

python slm-lora/tests/goldens/make_align.py      (torch 2.15, transformers 5.24, peft 0.21.2, trl 1.16)
"""

import pathlib
from collections import defaultdict
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from trl import DPOTrainer, GRPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.utils import add_fused_lm_head

HERE = pathlib.Path(__file__).parent
BASE = HERE / "../../../slm-core/tests/goldens/qwen2"
PROMPTS = [[5, 9, 200], [31, 7], [11, 12, 13, 14]]
CHOSEN = [[411, 8, 77], [300, 301, 302, 303], [9]]
REJECTED = [[17, 400], [5, 6, 7], [222, 223, 224, 225]]
OUTPUTS = ("log_probs", "entropy", "mean_logits", "is_top1")
out = {}


def model():
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager")
    add_fused_lm_head(base, outputs=OUTPUTS)
    return PeftModel.from_pretrained(base, HERE / "excluded", is_trainable=True)


def padded(prompts, completions):
    rows = [p + c for p, c in zip(prompts, completions)]
    masks = [[0] * len(p) + [1] * len(c) for p, c in zip(prompts, completions)]
    width = max(map(len, rows))
    fill = lambda seqs: torch.tensor([s + [0] * (width - len(s)) for s in seqs])
    return fill(rows), fill([[1] * len(r) for r in rows]), fill(masks)


def fake(cls, m, **extra):
    t = object.__new__(cls)
    t.__dict__.update(
        accelerator=Accelerator(cpu=True), model=m, ref_model=None, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=False, f_divergence_type="reverse_kl", loss_weights=[1.0], use_weighting=False,
        label_smoothing=0.0, args=SimpleNamespace(gradient_checkpointing=False, gradient_checkpointing_kwargs=None),
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
        is_encoder_decoder=False, padding_value=0, pad_token_id=0)
    t.__dict__.update(extra)
    return t


def record(name, m, loss, metrics):
    m.zero_grad()
    loss.backward()
    get = lambda key: float(metrics[key][-1] if isinstance(metrics[key], list) else metrics[key])
    out[f"{name}/figures"] = torch.tensor(
        [loss.item(), get("rewards/chosen"), get("rewards/rejected"), get("rewards/margins")])
    grads = {n.removeprefix("base_model.model.").replace(".default.weight", ""): p.grad
             for n, p in m.named_parameters() if p.requires_grad}
    for wanted in ["model.layers.0.self_attn.k_proj.lora_A", "model.layers.0.self_attn.k_proj.lora_B",
                   "model.layers.2.mlp.gate_proj.lora_B"]:
        out[f"{name}/{wanted}"] = grads[wanted].flatten().contiguous()
    print(name, out[f"{name}/figures"].tolist())


def dpo(name, loss_type, beta, **extra):
    m = model()
    ids, attention, completion = padded(PROMPTS + PROMPTS, CHOSEN + REJECTED)
    t = fake(DPOTrainer, m, loss_types=[loss_type], beta=beta, **extra)
    loss = t._compute_loss(m, {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}, False)
    record(name, m, loss, t._metrics["train"])


def smoothed(name, beta, smoothing):
    """cDPO: TRL's smoothed sigmoid, which its CPO trainer keeps, of the log-ratios to the reference."""
    m = model()
    ids, attention, completion = padded(PROMPTS + PROMPTS, CHOSEN + REJECTED)
    labels = ids.masked_fill(completion == 0, -100)
    run = lambda: m(input_ids=ids, attention_mask=attention, labels=labels, fused_lm_head=True).log_probs.sum(1)
    with torch.no_grad(), m.disable_adapter():
        reference = run()
    chosen, rejected = (run() - reference).chunk(2)
    t = fake(CPOTrainer, m, loss_type="sigmoid", beta=beta, label_smoothing=smoothing, alpha=0.0)
    losses, a, b = t.cpo_loss(chosen, rejected)
    record(name, m, losses.mean(), {
        "rewards/chosen": a.mean(), "rewards/rejected": b.mean(), "rewards/margins": (a - b).mean()})


def concatenated(cls, name, **extra):
    m = model()
    batch = {}
    for kind, completions in [("chosen", CHOSEN), ("rejected", REJECTED)]:
        ids, attention, completion = padded(PROMPTS, completions)
        batch |= {f"{kind}_input_ids": ids, f"{kind}_attention_mask": attention,
                  f"{kind}_labels": ids.masked_fill(completion == 0, -100)}
    t = fake(cls, m, **extra)
    loss, metrics = t.get_batch_loss_metrics(m, batch, "train")
    record(name, m, loss, metrics)


def kto(name, beta, good, bad):
    m = model()
    prompts, completions = PROMPTS + PROMPTS, CHOSEN + REJECTED
    ids, attention, completion = padded(prompts, completions)
    # As TRL's dataset: each prompt with the completion before its own.
    k_ids, k_attention, k_completion = padded(prompts, [completions[-1]] + completions[:-1])
    t = fake(KTOTrainer, m, loss_type="kto", calculate_KL=True, beta=beta, desirable_weight=good, undesirable_weight=bad)
    loss = t._compute_loss(m, {
        "input_ids": ids, "attention_mask": attention, "completion_mask": completion, "KL_input_ids": k_ids,
        "KL_attention_mask": k_attention, "KL_completion_mask": k_completion,
        "label": torch.tensor([True] * 3 + [False] * 3)}, False)
    record(name, m, loss, t._metrics["train"])
    out[f"{name}/kl"] = torch.tensor([t._metrics["train"]["kl"][-1]])


def grpo(name, loss_type, beta):
    """TRL's loss of fixed answers; the probabilities that it was sampled with are moved so that some ratios are clipped."""
    m = model()
    completions = CHOSEN + REJECTED
    ids, attention, completion = padded(PROMPTS + PROMPTS, completions)

    def per_token(model, *_args, **_kw):
        logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1]
        every = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
        rows = [row[mask.bool()] for row, mask in zip(every, completion[:, 1:])]
        own = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return own, torch.zeros_like(own), None

    with torch.no_grad():
        own = per_token(m)[0]
        with m.disable_adapter():
            reference = per_token(m)[0]
    mask = torch.zeros_like(own)
    for row, c in enumerate(completions):
        mask[row, : len(c)] = 1
    old = own + 0.4 * torch.sin(torch.arange(own.numel()).float().reshape(own.shape))
    t = fake(GRPOTrainer, m, loss_type=loss_type, beta=beta, epsilon_low=0.2, epsilon_high=0.3,
             top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token",
             use_vllm=False, current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False,
             args=SimpleNamespace(use_bias_correction_kl=False, delta=None))
    t._get_per_token_logps_and_entropies = per_token
    m.train()
    loss = t._compute_loss(m, {
        "prompt_ids": ids[:, :0], "prompt_mask": ids[:, :0], "completion_ids": ids, "completion_mask": mask,
        "advantages": torch.tensor(ADVANTAGES), "old_per_token_logps": old, "ref_per_token_logps": reference})
    record(name, m, loss, {f"rewards/{key}": 0.0 for key in ["chosen", "rejected", "margins"]})
    out[f"{name}/old"] = torch.cat([row[keep.bool()] for row, keep in zip(old, mask)])


ADVANTAGES = [1.2, -0.7, 0.3, -1.0, 0.5, -0.2]

dpo("sigmoid", "sigmoid", 0.1)
dpo("ipo", "ipo", 0.2)
dpo("hinge", "hinge", 0.3)
dpo("robust", "robust", 0.5, label_smoothing=0.1)
smoothed("smoothed", 0.5, 0.1)
concatenated(ORPOTrainer, "orpo", beta=0.4)
concatenated(CPOTrainer, "simpo", beta=2.0, loss_type="simpo", simpo_gamma=0.5, cpo_alpha=0.0, alpha=0.0,
             label_smoothing=0.05)
kto("kto", 0.3, 1.0, 1.5)
grpo("grpo", "grpo", 0.3)
grpo("bnpo", "bnpo", 0.0)
save_file(out, HERE / "align.safetensors")

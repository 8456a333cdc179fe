"""Makes the folders of this directory that `tests/kinds.rs` and `tests/combine.rs` read: tiny adapters by PEFT for the tiny
models of slm-core, their logits, and the losses of a few optimizer steps.

python slm-lora/tests/goldens/make.py            (torch 2.15, transformers 5.24, peft 0.21.2)
"""

import json
import pathlib
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
BASES = HERE / "../../../slm-core/tests/goldens"
IDS = torch.tensor([[5, 9, 200, 31, 7, 411], [1, 2, 3, 4, 5, 6]])
NAMES = ["q_proj", "v_proj"]

CASES = {
    "dora": ("qwen2", dict(r=2, target_modules="all-linear", use_dora=True)),
    "dora-phi3": ("phi3", dict(r=2, target_modules=["qkv_proj", "down_proj"], use_dora=True)),
    "pissa": ("dynamic", dict(r=4, target_modules=NAMES, init_lora_weights="pissa")),
    "olora": ("dynamic", dict(r=4, target_modules=NAMES, init_lora_weights="olora")),
    "patterns": ("qwen2", dict(
        r=4, target_modules=r".*\.layers\.(?!2).*\.(q_proj|up_proj|down_proj)", use_rslora=True,
        rank_pattern={r"layers\.0\.self_attn\.q_proj": 2, "up_proj": 3},
        alpha_pattern={"up_proj": 5, r"1\.mlp\.down_proj": 2})),
    "excluded": ("qwen2", dict(
        r=2, target_modules=["k_proj", "gate_proj"], exclude_modules=["layers.1.self_attn.k_proj"])),
    "embedding": ("qwen2", dict(r=2, target_modules=["embed_tokens", "lm_head", "v_proj"])),
    "embedding-tied": ("dynamic", dict(r=2, target_modules=["embed_tokens", "lm_head"])),
    "embedding-dora": ("qwen2", dict(r=2, target_modules=["embed_tokens"], use_dora=True)),
    "saved": ("qwen2", dict(r=2, target_modules=NAMES, modules_to_save=["embed_tokens", "norm"])),
    "saved-tied": ("dynamic", dict(r=2, target_modules=NAMES, modules_to_save=["lm_head"])),
    "loraplus": ("dynamic", dict(r=4, target_modules=NAMES)),
}


def base(name):
    return AutoModelForCausalLM.from_pretrained(BASES / name, dtype=torch.float32, attn_implementation="eager").eval()


def shake(model, scale=0.05):
    """Moves what learns, as training would."""
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data += scale * torch.randn_like(p) * (p.data.abs().mean() + 0.2)


def adapter(name, options, seed, alpha=8):
    torch.manual_seed(seed)
    options = dict(options)
    model = get_peft_model(base(name), LoraConfig(lora_alpha=alpha, task_type="CAUSAL_LM", **options))
    shake(model)
    return model.eval()


def save(model, folder, name):
    # A tied base's copies of its embedding are what PEFT adds on its own; they are large, and not read.
    model.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = f"slm-core/tests/goldens/{name}"
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (folder / "README.md").unlink(missing_ok=True)


def losses(model, plus):
    learned = [p for p in model.parameters() if p.requires_grad]
    if plus:
        optimizer = create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=2e-3, loraplus_lr_ratio=8.0, loraplus_weight_decay=0.0)
        for group in optimizer.param_groups:
            group.update(weight_decay=0.0)
    else:
        optimizer = torch.optim.AdamW(learned, lr=5e-3, weight_decay=0.0)
    seen = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        seen.append(loss.item())
        optimizer.step()
    return torch.tensor(seen)


def kinds():
    for case, (name, options) in CASES.items():
        folder = HERE / case
        shutil.rmtree(folder, ignore_errors=True)
        model = adapter(name, options, 7)
        save(model, folder, name)
        with torch.no_grad():
            logits = model(IDS).logits
        # What is on the disk is what was measured.
        again = PeftModel.from_pretrained(base(name), folder)
        with torch.no_grad():
            far = (again(IDS).logits - logits).abs().max().item()
        print(case, "written and read again:", far)
        assert far < 1e-4
        save_file({"logits": logits.contiguous(), "losses": losses(model, case == "loraplus")}, folder / "reference.safetensors")


def combined():
    folder = HERE / "combine"
    shutil.rmtree(folder, ignore_errors=True)
    options = dict(r=4, target_modules=["q_proj", "down_proj"])
    for letter, seed, alpha in [("a", 1, 8), ("b", 2, 4)]:
        model = adapter("dynamic", options, seed, alpha)
        shake(model, 0.2)
        save(model, folder / letter, "dynamic")
    model = PeftModel.from_pretrained(base("dynamic"), folder / "a", adapter_name="a")
    model.load_adapter(folder / "b", adapter_name="b")
    ways = {
        "linear": dict(combination_type="linear"),
        "cat": dict(combination_type="cat"),
        "svd": dict(combination_type="svd", svd_rank=3),
        "ties": dict(combination_type="ties", density=0.5),
        "ties_svd": dict(combination_type="ties_svd", density=0.4, svd_rank=5),
        "dare_linear": dict(combination_type="dare_linear", density=1.0),
        "dare_ties": dict(combination_type="dare_ties", density=1.0),
    }
    out = {}
    for way, extra in ways.items():
        model.add_weighted_adapter(["a", "b"], [0.7, 1.3], way, **extra)
        model.set_adapter(way)
        with torch.no_grad():
            out[way] = model(IDS).logits.contiguous()
    model.add_weighted_adapter(["a", "b"], [1.0, -0.5], "minus", combination_type="linear")
    model.set_adapter("minus")
    with torch.no_grad():
        out["minus"] = model(IDS).logits.contiguous()
    # Only the last position, to keep the file small.
    save_file({k: v[:, -1].contiguous() for k, v in out.items()}, folder / "reference.safetensors")


kinds()
combined()

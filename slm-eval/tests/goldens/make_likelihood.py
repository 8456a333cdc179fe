"""Records what lm-evaluation-harness makes of a small suite of our own, on the tiny Llama of slm-core's goldens and,
where `SLM_DATA` points at the development data, on stories260K: `likelihood.json`.

    pip install lm-eval==0.4.13 transformers==5.24.0 torch==2.15.0
    python make_likelihood.py
"""
import json
import os
import random
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
PEOPLE = ["Lily", "Tom", "a little dog", "the old man", "Mia and Ben", "Zoë", "the naïve bear"]
PLACES = ["in the park", "at home", "by the sea", "under the big tree", "in the café"]
ENDS = ["was happy", "was very sad", "went to sleep", "ran away", "said thank you to everyone", "fell", "ate the cake …",
        "smiled", "cried", "had fun", "flew to the moon", "42"]


def choices(rng):
    rows = []
    for at in range(40):
        question = f"Once upon a time, {rng.choice(PEOPLE)} played {rng.choice(PLACES)}."
        if at % 3 == 0:
            question += f" Then {rng.choice(PEOPLE)} came and"
        if at % 7 == 0:
            question += " "  # The space moves to the continuation.
        options = rng.sample(ENDS, rng.randint(2, 5))
        rows.append({"question": question, "choices": options, "gold": rng.randrange(len(options))})
    rows.append({"question": "Once upon a time " * 120 + "the dog", "choices": ENDS[:4], "gold": 2})
    return rows


def texts(rng):
    line = lambda: f"{rng.choice(PEOPLE)} {rng.choice(ENDS)} {rng.choice(PLACES)}."
    rows = [" ".join(line() for _ in range(n)) for n in (1, 2, 5, 20, 60)]
    return [{"text": text} for text in rows + ["  Two\n\nlines,\ttabs  and spaces.\n", "é"]]


CHOICES = """
task: own_choices
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {{metric: acc}}
  - {{metric: acc_norm}}
  - {{metric: acc_bytes}}
"""
TEXTS = """
task: own_texts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - {{metric: word_perplexity}}
  - {{metric: byte_perplexity}}
  - {{metric: bits_per_byte}}
"""


def measure(model_path, rows, folder):
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    # transformers 5 forgets the setting for tokenizers that do not name their class.
    tokenizer.add_bos_token = json.loads(Path(model_path, "tokenizer_config.json").read_text()).get("add_bos_token", False)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, max_length=256)
    tasks = ["own_choices", "own_texts"]
    found = lm_eval.simple_evaluate(wrapped, tasks=tasks, task_manager=TaskManager(include_path=str(folder)),
                                    log_samples=True, bootstrap_iters=0)
    samples = {task: sorted(found["samples"][task], key=lambda s: s["doc_id"]) for task in tasks}
    metric = lambda task, name: found["results"][task][f"{name},none"]
    return {
        "choices": [[float(r[0][0]) for r in s["resps"]] for s in samples["own_choices"]],
        "texts": [float(s["resps"][0][0] if isinstance(s["resps"][0], list) else s["resps"][0]) for s in samples["own_texts"]],
        **{name: metric("own_choices", name) for name in ["acc", "acc_norm", "acc_bytes"]},
        **{name: metric("own_texts", name) for name in ["word_perplexity", "byte_perplexity", "bits_per_byte"]},
    }


def main():
    rng = random.Random(5)
    rows = {"choices": choices(rng), "texts": texts(rng)}
    models = {"llama": HERE.parents[2] / "slm-core/tests/goldens/llama"}
    if "SLM_DATA" in os.environ:
        models["stories260K"] = Path(os.environ["SLM_DATA"], "models/stories260K")
    with tempfile.TemporaryDirectory() as folder:
        for name, template in [("choices", CHOICES), ("texts", TEXTS)]:
            path = Path(folder, f"{name}.jsonl")
            path.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
            Path(folder, f"own_{name}.yaml").write_text(template.format(path=path))
        rows["models"] = {name: measure(path, rows, folder) for name, path in models.items()}
    path = HERE / "likelihood.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    print(path, path.stat().st_size, {k: {m: v for m, v in r.items() if isinstance(v, float)} for k, r in rows["models"].items()})


if __name__ == "__main__":
    main()

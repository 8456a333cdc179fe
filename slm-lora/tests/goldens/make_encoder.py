#!/usr/bin/env python3
"""Records losses and gradients of a tiny BERT (slm-core/tests/goldens/encoder-mean) in encoder.json.

    python3 make_encoder.py       needs: torch sentence-transformers pytorch-metric-learning

Prototypes: torch's cross_entropy; supervised contrastive: SupConLoss of pytorch-metric-learning; pairs:
MultipleNegativesRankingLoss of sentence-transformers. Of each gradient: its length, its product with sin(0.1 i), and its first
numbers. Recorded with torch 2.15, sentence-transformers 6.2, pytorch-metric-learning 2.9 (float32, one thread).
"""
import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SupConLoss
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import MultipleNegativesRankingLoss

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = f"{HERE}/../../../slm-core/tests/goldens/encoder-mean"
SCALE, SMOOTHING = 10.0, 0.1
LABELLED = [
    ("The pod was killed with exit code 137.", "cluster"),
    ("exit code 137 in the pod", "cluster"),
    ("the court read the contract", "court"),
    ("the contract of the court, read", "court"),
    ("the court", "court"),
    ("Dose, revenue & report: 12 tables in 2024!", "report"),
    ("revenue of the report in 2024", "report"),
    ("naïve café", "place"),
]
PAIRS = [
    ("exit code 137?", "The pod was killed with exit code 137."),
    ("who read the contract?", "the court read the contract of the patient"),
    ("how many tables", "Dose, revenue & report: 12 tables in 2024!"),
    ("where", "Überraschung: naïve café, layer weight rank loss"),
]


def vectors(model, texts):
    return F.normalize(model(model.tokenize(texts))["sentence_embedding"], dim=-1)


def record(loss, model, prototypes=None):
    model.zero_grad()
    loss.backward()
    found = {}
    for path, weight in model[0].auto_model.named_parameters():
        if "pooler" in path or path.endswith("_embeddings.weight"):
            continue
        layer, inner, rest = path.partition("attention.self.")
        if inner:
            part, kind = rest.split(".")
            found.setdefault(f"{layer}attention.self.qkv.{kind}", []).append((part, weight.grad))
        else:
            found[path] = [("", weight.grad)]
    if prototypes is not None:
        found["prototypes"] = [("", prototypes.grad)]
    order = ["", "query", "key", "value"]
    gradients = {}
    for path, own in found.items():
        flat = torch.cat([g.flatten() for _, g in sorted(own, key=lambda p: order.index(p[0]))]).double()
        wave = torch.sin(0.1 * torch.arange(len(flat), dtype=torch.float64))
        numbers = [flat.norm(), flat @ wave, *flat[:4]]
        gradients[path] = [float(f"{float(x):.7g}") for x in numbers]
    return dict(loss=float(f"{loss.item():.7g}"), gradients=gradients)


def main():
    torch.set_num_threads(1)
    model = SentenceTransformer(MODEL, device="cpu")
    model.eval()
    texts, names = [t for t, _ in LABELLED], sorted({l for _, l in LABELLED})
    labels = torch.tensor([names.index(l) for _, l in LABELLED])
    cases = {}
    with torch.no_grad():
        v = vectors(model, texts)
        start = F.normalize(torch.stack([v[labels == n].sum(0) for n in range(len(names))]), dim=-1)
    prototypes = start.clone().requires_grad_()
    scores = SCALE * vectors(model, texts) @ F.normalize(prototypes, dim=-1).T
    cases["prototypes"] = record(F.cross_entropy(scores, labels, label_smoothing=SMOOTHING), model, prototypes)
    supervised = SupConLoss(temperature=1 / SCALE)
    cases["supervised_contrastive"] = record(supervised(vectors(model, texts), labels), model)
    ranking = MultipleNegativesRankingLoss(model, scale=SCALE)
    sides = [model.tokenize([pair[n] for pair in PAIRS]) for n in (0, 1)]
    cases["pairs"] = record(ranking(sides, None), model)
    golden = dict(scale=SCALE, smoothing=SMOOTHING, labelled=LABELLED, paired=PAIRS, cases=cases)
    json.dump(golden, open(f"{HERE}/encoder.json", "w"), ensure_ascii=False)


if __name__ == "__main__":
    main()

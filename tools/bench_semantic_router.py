"""aurelio's semantic-router on the public intent sets, with the vectors of MiniLM.

    pip install semantic-router sentence-transformers scikit-learn
    python tools/bench_semantic_router.py DATA MINILM [VECTORS]

DATA is the folder of public sets that the bench `routing` of slm-router takes, and the parts are the same; VECTORS a
folder in which that bench has kept vectors. Prints accuracy, and for CLINC150 the area under the ROC curve of the
similarity score, in scope against out of scope.
"""

import gzip
import json
import pathlib
import sys
import time

import numpy as np
from semantic_router import IndexedRouter, Route
from semantic_router.encoders import DenseEncoder
from sklearn.metrics import roc_auc_score, roc_curve

data, minilm = pathlib.Path(sys.argv[1]), sys.argv[2]
kept = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
known = {}


class Known(DenseEncoder):
    """Vectors that were computed before."""

    name: str = "minilm"

    def __call__(self, docs):
        return [known[doc] for doc in docs]


def load(name, file, key):
    with gzip.open(data / file, "rt") as lines:
        records = [json.loads(line) for line in lines]
    texts, intents = [r["text"] for r in records], [r[key] for r in records]
    path = kept / f"{name}.f32" if kept else None
    if path and path.exists():
        vectors = np.fromfile(path, dtype="<f4").reshape(len(texts), -1)
    else:
        from sentence_transformers import SentenceTransformer

        vectors = SentenceTransformer(minilm, device="cpu").encode(texts, batch_size=64, normalize_embeddings=True)
    known.update(zip(texts, vectors.tolist()))
    return texts, intents


def measure(name, train, test, strangers=()):
    utterances = {}
    for text, intent in zip(*train):
        utterances.setdefault(intent, []).append(text)
    routes = [Route(name=intent, utterances=own) for intent, own in utterances.items()]
    router = IndexedRouter(Known(), routes)
    start = time.time()
    chosen = [router(text) for text in test[0]]
    seconds = time.time() - start
    right = sum(choice.name == intent for choice, intent in zip(chosen, test[1]))
    line = f"{name}: accuracy {100 * right / len(chosen):.2f} %, {1e6 * seconds / len(chosen):.0f} us a decision"
    if strangers:
        other = [router(text) for text in strangers]
        scores = [choice.confidence or 0.0 for choice in chosen + other]
        labels = [1] * len(chosen) + [0] * len(other)
        false_positive, true_positive, _ = roc_curve(labels, scores)
        fpr95 = false_positive[np.argmax(true_positive >= 0.95)]
        line += f", AUROC {roc_auc_score(labels, scores):.4f}, FPR95 {100 * fpr95:.1f} %"
    print(line, flush=True)


def fifth(texts, intents):
    held_out = [n % 5 == 0 for n in range(len(texts))]
    part = lambda keep: ([t for t, h in zip(texts, held_out) if h == keep], [i for i, h in zip(intents, held_out) if h == keep])
    return part(False), part(True)


measure(
    "CLINC150",
    load("clinc_train", "clinc-oos/train.jsonl.gz", "intent"),
    load("clinc_val", "clinc-oos/val.jsonl.gz", "intent"),
    load("oos_val", "clinc-oos/oos_val.jsonl.gz", "intent")[0],
)
measure("BANKING77", *fifth(*load("banking", "banking77/train.jsonl.gz", "category")))
measure("HWU64", *fifth(*load("hwu", "hwu64/kfold1_trainset.jsonl.gz", "intent")))

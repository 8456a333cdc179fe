#!/usr/bin/env python3
"""Makes tokenizers/: tiny tokenizers in every file format that is read, and the ids that their own libraries give.

    python3 make_tokenizers.py     needs: tokenizers sentencepiece tiktoken gguf (recorded with 0.23.3 0.2.3 0.14.0 0.17)

Each folder holds the files as a model directory would, and ids.json: texts, ids, and ids of the texts with what is put
around them. The corpus is made up below.
"""
import base64
import json
import os
import random
import shutil

import gguf
import sentencepiece
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")
WORDS = """a an the of to in is that for with as on by at from it was he she they we you not but or and if when then
pump valve filter pressure water motor sensor cable engine brake wheel report table figure patient dose court contract
answer question document model token layer weight train small large old new first last open closed 0 1 2 3 10 42 100
2024 3.5 7% x=1 def return print("hi") für Größe über naïve café déjà vu год вода модель 水 模型 東京 語 😀 🚀 don't it's
we'll I'm""".split()
TEXTS = [
    "", " ", "  ", "\n", "\n\n", "\t", "The pump is closed.", " the pump", "the  pump   is", "don't it's we'll I'M",
    "Größe über café", "Gro\u0308ße", "вода модель", "東京 模型 水", "😀🚀 👩‍👩‍👧", "3.5 and 2024 and 100000", "a\nb\r\nc\n\n\nd",
    "def f(x):\n    return x * 2\n", "<|bos|>the pump<|end|>\n", "x <|end|> y", "tail space ", "\u00a0nbsp\u3000wide",
    "ÀÉÎ ñ", "q\x00z\x7f", "<0x41>", "▁ under", "unknownword zyxw", "…“quotes”—dash", "1st 2nd", "\ufeffBOM", "᠎ ᅟ ", "ﬁ ①",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|"
         r"\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def corpus():
    rng = random.Random(7)
    return [" ".join(rng.choice(WORDS) for _ in range(12)).capitalize() + ".\n" for _ in range(600)]


def write(folder, name, content):
    os.makedirs(f"{OUT}/{folder}", exist_ok=True)
    mode, encoding = ("wb", None) if isinstance(content, bytes) else ("w", "utf-8")
    with open(f"{OUT}/{folder}/{name}", mode, encoding=encoding, newline="") as file:
        file.write(content)


def dump(folder, name, value):
    write(folder, name, json.dumps(value, ensure_ascii=False, indent=None) + "\n")


def goldens(folder, plain, around, skip=()):
    rows = [{"text": t, "ids": plain(t), "around": around(t)} for t in TEXTS if t not in skip]
    write(folder, "ids.json", "[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")


def byte_level(pattern, nfc, size=360):
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC() if nfc else None
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return bpe


def parts(bpe):
    model = json.loads(bpe.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def vocab_and_merges(folder, pattern, nfc, settings):
    bpe = byte_level(pattern, nfc)
    vocab, merges = parts(bpe)
    dump(folder, "vocab.json", vocab)
    write(folder, "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    bpe.add_special_tokens([AddedToken("<|bos|>", special=True, normalized=False)])
    bpe.add_tokens([AddedToken("<|end|>", special=False, normalized=False)])
    decoder = {str(bpe.token_to_id(t)): {"content": t, "special": t == "<|bos|>", "lstrip": False, "rstrip": False,
                                         "single_word": False, "normalized": False} for t in ("<|bos|>", "<|end|>")}
    dump(folder, "tokenizer_config.json", {**settings, "added_tokens_decoder": decoder})
    ids = lambda t: bpe.encode(t, add_special_tokens=False).ids
    goldens(folder, ids, ids)


def ranks(folder):
    bpe = byte_level(LLAMA3, False)
    vocab, _ = parts(bpe)
    byte_of = {c: b for b, c in bytes_to_unicode().items()}
    table = {bytes(byte_of[c] for c in token): rank for token, rank in vocab.items()}
    write(folder, "tokenizer.model", "".join(
        f"{base64.b64encode(t).decode()} {r}\n" for t, r in sorted(table.items(), key=lambda x: x[1])))
    dump(folder, "config.json", {"model_type": "llama"})
    special = {"<|bos|>": len(table), "<|end|>": len(table) + 1}
    decoder = {str(i): {"content": t, "special": True} for t, i in special.items()}
    dump(folder, "tokenizer_config.json", {"added_tokens_decoder": decoder, "add_bos_token": True, "bos_token": "<|bos|>"})
    encoding = tiktoken.Encoding("tiny", pat_str=LLAMA3, mergeable_ranks=table, special_tokens=special)
    plain = lambda t: encoding.encode(t, allowed_special="all")
    first = special["<|bos|>"]
    goldens(folder, plain, lambda t: plain(t) if plain(t)[:1] == [first] else [first] + plain(t))


def bytes_to_unicode():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def sentence_piece(folder, kind, **more):
    path = f"{OUT}/{folder}"
    os.makedirs(path, exist_ok=True)
    here = os.getcwd()
    os.chdir(path)  # The model holds the paths that it was trained with.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_prefix="tokenizer", model_type=kind, vocab_size=420,
        byte_fallback=True, character_coverage=1.0, minloglevel=2, num_threads=1, **more)
    os.remove("tokenizer.vocab")
    os.chdir(here)
    model = sentencepiece.SentencePieceProcessor(model_file=f"{path}/tokenizer.model")
    # The tokenizers crate takes the name of a byte piece for the piece in unigram models.
    goldens(folder, model.encode, lambda t: [model.bos_id()] + model.encode(t), skip=["<0x41>"] if kind == "unigram" else [])
    return model


def gguf_of_pieces(folder, model):
    def kind(i):
        return 2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1
    n = model.vocab_size()
    write_gguf(folder, "llama", "default", [model.id_to_piece(i) for i in range(n)], [kind(i) for i in range(n)],
               scores=[model.get_score(i) for i in range(n)], bos=model.bos_id(), eos=model.eos_id())
    goldens(folder, model.encode, lambda t: [model.bos_id()] + model.encode(t))


def gguf_of_bytes(folder):
    bpe = byte_level(QWEN2, True)
    vocab, merges = parts(bpe)
    bpe.add_special_tokens([AddedToken("<|bos|>", special=True, normalized=False)])
    bpe.add_tokens([AddedToken("<|end|>", special=False, normalized=False)])
    tokens = sorted(vocab, key=vocab.get) + ["<|bos|>", "<|end|>"]
    write_gguf(folder, "gpt2", "qwen2", tokens, [1] * len(vocab) + [3, 4], merges=[f"{a} {b}" for a, b in merges],
               bos=len(vocab), eos=len(vocab) + 1, add_bos=True)
    ids = lambda t: bpe.encode(t, add_special_tokens=False).ids
    goldens(folder, ids, lambda t: [len(vocab)] + ids(t))


def write_gguf(folder, model, pre, tokens, kinds, scores=None, merges=None, bos=None, eos=None, add_bos=None):
    os.makedirs(f"{OUT}/{folder}", exist_ok=True)
    writer = gguf.GGUFWriter(f"{OUT}/{folder}/tiny.gguf", "llama")
    writer.add_uint64("tiny.skipped", 2 ** 40)
    writer.add_array("tiny.also_skipped", ["x", "yz"])
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    if add_bos is not None:
        writer.add_add_bos_token(add_bos)
    writer.add_chat_template([{"name": "default", "template": "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"},
                              {"name": "tool_use", "template": "{{ tools | tojson }}"}])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def word_list(folder):
    wp = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wp.normalizer = normalizers.BertNormalizer(lowercase=True)
    wp.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    wp.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    vocab = wp.get_vocab()
    write(folder, "vocab.txt", "".join(f"{t}\n" for t in sorted(vocab, key=vocab.get)))
    wp.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    goldens(folder, lambda t: wp.encode(t, add_special_tokens=False).ids, lambda t: wp.encode(t).ids)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    vocab_and_merges("gpt2", GPT2, False, {"tokenizer_class": "GPT2Tokenizer"})
    vocab_and_merges("qwen2", QWEN2, True, {"tokenizer_class": "Qwen2Tokenizer"})
    ranks("tiktoken")
    model = sentence_piece("sentencepiece-bpe", "bpe", normalization_rule_name="identity", remove_extra_whitespaces=False)
    # A few rules keep the model small; extra spaces are removed, as by default.
    write("sentencepiece-unigram", "rules.tsv", "FB01\t66 69\n2460\t31\n3000\t20\n75 308\tFC\n201C\t22\n201D\t22\n9\t20\n")
    sentence_piece("sentencepiece-unigram", "unigram", normalization_rule_tsv="rules.tsv")
    os.remove(f"{OUT}/sentencepiece-unigram/rules.tsv")
    gguf_of_pieces("gguf-llama", model)
    gguf_of_bytes("gguf-gpt2")
    word_list("wordpiece")
    print(len(TEXTS), "texts in", len(os.listdir(OUT)), "formats")


if __name__ == "__main__":
    main()

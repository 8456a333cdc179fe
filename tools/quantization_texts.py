#!/usr/bin/env python3
"""Texts to calibrate and to measure quantization on: questions and answers of general and log kind, and WikiText-2.

    python tools/quantization_texts.py DATA OUT

DATA holds dolly-3k/dolly_3k.jsonl.gz, loghub-2k/*.structured.jsonl.gz and wikitext-2/valid.txt.gz. OUT gets questions.calibrate.txt
and questions.test.txt, in which the two kinds take turns in the turns of the embedded base model's template, and
wiki.calibrate.txt and wiki.test.txt. No question and no paragraph is in both files of a pair.
"""

import argparse
import gzip
import itertools
import json
import pathlib
import random
import tempfile

import loghub_pairs

BYTES = 200_000


def turns(question, answer):
    return f"<|user|>{question}<|end|><|assistant|>{answer}<|end|>"


def general(data):
    with gzip.open(data / "dolly-3k" / "dolly_3k.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            yield turns("\n".join(filter(None, [row["instruction"], row["input"]])), row["output"])


def logs(data):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "pairs.jsonl"
        loghub_pairs.main(data / "loghub-2k", path)
        pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted({turns(pair["question"], pair["answer"]) for pair in pairs})


def shuffled(items):
    items = list(items)
    random.Random(7).shuffle(items)
    return items


def halves(items):
    return items[: len(items) // 2], items[len(items) // 2 :]


def write(path, parts):
    """As many whole parts as fit."""
    size, taken = 0, []
    for part in parts:
        size += len(part.encode())
        if size > BYTES:
            break
        taken.append(part)
    path.write_text("".join(taken), encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes, {len(taken)} parts")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kinds = [halves(shuffled(general(arguments.data))), halves(shuffled(logs(arguments.data)))]
    with gzip.open(arguments.data / "wikitext-2" / "valid.txt.gz", "rt", encoding="utf-8") as text:
        wiki = halves(text.readlines())
    for half, name in enumerate(["calibrate", "test"]):
        questions = itertools.chain.from_iterable(zip(*(kind[half] for kind in kinds)))
        write(arguments.out / f"questions.{name}.txt", questions)
        write(arguments.out / f"wiki.{name}.txt", wiki[half])


if __name__ == "__main__":
    main()

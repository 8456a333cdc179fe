"""Throughput of curation against datatrove and text-dedup, in one interleaved run on the same documents.

    pip install 'datatrove[processing]' text-dedup spacy
    cargo build --release -p slm-data --example throughput
    python tools/bench_curate.py --data DATA --binary target/release/examples/throughput --megabytes 20 --rounds 3

The documents are paragraphs and answers of the public sets in DATA (see docs/guides/curate.md), repeated with a share
of words exchanged until they have the size asked for. Each program reads the JSON lines and writes what it keeps, on
one core. CPU seconds (user) are compared, as the machine may be shared; wall seconds and the peak of resident memory
are shown beside them.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATATROVE_MINHASH = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
source, work = sys.argv[1:]
config = MinhashConfig()
def run(steps, tasks=1):
    LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=1, logging_dir=f"{work}/logs", skip_completed=False).run()
reader = JsonlReader(source)
run([reader, MinhashDedupSignature(output_folder=f"{work}/signatures", config=config)])
run([MinhashDedupBuckets(f"{work}/signatures", f"{work}/buckets", config=config)], tasks=config.num_buckets)
run([MinhashDedupCluster(f"{work}/buckets", f"{work}/remove", config=config)])
run([reader, MinhashDedupFilter(f"{work}/remove"), JsonlWriter(f"{work}/out", compression=None)])
"""

DATATROVE_FILTERS = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
source, work = sys.argv[1:]
LocalPipelineExecutor(pipeline=[JsonlReader(source), GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(),
    JsonlWriter(f"{work}/out", compression=None)], tasks=1, workers=1, logging_dir=f"{work}/logs", skip_completed=False).run()
"""


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def documents(data):
    for row in lines(data / "llamafactory-demo/c4_demo.jsonl.gz"):
        yield row["text"]
    for row in lines(data / "medquad/qa.jsonl.gz"):
        yield row["answer"]
    for row in lines(data / "pubmedqa/train_dev.jsonl.gz"):
        yield " ".join(row["contexts"])
    for row in lines(data / "dolly-3k/dolly_3k.jsonl.gz"):
        yield row["output"]
    for row in lines(data / "prometheus-docs/docs.jsonl.gz"):
        yield row["text"]


def make(*arguments):
    """Calls `write` in a process of its own: a child's peak memory counts what its parent held when it was forked."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(write, arguments)


def write(data, path, megabytes):
    """Writes the documents again and again: in later rounds nine in ten with a third of the words exchanged, which are
    no duplicates any more, and one in ten with two words in a hundred exchanged, which are."""
    rng = random.Random(1)
    originals = list(documents(data))
    words = [word for text in originals[:2000] for word in text.split()]
    size = count = turn = 0
    with open(path, "w", encoding="utf-8") as out:
        while size < megabytes * 1e6:
            for text in originals:
                if turn:
                    share = 0.02 if rng.random() < 0.1 else 0.33
                    text = "\n".join(
                        " ".join(rng.choice(words) if rng.random() < share else word for word in line.split())
                        for line in text.split("\n")
                    )
                line = json.dumps({"id": str(count), "text": text}, ensure_ascii=False)
                out.write(line + "\n")
                size += len(line.encode()) + 1
                count += 1
                if size >= megabytes * 1e6:
                    break
            turn += 1
    return count


def run(command, environment):
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        log.seek(0)
        text = log.read().decode(errors="replace")
    if status:
        raise SystemExit(f"{command[:4]} failed:\n{text[-2000:]}")
    return {"user": usage.ru_utime, "system": usage.ru_stime, "wall": wall, "mib": usage.ru_maxrss / 1024, "log": text}


def kept(folder):
    return sum(sum(1 for _ in open(path, encoding="utf-8")) for path in Path(folder).rglob("*.jsonl"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of the programs to run")
    parser.add_argument("--large", type=float, default=0, help="run slm-data alone on so many megabytes, too")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="bench-curate-"))
    source = work / "in"
    source.mkdir()
    count = make(options.data, source / "documents.jsonl", options.megabytes)
    print(f"{count} documents, {options.megabytes:g} MB")
    environment = dict(os.environ, RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    file = str(source / "documents.jsonl")
    ours = lambda mode, out: [options.binary, mode, file, f"{out}/kept.jsonl"]
    programs = {
        "slm-data minhash": lambda out: ours("near", out),
        "datatrove minhash": lambda out: [sys.executable, "-c", DATATROVE_MINHASH, str(source), out],
        "text-dedup minhash": lambda out: [
            sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", file, "--split", "train",
            "--column", "text", "--ngram", "5", "--num_perm", "256", "--threshold", "0.7", "--batch_size", "10000",
            "--num_proc", "1", "--cache_dir", f"{out}/cache", "--output", f"{out}/out", "--use_auth_token", "false",
        ],
        "slm-data filters": lambda out: ours("filters", out),
        "datatrove filters": lambda out: [sys.executable, "-c", DATATROVE_FILTERS, str(source), out],
        "slm-data pii": lambda out: ours("pii", out),
    }
    results = {name: [] for name in programs if not options.only or name in options.only}
    for turn in range(options.rounds):
        for name in results:
            out = work / f"{name.replace(' ', '-')}"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            found = run(programs[name](str(out)), environment)
            found["kept"] = kept(out)
            results[name].append(found)
            print(f"  round {turn + 1}: {name}: {found['user']:.2f} s user, {found['wall']:.2f} s, {found['mib']:.0f} MiB, kept {found['kept']}", flush=True)
    print(f"| program | CPU s (user) | wall s | MB per CPU s | peak MiB | kept |\n|---|---|---|---|---|---|")
    for name, rounds in results.items():
        user = statistics.median(r["user"] for r in rounds)
        wall = statistics.median(r["wall"] for r in rounds)
        peak = max(r["mib"] for r in rounds)
        print(f"| {name} | {user:.2f} | {wall:.2f} | {options.megabytes / user:.1f} | {peak:.0f} | {rounds[0]['kept'] or '-'} |")
    if options.large:
        make(options.data, source / "documents.jsonl", options.large)
        for mode in ("near", "filters"):
            found = run(ours(mode, str(work)), environment)
            print(f"slm-data {mode} on {options.large:g} MB: {found['user']:.2f} s user, {found['wall']:.2f} s, {found['mib']:.0f} MiB: {found['log'].strip()}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()

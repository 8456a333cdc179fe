#!/usr/bin/env python3
"""Measures slm's search by vectors and by words against hnswlib, faiss, bm25s and tantivy, on the same made-up data, in
turns, and prints the tables and one JSON document.

    python tools/bench_retrieval.py [--count 100000] [--rounds 3] [--minilm DIRECTORY] [--out FILE]

`hnswlib faiss-cpu bm25s PyStemmer tantivy numpy` from PyPI. Graphs have 16 neighbours; each engine searches, one query after the
other on one thread, at the least width (in steps of 20) that finds 98 % of the ten nearest. They are built on two threads.
Words: 125 per text, stemmed, BM25; bm25s and slm's first row hold the index in memory, tantivy and slm's store write it
to disk. Time of words includes reading the query. Memory is what the process took for the index.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

DIMENSION, WIDTHS = 384, range(20, 401, 20)


def memory():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def lines(path):
    return path.read_text().splitlines()


def times(search, queries):
    for query in queries[:20]:
        search(query)
    taken = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - start)
    taken.sort()
    at = lambda share: 1e3 * taken[int((len(taken) - 1) * share)]
    return {"queries_s": len(taken) / sum(taken), "p50_ms": at(0.5), "p99_ms": at(0.99)}


def vectors(folder):
    import numpy as np

    read = lambda name: np.fromfile(folder / name, dtype=np.float32).reshape(-1, DIMENSION)
    rows, queries = read("rows.f32"), read("queries.f32")
    return rows, queries, [set(np.argpartition(-(rows @ q), 10)[:10]) for q in queries]


def least_width(search, queries, truth, **about):
    """The first width at which enough is found, `search(width)` giving the ten nearest of all queries."""
    for width in WIDTHS:
        start = time.perf_counter()
        found = search(width)
        rate = len(queries) / (time.perf_counter() - start)
        recall = sum(len(t & set(f)) for t, f in zip(truth, found, strict=True)) / (10 * len(queries))
        if recall >= 0.98:
            return {**about, "width": width, "recall_10": recall, "queries_s": rate}
    raise SystemExit("no width finds enough")


def hnswlib_(folder):
    import hnswlib

    rows, queries, truth = vectors(folder)
    before = memory()
    index = hnswlib.Index(space="ip", dim=DIMENSION)
    index.init_index(max_elements=len(rows), M=16, ef_construction=100)
    start = time.perf_counter()
    index.add_items(rows, num_threads=2)
    build, used = time.perf_counter() - start, memory() - before

    def search(width):
        index.set_ef(width)
        return index.knn_query(queries, k=10, num_threads=1)[0]

    return least_width(search, queries, truth, build_s=build, bytes=used)


def faiss_(folder):
    import faiss

    rows, queries, truth = vectors(folder)
    faiss.omp_set_num_threads(2)
    before = memory()
    index = faiss.IndexHNSWFlat(DIMENSION, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    start = time.perf_counter()
    index.add(rows)
    build, used = time.perf_counter() - start, memory() - before
    faiss.omp_set_num_threads(1)

    def search(width):
        index.hnsw.efSearch = width
        return [index.search(query[None], 10)[1][0] for query in queries]

    return least_width(search, queries, truth, build_s=build, bytes=used)


def bm25s_(folder):
    import bm25s
    import Stemmer

    texts, queries = lines(folder / "texts.txt"), lines(folder / "queries.txt")
    stemmer = Stemmer.Stemmer("english")
    read = lambda t: bm25s.tokenize(t, stopwords="en", stemmer=stemmer, show_progress=False)
    before, start = memory(), time.perf_counter()
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(read(texts), show_progress=False)
    build, used = time.perf_counter() - start, memory() - before
    search = lambda q: index.retrieve(read([q]), k=10, n_threads=1, show_progress=False)
    return {"build_s": build, "texts_s": len(texts) / build, "bytes": used, **times(search, queries)}


def tantivy_(folder):
    import tantivy

    texts, queries = lines(folder / "texts.txt"), lines(folder / "queries.txt")
    schema = tantivy.SchemaBuilder().add_text_field("text", stored=True, tokenizer_name="en_stem").build()
    with tempfile.TemporaryDirectory() as place:
        before, start = memory(), time.perf_counter()
        index = tantivy.Index(schema, path=place)
        writer = index.writer(heap_size=256 << 20, num_threads=2)
        for text in texts:
            writer.add_document(tantivy.Document(text=text))
        writer.commit()
        build, used = time.perf_counter() - start, memory() - before
        index.reload()
        searcher = index.searcher()
        def search(query):
            hits = searcher.search(index.parse_query(query, ["text"]), 10).hits
            return [searcher.doc(address)["text"] for _, address in hits]
        return {"build_s": build, "texts_s": len(texts) / build, "bytes": used, **times(search, queries)}


PEERS = {"hnswlib": hnswlib_, "faiss": faiss_, "bm25s": bm25s_, "tantivy": tantivy_}


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    from bench_common import build, in_turns, machine, markdown, median, quiet, ratio, run, write

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minilm")
    parser.add_argument("--bench", help="the compiled bench `retrieval`; built where it is not given")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    quiet()
    bench = options.bench or build("retrieval", "slm-rag")
    with tempfile.TemporaryDirectory() as folder:
        import subprocess

        subprocess.run([bench, "make", folder, f"count={options.count}"], check=True)
        ours = lambda what, *more: [bench, "speed", folder, what, *more]
        peer = lambda name: [sys.executable, __file__, "--peer", name, folder]
        near = in_turns(
            {"slm f32": ours("vectors"), "slm int8": ours("vectors-int8"), "hnswlib": peer("hnswlib"), "faiss": peer("faiss")},
            options.rounds,
        )
        words = in_turns(
            {"slm": ours("words"), "slm store": ours("store"), "bm25s": peer("bm25s"), "tantivy": peer("tantivy")},
            options.rounds,
        )
        whole = {"search alone": run(ours("whole"))}
        if options.minilm:
            whole["with MiniLM on the query"] = run(ours("whole", f"minilm={options.minilm}"))
    tables = [
        markdown(
            ["vectors", "queries/s", "against hnswlib", "build s", "against hnswlib", "MB", "recall@10", "width"],
            [[n, f"{median(near, n, 'queries_s'):.0f}", ratio(near, n, "hnswlib", "queries_s"),
              f"{median(near, n, 'build_s'):.1f}", ratio(near, n, "hnswlib", "build_s"),
              f"{median(near, n, 'bytes') / 1e6:.0f}", f"{median(near, n, 'recall_10'):.3f}", median(near, n, "width")]
             for n in ("slm int8", "slm f32", "hnswlib", "faiss")],
        ),
        markdown(
            ["words", "texts/s", "queries/s", "against bm25s", "against tantivy", "p99 ms", "MB"],
            [[n, f"{median(words, n, 'texts_s'):.0f}", f"{median(words, n, 'queries_s'):.0f}",
              ratio(words, n, "bm25s", "queries_s"), ratio(words, n, "tantivy", "queries_s"),
              f"{median(words, n, 'p99_ms'):.2f}", f"{median(words, n, 'bytes') / 1e6:.0f}"]
             for n in ("slm", "slm store", "bm25s", "tantivy")],
        ),
        markdown(
            ["words and vectors of a store", "p50 ms", "p99 ms", "queries/s"],
            [[n, f"{r['p50_ms']:.2f}", f"{r['p99_ms']:.2f}", f"{r['queries_s']:.0f}"] for n, r in whole.items()],
        ),
    ]
    loads = [r["load_average"] for r in near + words]
    print("\n\n".join(tables), f"\n\nload average {min(loads):.1f} to {max(loads):.1f}, median {statistics.median(loads):.1f}")
    if options.out:
        about = machine(["hnswlib", "faiss-cpu", "bm25s", "tantivy", "numpy"])
        result = {"machine": about, "rounds": options.rounds, "count": options.count, "rows": near + words, "whole": whole}
        write(options.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        print(json.dumps({"engine": sys.argv[2], **PEERS[sys.argv[2]](Path(sys.argv[3]))}))
    else:
        main()

#!/usr/bin/env python3
"""Question and answer pairs of LogHub's labelled logs: which event is this line, and with which parameters?

    python3 tools/loghub_pairs.py <loghub-2k folder> pairs.jsonl [lines per system]
    cargo run --release --example domain_expert -- --data pairs.jsonl --out out/loghub

The folder holds SYSTEM.structured.jsonl.gz with Content, EventId and EventTemplate (`<*>` marks a parameter). The answer is
JSON: {"event": "Spark/E35", "parameters": ["17", "/var/x"]}. Lines of more than 160 characters are left out.
"""
import gzip
import json
import pathlib
import random
import re
import sys

LONGEST = 160


def parameters(template, content):
    """The texts that the template's `<*>` stand for; None where the template does not match."""
    pattern = "(.*?)".join(re.escape(part) for part in template.split("<*>"))
    match = re.fullmatch(pattern, content)
    return list(match.groups()) if match else None


def main(folder, target, per_system=250):
    rng = random.Random(7)
    count = unmatched = long = 0
    with open(target, "w", encoding="utf-8") as out:
        for path in sorted(pathlib.Path(folder).glob("*.structured.jsonl.gz")):
            system = path.name.split(".")[0]
            rows = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]
            rng.shuffle(rows)
            for row in rows[: int(per_system)]:
                values = parameters(row["EventTemplate"], row["Content"])
                if len(row["Content"]) > LONGEST:
                    long += 1
                elif values is None:
                    unmatched += 1
                else:
                    answer = {"event": f"{system}/{row['EventId']}", "parameters": values}
                    pair = {"question": f"{system}: {row['Content']}", "answer": json.dumps(answer, ensure_ascii=False),
                            "source": f"{system}:{row['LineId']}"}
                    out.write(json.dumps(pair, ensure_ascii=False) + "\n")
                    count += 1
    print(f"{count} pairs; left out: {long} long lines, {unmatched} that do not match their template")


if __name__ == "__main__":
    main(*sys.argv[1:])

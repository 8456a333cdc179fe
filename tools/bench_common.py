"""What the benchmark drivers share: building a bench, runs in turns, ratios, the machine, and the page."""

import datetime
import json
import os
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
THREADS = "2"


def build(bench, package="slm-core"):
    """Path of a compiled bench."""
    command = ["cargo", "bench", "-p", package, "--bench", bench, "--no-run", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in made if m.get("executable") and m["target"]["name"] == bench)


def run(command):
    """The JSON line that a process prints last. A run that fails ends the benchmark."""
    names = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    env = {**os.environ, **{name: THREADS for name in names}, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run([str(c) for c in command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "load_average": os.getloadavg()[0]}


def quiet(most=0.7):
    """Refuses to measure beside other work: an engine whose threads wait by spinning loses many times more by it than
    one whose threads sleep, so ratios from a busy machine say nothing."""
    load = os.getloadavg()[0]
    if load > most and not os.environ.get("BENCH_BUSY"):
        raise SystemExit(f"load average {load:.1f}; wait until the machine is idle, or set BENCH_BUSY=1")


def in_turns(contenders, rounds):
    """Rows of all contenders (name to command), one after the other in each round, each round in the other order."""
    rows = []
    for index in range(rounds):
        order = list(contenders.items())
        for name, command in order if index % 2 == 0 else order[::-1]:
            rows.append({"round": index, "contender": name, **run(command)})
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "check"}), flush=True)
    return rows


def pick(rows, name, field):
    return [r[field] for r in sorted(rows, key=lambda r: r["round"]) if r["contender"] == name]


def median(rows, name, field):
    return statistics.median(pick(rows, name, field))


def ratio(rows, name, other, field):
    """Median, smallest and largest of the per-round ratios of `field`, and the same as text."""
    each = [a / b for a, b in zip(pick(rows, name, field), pick(rows, other, field), strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f}..{max(each):.2f})"


def machine(python_packages):
    """Where and when this was measured."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    known = ["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni"]
    from importlib.metadata import version

    tool = lambda *c: subprocess.run(c, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return {
        "cpu": fields.get("model name"),
        "cores": os.cpu_count(),
        "threads": int(THREADS),
        "flags": [f for f in known if f in flags],
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "commit": tool("git", "rev-parse", "--short", "HEAD"),
        "rustc": tool("rustc", "--version"),
        "versions": {p: version(p) for p in python_packages},
    }


def write(path, text):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def publish(name, result, table):
    """Writes docs/benchmarks/NAME.json and the block NAME of the page."""
    folder = PAGE.parent / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}.json", json.dumps(result, indent=1) + "\n")
    m = result["machine"]
    loads = [r["load_average"] for r in result["rows"]]
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    about = (
        f"{m['cpu']}, {m['cores']} cores, {m['threads']} threads, {' '.join(m['flags'])}; {m['date']}, commit "
        f"{m['commit']}; {versions}; load average of the machine {min(loads):.1f} to {max(loads):.1f}, of which a run "
        f"itself is 2. {result['rounds']} rounds in turns."
    )
    block = f"{table}\n\n{about}\n"
    begin, end = f"<!-- {name}: written by tools/bench_{name}.py -->", f"<!-- {name}: end -->"
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    write(PAGE, f"{before}{begin}\n{block}{end}{after}")
    print(block)


def markdown(header, lines):
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in [header, rule, *lines])

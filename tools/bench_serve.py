"""slm-serve and llama-server under the same load, in turns: throughput, time to the first token, time between tokens.

    python tools/bench_serve.py MODEL.gguf --slm target/release/slm-serve --llama llama-server [--rounds 2] [--clients 1 4 16]
    python tools/bench_serve.py MODEL.gguf --slm target/release/slm-serve --pass-ms 0 150 250

The second form compares settings of `max_pass_ms`. Each client sends one request after another over a connection of its own: a prompt of ids that begins like no other, and
an answer of a fixed number of tokens, streamed. Both servers get the same requests, two threads, and no other work.
"""

import argparse
import http.client
import json
import os
import random
import shlex
import statistics
import subprocess
import tempfile
import threading
import time


def request(port, body):
    """The times at which tokens came, after the request was sent."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    if reply.status != 200:
        raise SystemExit(f"{reply.status}: {reply.read()[:500]}")
    times, usage = [], None
    for line in reply:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        usage = chunk.get("usage") or usage
        if any(choice.get("text") for choice in chunk["choices"]):
            times.append(time.perf_counter() - begun)
    connection.close()
    return times, time.perf_counter() - begun, usage["completion_tokens"]


def load(port, clients, each, prompt, answer, seed):
    """All clients at once; returns tokens per second and the times."""
    results, lock = [], threading.Lock()

    def client(number):
        dice = random.Random(f"{seed} {number}")
        for _ in range(each):
            ids = [dice.randrange(1000, 100_000) for _ in range(prompt)]
            body = {"prompt": ids, "max_tokens": answer, "temperature": 0, "stream": True, "ignore_eos": True,
                    "stream_options": {"include_usage": True}, "cache_prompt": False}
            result = request(port, body)
            with lock:
                results.append(result)

    begun = time.perf_counter()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    elapsed = time.perf_counter() - begun
    first = sorted(times[0] for times, _, _ in results if times)  # Some tokens alone are no text.
    gaps = sorted(b - a for times, _, _ in results for a, b in zip(times, times[1:]))
    tokens = sum(tokens for _, _, tokens in results)
    rank = lambda values, share: values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")
    return {"tokens": tokens, "tokens_per_second": tokens / elapsed, "first_p50": rank(first, 0.5), "first_p99": rank(first, 0.99),
            "gap_p50": rank(gaps, 0.5), "gap_p99": rank(gaps, 0.99)}


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmHWM"].split()[0]) / 1024


def serve(command, port, env):
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return process
        except OSError:
            pass
        if process.poll() is not None:
            raise SystemExit(f"{command} ended with {process.returncode}")
        time.sleep(0.1)
    raise SystemExit(f"{command} does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--slm", required=True)
    parser.add_argument("--llama", help="command, may have arguments")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--each", type=int, default=2, help="requests of a client")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--answer", type=int, default=48)
    parser.add_argument("--config", help="configuration file of slm-serve in place of --model")
    parser.add_argument("--pass-ms", type=int, nargs="*", default=[], help="values of engine.max_pass_ms to compare")
    parser.add_argument("--out", help="JSON with every measurement")
    args = parser.parse_args()
    slots, per_slot = max(args.clients), args.prompt + args.answer + 16
    contenders = {}
    with tempfile.TemporaryDirectory() as folder:
        def add(name, *source):
            contenders[name] = (shlex.split(args.slm) + ["run", "--listen", "127.0.0.1:8098", *source], 8098, {"RAYON_NUM_THREADS": "2"})

        for limit in args.pass_ms:
            path = os.path.join(folder, f"{limit}.toml")
            with open(path, "w") as file:
                file.write(f'[[models]]\nkind = "local"\nname = "m"\npath = "{os.path.abspath(args.model)}"\n'
                           f"[models.engine]\nmax_pass_ms = {limit}\n")
            add(f"{limit} ms", "--config", path)
        if not args.pass_ms:
            add("slm-serve", *(["--config", args.config] if args.config else ["--model", args.model]))
        if args.llama:
            contenders["llama-server"] = (shlex.split(args.llama) + ["-m", args.model, "--port", "8099", "-t", "2", "-tb", "2", "-np",
                                          str(slots), "-c", str(slots * per_slot), "--no-webui", "-fa", "on"], 8099, {})
        measure(args, contenders)


def measure(args, contenders):
    """All contenders in turns, and a table."""
    rows = []
    for index in range(args.rounds):
        for name, (command, port, env) in contenders.items():
            process = serve(command, port, env)
            try:
                load(port, 1, 1, args.prompt, 8, f"warm {index}")
                for clients in args.clients:
                    figures = load(port, clients, args.each, args.prompt, args.answer, f"{index} {clients}")
                    row = {"round": index, "server": name, "clients": clients, **figures, "peak_mib": peak(process.pid)}
                    rows.append(row)
                    print(json.dumps(row), flush=True)
            finally:
                process.terminate()
                process.wait()
    if args.out:
        with open(args.out, "w") as out:
            json.dump(rows, out, indent=1)
    print("| clients | server | tokens/s | first token p50, s | p99, s | between tokens p50, s | p99, s |")
    print("|---|---|---|---|---|---|---|")
    for clients in args.clients:
        for name in contenders:
            own = [r for r in rows if r["server"] == name and r["clients"] == clients]
            mean = lambda key: statistics.mean(r[key] for r in own)
            print(f"| {clients} | {name} | {mean('tokens_per_second'):.1f} | {mean('first_p50'):.2f} | {mean('first_p99'):.2f}"
                  f" | {mean('gap_p50'):.3f} | {mean('gap_p99'):.3f} |")


if __name__ == "__main__":
    main()

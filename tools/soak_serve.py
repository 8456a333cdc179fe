"""slm-serve under mixed load: clients that leave, bad JSON, bodies too large, slow ones; then kill -9.

    python tools/soak_serve.py target/release/slm-serve MODEL [--requests 7200] [--clients 8]

Every whole answer is held against that of the same question asked alone; at the end nothing may be under way, memory has to
be where it was after the first tenth, and a killed server has to serve again in seconds.
"""

import argparse
import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time

PORT = 8097


def start(server, model):
    begun = time.perf_counter()
    process = subprocess.Popen([server, "run", "--model", model, "--listen", f"127.0.0.1:{PORT}"], stderr=subprocess.DEVNULL)
    while True:
        try:
            status, _ = call("GET", "/ready")
            if status == 200:
                return process, time.perf_counter() - begun
        except OSError:
            if process.poll() is not None:
                raise SystemExit("the server ended")
            time.sleep(0.02)


def call(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request(method, path, body, {"content-type": "application/json"})
    reply = connection.getresponse()
    result = reply.status, reply.read()
    connection.close()
    return result


def question(number, **more):
    return json.dumps({"messages": [{"role": "user", "content": f"What is {number} plus {number * 7 % 11}?"}], "max_tokens": 24,
                       "temperature": 0, **more})


def said(number):
    status, body = call("POST", "/v1/chat/completions", question(number))
    return json.loads(body)["choices"][0]["message"]["content"] if status == 200 else status


def leave(number, dice):
    """Breaks the connection off after some bytes of a stream."""
    body = question(number, stream=True, max_tokens=200, guided_regex="[a-z ]{300}")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall((head + body).encode())
        connection.recv(dice.randrange(1, 2000))


def stall(dice):
    """Sends a part of a request and goes away later."""
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"[: dice.randrange(1, 80)])
        time.sleep(dice.random() * 0.3)


def memory(process):
    with open(f"/proc/{process.pid}/status") as status:
        return int(dict(line.split(":", 1) for line in status)["VmRSS"].split()[0]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=7200)
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    process, started = start(args.server, args.model)
    known = {number: said(number) for number in range(40)}
    counts, lock, failures, marks = {}, threading.Lock(), [], []

    def client(seed):
        dice = random.Random(seed)
        for index in range(args.requests // args.clients):
            kind = dice.choices(["ask", "stream", "leave", "bad", "large", "stall", "unknown"], [60, 15, 12, 5, 2, 4, 2])[0]
            number = dice.randrange(40)
            wrong = None
            if kind == "ask":
                answer = said(number)
                wrong = answer not in (known[number], 429) and f"{number}: {answer!r} is not {known[number]!r}"
            elif kind == "stream":
                status, body = call("POST", "/v1/chat/completions", question(number, stream=True))
                chunks = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
                text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))
                wrong = status != 429 and text != known[number] and f"{number}: streamed {text!r}"
            elif kind == "leave":
                leave(number, dice)
            elif kind == "stall":
                stall(dice)
            else:
                body = {"bad": "{\"messages\": [", "large": "x" * (5 << 20), "unknown": question(number, model="nobody")}[kind]
                try:
                    status, _ = call("POST", "/v1/chat/completions", body)
                except OSError:
                    status = 413  # It hangs up on a body that it does not want.
                expected = {"bad": 400, "large": 413, "unknown": 404}[kind]
                wrong = status != expected and f"{kind}: {status}"
            with lock:
                counts[kind] = counts.get(kind, 0) + 1
                if wrong:
                    failures.append(wrong)
                if sum(counts.values()) in (args.requests // 10, args.requests // 2):
                    marks.append(memory(process))

    begun = time.perf_counter()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(args.clients)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    elapsed = time.perf_counter() - begun
    time.sleep(1)
    stats = json.loads(call("GET", "/v1/stats")[1])
    marks.append(memory(process))
    stuck = stats["in_flight"] or any(e["status"]["running"] or e["status"]["waiting"] for e in stats["engines"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    process, restarted = start(args.server, args.model)
    after = said(1)
    process.terminate()
    report = {"requests": counts, "seconds": round(elapsed, 1), "wrong": failures[:5], "stuck": stuck,
              "memory_mib_at_10_50_100_percent": [round(m, 1) for m in marks], "start_seconds": round(started, 2),
              "restart_after_kill_seconds": round(restarted, 2), "same_after_restart": after == known[1], "ended_with": process.wait()}
    print(json.dumps(report, indent=1))
    if failures or stuck or after != known[1] or marks[-1] > 1.1 * marks[0] + 16:
        raise SystemExit("failed")


if __name__ == "__main__":
    main()

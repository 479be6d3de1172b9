"""Closed-loop load on a model server and a ledger of its own: requests per second and latency.

    .venv/bin/python bench/server/load.py [seconds]

Server and ledger are real processes on the loopback; each connection sends its next request when it
has its answer. The client is Python on the same machine, so that what is measured is a lower bound.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import skops.io
import uvloop
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PROGRAM = Path(sys.executable).parent / "assay-server"


class Client(asyncio.Protocol):
    """One connection that sends `messages` in turn and notes when each answer is complete."""

    def __init__(self, messages, deadline, latencies, bodies):
        self._messages = messages
        self._deadline = deadline
        self._latencies = latencies
        self._bodies = bodies
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self._transport = transport
        self._send()

    def _send(self):
        message = next(self._messages, None)
        if message is None or time.perf_counter() > self._deadline:
            self._transport.close()
            self.done.set_result(None)
            return
        self._buffer = b""
        self._start = time.perf_counter()
        self._transport.write(message)

    def data_received(self, data):
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= int(re.search(rb"content-length: (\d+)", head)[1]):
            assert head.startswith(b"HTTP/1.1 200"), self._buffer
            self._latencies.append(time.perf_counter() - self._start)
            self._bodies.append(body)
            self._send()


def post(path: str, content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (
        path.encode(),
        len(body),
        body,
    )


async def load(port, streams, seconds):
    """Run one connection per stream of messages; return latencies and response bodies."""
    loop = asyncio.get_running_loop()
    latencies, bodies = [], []
    deadline = time.perf_counter() + seconds
    clients = [
        (
            await loop.create_connection(
                lambda s=s: Client(s, deadline, latencies, bodies), "127.0.0.1", port
            )
        )[1]
        for s in streams
    ]
    await asyncio.gather(*(client.done for client in clients))
    return latencies, bodies


def report(name, pid, latencies, elapsed, before, rows=1):
    latencies = sorted(latencies)
    count = len(latencies)
    cpu = processor_seconds(pid) - before
    print(
        f"{name:34} {count / elapsed:8.0f} req/s {rows * count / elapsed:8.0f} rows/s"
        f"  p50 {latencies[count // 2] * 1e3:6.2f} ms  p99 {latencies[int(count * 0.99)] * 1e3:6.2f} ms"
        f"  {cpu / count * 1e6:6.0f} us CPU/request",
        flush=True,
    )


def processor_seconds(pid) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(folder, *arguments):
    log = folder / f"{arguments[0]}.log"
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, *arguments, "--keys-file", folder / "keys.json", "--http-port", "0"],
            stderr=output,
        )
    while not (port := re.search(r'"port": (\d+)', log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    print(f"{arguments[0]}: listening after {time.perf_counter() - begin:.2f} s", flush=True)
    return process, int(port[1])


def forever(message):
    while True:
        yield message


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    folder = Path(tempfile.mkdtemp())
    rows, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    skops.io.dump(model, folder / "model.skops")
    digest = hashlib.sha256((folder / "model.skops").read_bytes()).hexdigest()
    keys = {"active": "k1", "keys": {"k1": base64.b64encode(os.urandom(32)).decode()}}
    (folder / "keys.json").write_text(json.dumps(keys))
    server, port = start(
        folder,
        *("serve", "--model-uri", folder / "model.skops", "--digest", f"sha256:{digest}"),
        *("--model-name", "bench", "--model-version", "1", "--drain-seconds", "0"),
    )
    ledger, ledger_port = start(
        folder, "ledger", "--store", f"sqlite:///{folder}/labels.db", "--deployment", "bench"
    )
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    receipts = []

    def infer(count, connections):
        part = rows[:count]
        tensor = {
            "name": "x",
            "shape": list(part.shape),
            "datatype": "FP64",
            "data": part.ravel().tolist(),
        }
        message = post("/v2/models/bench/infer", {"inputs": [tensor]})
        before, begin = processor_seconds(server.pid), time.perf_counter()
        latencies, bodies = runner.run(load(port, [forever(message)] * connections, seconds))
        name = f"infer, {count} row(s), {connections} connection(s)"
        report(name, server.pid, latencies, time.perf_counter() - begin, before, count)
        for body in bodies:
            receipts.extend(json.loads(body)["outputs"][-1]["data"])

    for count, connections in ((1, 1), (1, 16), (1, 64), (32, 16)):
        infer(count, connections)

    def feedback(count, connections):
        if len(receipts) < 50 * count:
            infer(32, 16)
        share = min(len(receipts) // connections, 40_000)
        streams = []
        for _ in range(connections):
            mine = [receipts.pop() for _ in range(share)]
            entries = [{"receipt": token, "label": "1"} for token in mine]
            streams.append(
                iter(
                    [
                        post(
                            "/v2/models/bench/feedback", {"labels": entries[place : place + count]}
                        )
                        for place in range(0, share - count + 1, count)
                    ]
                )
            )
        before, begin = processor_seconds(ledger.pid), time.perf_counter()
        latencies, _ = runner.run(load(ledger_port, streams, seconds))
        name = f"feedback, {count} label(s), {connections} connection(s)"
        report(name, ledger.pid, latencies, time.perf_counter() - begin, before, count)

    for count, connections in ((1, 1), (1, 64), (500, 4)):
        feedback(count, connections)
    for name, process in (("server", server), ("ledger", ledger)):
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1])
        print(f"{name}: {peak / 1024:.0f} MiB at most")
        process.terminate()
        assert process.wait() == 0


if __name__ == "__main__":
    main()

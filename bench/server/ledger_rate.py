"""Labels per second of a ledger on one core, durable, beside what the disk can do.

    .venv/bin/python bench/server/ledger_rate.py [seconds [sqlite|postgres|both [folder]]]

The ledger is a real process pinned to one core, the client another one. A label is answered when it
is on the disk. Beside each rate stands how many labels one second of the ledger's processor time is
worth, which does not depend on what else the machine does, and how many flushes of a bare loop
(append 4 KiB, fdatasync) one second has on the same disk. PostgreSQL runs unpinned.
"""

import asyncio
import base64
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from load import PROGRAM, load, post, processor_seconds

from assay_server.keys import KeyRing
from assay_server.receipts import Issuer, Stratum
from tests.unit.assay_server.ledger.postgres_cluster import cluster

FEEDBACK = "/v2/models/bench/feedback"
SERVED = "/v2/models/bench/served"
SECRET = os.urandom(32)
dice = random.Random(1)
CORES = sorted(os.sched_getaffinity(0))


def flushes(folder: Path, seconds: float) -> float:
    """Return how often per second a file can be appended to and flushed."""
    file = os.open(folder / "flushed", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        count += 1
    elapsed = time.perf_counter() - begin
    os.close(file)
    return count / elapsed


def receipts(count: int) -> list[str]:
    """Return receipts of a calibrated model, predictions of the last minute."""
    issuer = Issuer(
        KeyRing({"k1": SECRET}, "k1"),
        namespace="default",
        deployment="bench",
        member="local",
        revision="0123456789",
        classes=("0", "1"),
    )
    now = int(time.time())
    tokens = []
    for age in range(60):
        share = range(count // 60 + 1)
        bins = [max(0, min(18_399, int(dice.gauss(9_200, 1_500)))) for _ in share]
        predicted = [int(place > 9_200) for place in bins]
        tokens += issuer.issue(Stratum("abcdefabcd", 2), predicted, bins, now - age)
    dice.shuffle(tokens)
    return tokens


def start(folder: Path, store: str, *more: str) -> tuple[subprocess.Popen, int]:
    log = folder / f"{time.monotonic_ns()}.log"
    keys = {"active": "k1", "keys": {"k1": base64.b64encode(SECRET).decode()}}
    (folder / "keys.json").write_text(json.dumps(keys))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *("taskset", "-c", str(CORES[0]), PROGRAM, "ledger", "--store", store),
                *("--deployment", "bench", "--keys-file", folder / "keys.json"),
                *("--http-port", "0", *more),
            ],
            stderr=output,
        )
    while not (port := re.search(r'"listening", "port": (\d+)', log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    while '"counted"' not in log.read_text():
        time.sleep(0.005)
    return process, int(port[1])


def entries(kind: str, tokens: list[str]) -> dict:
    if kind == "shipments":
        return {"served": [[f"{dice.getrandbits(64):016x}", 0, token] for token in tokens]}
    return {"labels": [{"receipt": token, "label": dice.choice("01")} for token in tokens]}


def measure(port, pid, seconds, kind, per_request, connections, expected) -> None:
    """Send until the time is up or the messages are; print what was reached."""
    rate = 40_000 if per_request > 1 else 12_000
    tokens = receipts(int(rate * seconds))
    path = SERVED if kind == "shipments" else FEEDBACK
    streams = [
        iter(
            [
                post(path, entries(kind, mine[place : place + per_request]))
                for place in range(0, len(mine) - per_request + 1, per_request)
            ]
        )
        for mine in (tokens[lane::connections] for lane in range(connections))
    ]
    before, begin = processor_seconds(pid), time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        latencies, bodies = runner.run(load(port, streams, seconds))
    elapsed = time.perf_counter() - begin
    cpu = processor_seconds(pid) - before
    counted = per_request * len(bodies)
    latencies.sort()
    print(
        f"  {kind:9} by {per_request:3}, {connections:3} connections {counted / elapsed:8.0f}/s"
        f" {counted / cpu:8.0f} per CPU s  p50 {latencies[len(latencies) // 2] * 1e3:6.1f} ms"
        f"  p99 {latencies[int(len(latencies) * 0.99)] * 1e3:6.1f} ms"
        + (f"  ({counted / elapsed / expected:.1f}x of {expected})" if expected else ""),
        flush=True,
    )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    which = sys.argv[2] if len(sys.argv) > 2 else "both"
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    os.sched_setaffinity(0, {CORES[-1]})
    with ExitStack() as stack:
        stores = {}
        if which != "postgres":
            stores["sqlite"] = f"sqlite:///{folder}/labels.db"
        if which != "sqlite":
            os.sched_setaffinity(0, set(CORES))
            stores["postgres"] = stack.enter_context(cluster()).create("bench")
            os.sched_setaffinity(0, {CORES[-1]})
        for name, store in stores.items():
            print(
                f"{name}: a bare loop flushes {flushes(folder, 1.0):.0f} times a second", flush=True
            )
            process, port = start(folder, store)
            try:
                measure(port, process.pid, seconds, "labels", 100, 8, 10_000)
                measure(port, process.pid, seconds, "labels", 1, 64, 2_000)
                measure(port, process.pid, seconds, "shipments", 500, 2, None)
                status = Path(f"/proc/{process.pid}/status").read_text()
                print(f"  {int(re.search(r'VmHWM:.*?([0-9]+)', status)[1]) // 1024} MiB at most")
            finally:
                process.terminate()
                assert process.wait() == 0


if __name__ == "__main__":
    main()

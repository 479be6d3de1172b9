"""What one request costs from the bytes of its body to the bytes of its answer, stage by stage.

    PYTHONPATH=. .venv/bin/python bench/server/core.py [cancer|digits|forest]

Microseconds per request of one row, in batches of 1, 16 and 64. `whole` is the real handler of the
model server in a real event loop, with receipts and metrics, behind a stand-in for the HTTP server;
`loop` is what the stages do not explain: tasks, futures and turns of the event loop.

Each number is the least processor time of many short runs: other work on the machine disturbs it least. The
first line is a yardstick: what `hmac.digest` takes here, and on the machine of docs/benchmarks.md.
"""

import asyncio
import gc
import hmac
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvloop

from assay_server.inference import Job, Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.loading import Identity
from assay_server.models import Scorer, configure_sklearn
from assay_server.receipts import Issuer, Stratum
from assay_server.server import ModelServer
from assay_server.transport import Request
from bench.server.comparison.workloads import MODELS

SIZES = (1, 16, 64)
SECONDS = 0.5
YARDSTICK = 1.36
STRATUM = Stratum("bench", 1)


class Exchange:
    """Takes answers, forgets them, and tells when there are no more to come."""

    def __init__(self) -> None:
        self.open = 0
        self.answered = asyncio.Event()

    def answer(self, request: Request, status: int, *answer: object) -> None:
        assert status == 200, (request, answer)
        self.open -= 1
        if not self.open:
            self.answered.set()


def least(function: Callable[[], object], seconds: float = SECONDS) -> float:
    """Return the least time of one call, in microseconds."""
    best = 1e9
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.thread_time()
        function()
        best = min(best, time.thread_time() - start)
    return best * 1e6


def body(row: np.ndarray) -> bytes:
    tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row.tolist()}
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    return json.dumps({"inputs": [tensor], "outputs": outputs}, separators=(",", ":")).encode()


def stages(predictor: Predictor, bodies: list[bytes]) -> dict[str, float]:
    """Return microseconds per batch, by stage."""
    parser = predictor.parser
    queries = [parser.parse_plain(each) for each in bodies]
    jobs = [Job.of(query, STRATUM) for query in queries]
    gathered = np.concatenate([query.rows for query in queries])
    scores = predictor._scores(gathered)
    indexes = scores.predicted.tolist()
    bins = predictor._bins(scores).tolist()
    issuer = predictor._issuer
    predictions = predictor.answer(jobs, time.time())
    now = int(time.time())

    def formatted() -> None:
        batch = predictions[0].batch
        batch.bodies.clear()
        for query, prediction in zip(queries, predictions, strict=True):
            predictor.format(query, prediction)

    return {
        "parse": least(lambda: [parser.parse_plain(each) for each in bodies]),
        "gather": least(
            lambda: np.concatenate([query.rows for query in queries]) if len(queries) > 1 else None
        ),
        "score": least(lambda: predictor._scorer.score(gathered)),
        "bins": least(lambda: predictor._bins(scores).tolist()),
        "receipts": least(lambda: issuer.issue(STRATUM, indexes, bins, now)),
        "format": least(formatted),
    }


def whole(predictor: Predictor, bodies: list[bytes]) -> float:
    """Return microseconds per batch of the real handler in a real event loop."""
    headers = {b"content-type": b"application/json", b"assay-stratum": b"bench/1"}
    exchange = Exchange()
    path = "/v2/models/bench/infer"
    identity = Identity("bench", "1", "default", "bench", "local", "0123456789")

    async def run() -> float:
        server = ModelServer(predictor, identity)
        best = 1e9
        end = time.perf_counter() + 2 * SECONDS
        while time.perf_counter() < end:
            start = time.thread_time()
            exchange.open = len(bodies)
            exchange.answered.clear()
            for each in bodies:
                request = Request(exchange, "POST", path, "", headers)
                request.add(each)
                rest = server.service.begin(request)
                assert rest is None
            await exchange.answered.wait()
            best = min(best, time.thread_time() - start)
        return best * 1e6

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "cancer"
    configure_sklearn()
    model, rows = MODELS[name]()
    scorer = Scorer(model)
    with tempfile.TemporaryDirectory() as folder:
        issuer = Issuer(
            KeyRing.ephemeral(),
            namespace="default",
            deployment="bench",
            member=Path(folder).name[:4],
            revision="0123456789",
            classes=receipt_classes(scorer),
        )
    predictor = Predictor(scorer, issuer, "bench", "1")
    gc.collect()
    gc.freeze()  # as the server does
    found = least(lambda: [hmac.digest(b"k" * 32, b"x" * 64, "sha256") for _ in range(50)]) / 50
    print(f"{name}: {scorer.engine}; hmac.digest {found:.2f} us, {YARDSTICK} us in the benchmarks")
    columns: dict[str, list[float]] = {}
    for size in SIZES:
        bodies = [body(row) for row in rows[:size]]
        parts = stages(predictor, bodies)
        total = whole(predictor, bodies)
        parts["loop"] = total - sum(parts.values())
        parts["whole"] = total
        for stage, taken in parts.items():
            columns.setdefault(stage, []).append(taken / size)
    print(f"{'us per request':16}" + "".join(f"{f'batch {size}':>12}" for size in SIZES))
    for stage, taken in columns.items():
        print(f"{stage:16}" + "".join(f"{each:12.2f}" for each in taken))
    print(
        f"{'at yardstick':16}" + "".join(f"{e * YARDSTICK / found:12.2f}" for e in columns["whole"])
    )


if __name__ == "__main__":
    main()

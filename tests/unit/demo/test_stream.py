"""The load client against a real HTTP server: nothing lost, nothing retried but labels."""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from assay_server.keys import KeyRing
from assay_server.receipts import Issuer, Stratum
from demo.labels import LabelSettings
from demo.log import auc, confusion, f1, where_served
from demo.models import POSITIVE, Version, scores, split
from demo.stream import BackgroundStream, Data, Load, Stream, Target

MODEL = "breast-cancer"
CLASSES = ("benign", POSITIVE)


class Member:
    """Answers like a model server and a ledger; fails when told to."""

    def __init__(self, name: str, ring: KeyRing) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.asked = 0
        self.labels: Counter[str] = Counter()
        self.known: dict[str, str] = {}
        self.fail: Callable[[int], int | str | None] = lambda number: None
        self.ledger_fails: Iterator[bool] = itertools.repeat(False)
        self.issuer = Issuer(
            ring,
            namespace="ml",
            deployment=MODEL,
            member=name,
            revision="a" * 10,
            classes=CLASSES,
        )

    async def infer(self, request: web.Request) -> web.Response:
        self.asked += 1
        failure = self.fail(self.asked)
        if failure == "cut":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if failure == "nonsense":
            return web.json_response({"outputs": []})
        if isinstance(failure, int):
            return web.json_response({"error": "no"}, status=failure)
        tensor = (await request.json())["inputs"][0]
        rows = np.array(tensor["data"], dtype=np.float64)
        assert list(rows.shape) == tensor["shape"]
        probability = scores(Version.FIRST, rows)
        predicted = (probability >= 0.5).astype(int)
        receipts = self.issuer.issue(Stratum("b" * 10, 3), predicted.tolist(), [0] * len(rows), 1)
        self.known |= dict.fromkeys(receipts, "")
        table = np.column_stack([1 - probability, probability])
        return web.json_response(
            {
                "model_name": MODEL,
                "model_version": "1",
                "outputs": [
                    output("predict", [CLASSES[index] for index in predicted]),
                    output("predict_proba", table.ravel().tolist()),
                    output("receipt", receipts),
                ],
            }
        )

    async def feedback(self, request: web.Request) -> web.Response:
        if next(self.ledger_fails):
            return web.Response(status=503)
        results = [self.take(entry) for entry in (await request.json())["labels"]]
        self.labels.update(results)
        misdirected = set(results) == {"wrong_member"}
        body = {"results": [{"status": status} for status in results], "counted": 0}
        return web.json_response(body, status=421 if misdirected else 200)

    def take(self, entry: dict[str, str]) -> str:
        if entry["receipt"] not in self.known:
            others = (member.known for member in self.members.values())
            assert any(entry["receipt"] in known for known in others)
            return "wrong_member"
        before = self.known[entry["receipt"]]
        self.known[entry["receipt"]] = entry["label"]
        return "counted" if not before else "duplicate"


def output(name: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(data)], "data": data}


@pytest.fixture
def members() -> dict[str, Member]:
    ring = KeyRing.ephemeral()
    found = {name: Member(name, ring) for name in ("east", "west")}
    for member in found.values():
        member.members = found
    return found


@asynccontextmanager
async def serving(member: Member) -> AsyncIterator[Target]:
    app = web.Application()
    app.router.add_post(f"/v2/models/{MODEL}/infer", member.infer)
    app.router.add_post(f"/v2/models/{MODEL}/feedback", member.feedback)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    url = f"http://127.0.0.1:{port}"
    yield Target(member.name, url, url)
    await runner.cleanup()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for is in another task's log
        await asyncio.sleep(0.01)


def data() -> Data:
    return Data(split().held_out_rows, [str(label) for label in split().held_out_labels])


async def play(members: dict[str, Member], load: Load, requests: int) -> Stream:
    """Send at least so many requests to both members and bring every label home."""
    async with serving(members["east"]) as east, serving(members["west"]) as west:
        stream = Stream(MODEL, [east, west], data(), load)
        running = asyncio.create_task(stream.run())
        await until(lambda: stream.log.requests >= requests or running.done())
        stream.pause()
        await until(lambda: sum(m.asked for m in members.values()) == stream.log.requests)
        assert await stream.drain(30.0) == 0
        stream.stop()
        await running
        return stream


QUICK = LabelSettings(mean_delay_seconds=0.05)
LOAD = Load(requests_per_second=200.0, several_rows_share=0.3, rows_max=5, labels=QUICK)


def test_every_row_is_logged_and_labelled(members: dict[str, Member]) -> None:
    stream = asyncio.run(play(members, LOAD, 100))
    log = stream.log
    rows = log.rows()
    assert log.failures == []
    assert log.requests == sum(member.asked for member in members.values())
    assert len(rows) > log.requests
    assert {row.member for row in rows} == {"east", "west"}
    assert {(row.version, row.revision, row.rollout, row.step) for row in rows} == {
        ("1", "a" * 10, "b" * 10, 3)
    }
    assert all(row.in_evidence for row in rows)
    assert sum(member.labels["counted"] for member in members.values()) == len(rows)


def test_metrics_are_those_of_the_log(members: dict[str, Member]) -> None:
    rows = asyncio.run(play(members, LOAD, 200)).log.rows()
    matrix = confusion(rows, CLASSES)
    (_, false_positive), (false_negative, true_positive) = matrix.tolist()
    assert matrix.sum() == len(rows)
    expected = 2 * true_positive / (2 * true_positive + false_positive + false_negative)
    assert f1(rows, POSITIVE) == pytest.approx(expected)
    assert 0.95 < auc(rows, POSITIVE) < 1.0


def test_each_failure_is_counted_once_and_not_retried(members: dict[str, Member]) -> None:
    answers: dict[int, int | str] = {3: 500, 5: "cut", 7: "nonsense", 9: 503}
    members["east"].fail = answers.get
    stream = asyncio.run(play(members, LOAD, 60))
    kinds = stream.log.failures_by_kind()
    assert kinds["500"] == kinds["503"] == kinds["BadAnswer"] == 1
    assert len(stream.log.failures) == len(answers)
    assert stream.log.requests == sum(member.asked for member in members.values())
    assert {failure.member for failure in stream.log.failures} == {"east"}


def test_nobody_listening_is_a_failure_for_each_request() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def run() -> Stream:
        stream = Stream(MODEL, [Target("east", url, url)], data(), LOAD)
        running = asyncio.create_task(stream.run())
        await until(lambda: stream.log.requests >= 10)
        stream.stop()
        await running
        return stream

    log = asyncio.run(run()).log
    assert len(log.failures) == log.requests
    assert log.failures_by_kind().keys() == {"ClientConnectorError"}


def test_labels_outlive_a_ledger_that_restarts(members: dict[str, Member]) -> None:
    members["west"].ledger_fails = itertools.chain([True] * 3, itertools.repeat(False))
    log = asyncio.run(play(members, LOAD, 60)).log
    assert log.label_retries == 3
    assert all(row.in_evidence for row in log.rows())


def test_duplicates_and_misdirected_labels_change_nothing(members: dict[str, Member]) -> None:
    labels = LabelSettings(
        mean_delay_seconds=0.05,
        duplicate_share=0.3,
        misdirected_share=0.3,
        late_share=0.2,
        late_seconds=0.5,
    )
    log = asyncio.run(play(members, Load(200.0, labels=labels), 80)).log
    assert log.label_results["counted"] == len(log.rows())
    assert log.label_results["wrong_member"] > 0
    assert {row.label for row in log.rows()} == {"counted"}


def test_some_truths_never_come(members: dict[str, Member]) -> None:
    labels = LabelSettings(mean_delay_seconds=0.05, share=0.5)
    log = asyncio.run(play(members, Load(200.0, labels=labels), 80)).log
    never = [row for row in log.rows() if row.label == "never"]
    assert 0.25 < len(never) / len(log.rows()) < 0.75
    assert not any(row.in_evidence for row in never)


def test_in_a_thread_it_stops_cleanly(members: dict[str, Member]) -> None:
    async def run() -> BackgroundStream:
        async with serving(members["east"]) as east:
            stream = BackgroundStream(MODEL, [east], data(), LOAD)
            with stream:
                await until(lambda: len(stream.log.rows()) >= 20)
                stream.pause()
                assert await asyncio.to_thread(stream.drain, 30.0) == 0
                sent = stream.log.requests
                await asyncio.sleep(0.1)
                assert stream.log.requests == sent
                await asyncio.to_thread(stream.stop)
            return stream

    log = asyncio.run(run()).log
    assert log.failures == []


@pytest.mark.parametrize("text", ["", "a1", "a1.?.x", "a1.AAAA.x"])
def test_what_is_no_receipt_says_nothing(text: str) -> None:
    assert where_served(text) == ("", "", -1)


def test_the_log_can_be_written(members: dict[str, Member], tmp_path: Path) -> None:
    log = asyncio.run(play(members, LOAD, 20)).log
    log.write(tmp_path / "log.jsonl")
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(log.rows())

"""Queries on their way through the server: batched, counted, refused when too many wait."""

import asyncio
import json
import threading

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sklearn.linear_model import LogisticRegression

from assay_server.core import BATCH_ROWS, Core
from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.loading import Identity
from assay_server.models import Scorer
from assay_server.models.batcher import Batching
from assay_server.protocol import ProtocolError
from assay_server.receipts import Issuer
from assay_server.server import ModelServer
from assay_server.strata import Schedule
from assay_server.transport import Request

IDENTITY = Identity("m", "1", "ml", "m", "east", "r1")
HEADERS = {"assay-stratum": "0123456789/1"}
INFER = ("POST", "/v2/models/m/infer")


class Classifier:
    """A model of one feature that fails below zero, and waits for `free` before it answers."""

    classes_ = np.array([0, 1])
    n_features_in_ = 1

    def __init__(self):
        self.free = threading.Event()
        self.free.set()

    def predict_proba(self, rows):
        self.free.wait()
        if (rows < 0).any():
            raise ValueError("below zero")
        return np.stack([1 - rows[:, 0], rows[:, 0]], axis=1)

    def predict(self, rows):
        return (rows[:, 0] > 0.5).astype(int)


def predictor(model) -> Predictor:
    scorer = Scorer(model)
    issuer = Issuer(
        KeyRing.ephemeral(),
        namespace="ml",
        deployment="m",
        member="east",
        revision="r1",
        classes=receipt_classes(scorer),
    )
    return Predictor(scorer, issuer, "m", "1")


def body(*values: float, **more) -> bytes:
    tensor = {"name": "x", "shape": [len(values), 1], "datatype": "FP64", "data": [*values]}
    return json.dumps({"inputs": [tensor], **more}).encode()


class Client:
    """Sends requests to a server as the transport does, and keeps the answers."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.answers: dict[str, tuple[int, dict, dict]] = {}
        self.tasks = []

    def send(self, name: str, content: bytes, sent: dict[str, str] = HEADERS) -> None:
        client = self

        class Exchange:
            def answer(self, request, status, content_type, headers, content):
                client.answers[name] = status, dict(headers), json.loads(content)

        headers = {name.encode(): value.encode() for name, value in sent.items()}
        request = Request(Exchange(), *INFER, "", headers)
        request.add(content)
        rest = self.server.service.begin(request)
        if rest is not None:
            self.tasks.append(asyncio.ensure_future(rest))

    async def until(self, *names: str) -> None:
        while not set(names) <= set(self.answers):  # noqa: ASYNC110
            await asyncio.sleep(0)

    def samples(self) -> dict[str, float]:
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(self.server.metrics())
            for sample in family.samples
        }


def test_a_schedule_says_the_stratum_of_requests_that_bring_none(tmp_path):
    path = tmp_path / "strata.json"
    path.write_text('[{"stratum": "abcdefabcd/3", "from": 0}]')

    async def main():
        model = predictor(Classifier())
        client = Client(ModelServer(model, IDENTITY, schedule=Schedule(path)))
        client.send("scheduled", body(0.5), {})
        client.send("stamped", body(0.5))
        await client.until("scheduled", "stamped")
        text = client.server.metrics()
        for rollout, step in (("abcdefabcd", 3), ("0123456789", 1)):
            assert f'rollout="{rollout}",step="{step}"' in text

    asyncio.run(main())


def test_requests_that_arrive_together_are_answered_together():
    async def main():
        client = Client(ModelServer(predictor(Classifier()), IDENTITY))
        for number in range(5):
            client.send(str(number), body(number / 10, id=f"q{number}"))
        assert client.answers == {}
        await client.until(*"01234")
        for number in range(5):
            status, headers, answer = client.answers[str(number)]
            outputs = {output["name"]: output["data"] for output in answer["outputs"]}
            assert (status, answer["id"]) == (200, f"q{number}")
            assert outputs["predict_proba"] == [1 - number / 10, number / 10]
            assert outputs["receipt"] == [headers["assay-receipt"]]
        samples = client.samples()
        assert samples["assay_batch_rows_count"] == 1
        assert samples["assay_batch_rows_sum"] == 5
        assert samples["assay_requests_total"] == 5
        assert samples["assay_served_total"] == 5
        assert samples["assay_request_duration_seconds_count"] == 5
        assert samples["assay_requests_in_flight"] == 0

    asyncio.run(main())


def test_a_request_that_the_model_refuses_does_not_harm_its_neighbours():
    async def main():
        client = Client(ModelServer(predictor(Classifier()), IDENTITY))
        for number, value in enumerate((0.1, -1.0, 0.9)):
            client.send(str(number), body(value))
        await client.until("0", "1", "2")
        assert [client.answers[name][0] for name in "012"] == [200, 400, 200]
        assert client.answers["1"][2] == {"error": "inputs[0].data: the model refused these rows"}
        assert client.samples()["assay_requests_total"] == 2

    asyncio.run(main())


@pytest.mark.parametrize("rows", [1, BATCH_ROWS + 1])
def test_while_too_many_rows_wait_requests_are_told_to_come_again(rows):
    async def main():
        model = Classifier()
        ours = predictor(model)
        ours.is_slow = True
        client = Client(ModelServer(ours, IDENTITY, batching=Batching(max_queue=rows)))
        model.free.clear()
        client.send("first", body(*[0.5] * rows))
        while client.samples()["assay_queue_rows"] < rows:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.send("second", body(0.5))
        await client.until("second")
        status, headers, answer = client.answers["second"]
        assert status == 503
        assert headers["retry-after"] == "1"
        assert answer["error"].startswith("the server is overloaded")
        assert client.samples()["assay_rejected_total"] == 1
        model.free.set()
        await client.until("first")
        client.send("third", body(0.5))
        await client.until("third")
        assert [client.answers[name][0] for name in ("first", "third")] == [200, 200]

    asyncio.run(main())


def test_the_loop_lives_while_a_slow_model_works():
    async def main():
        model = Classifier()
        ours = predictor(model)
        ours.is_slow = True
        client = Client(ModelServer(ours, IDENTITY))
        model.free.clear()
        client.send("slow", body(0.5))
        await asyncio.sleep(0)
        assert client.samples()["assay_requests_in_flight"] == 1
        model.free.set()
        await client.until("slow")

    asyncio.run(main())


def test_a_failing_model_is_an_error_of_the_server_and_logged_without_its_message(caplog):
    class Broken(Classifier):
        def predict_proba(self, rows):
            if rows[0, 0] == 0.25:
                raise KeyError("secret 42")
            return super().predict_proba(rows)

    async def main():
        client = Client(ModelServer(predictor(Broken()), IDENTITY))
        with caplog.at_level("ERROR", "assay"):
            client.send("x", body(0.25))
            await client.until("x")
        assert client.answers["x"][0] == 500
        assert client.answers["x"][2] == {"error": "the model failed"}

    asyncio.run(main())
    (record,) = [each for each in caplog.records if each.message == "model_failed"]
    assert record.fields == {"cause": "KeyError"}
    assert "42" not in caplog.text


def test_other_transports_await_their_prediction():
    async def main():
        core = Core(predictor(LogisticRegression().fit([[0], [1]], [0, 1])), {"deployment": "m"})
        query = core.predictor.parser.parse(body(0.0, 1.0))
        found = await core.predict(query, HEADERS.get)
        assert found.predicted == {"0": 1, "1": 1}
        core_full = Core(core.predictor, {}, batching=Batching(max_queue=1, wait_seconds=0.01))
        first = asyncio.ensure_future(core_full.predict(query, lambda name: None))
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError) as caught:
            await core_full.predict(query, lambda name: None)
        assert caught.value.status == 503
        await first

    asyncio.run(main())

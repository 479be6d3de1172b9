"""The model server as clients and Kubernetes meet it: a real process, real HTTP."""

import http.client
import json
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server import server as server_module
from assay_server.inference import Inferred
from assay_server.keys import KeyRing
from assay_server.receipts import Stratum, Verifier
from assay_server.server import MAX_STRATA, Identity, ServingMetrics

INFER = "/v2/models/fraud/infer"


@pytest.fixture(scope="module")
def server(start, serve_arguments):
    with start(*serve_arguments) as process:
        yield process


def query(rows, **more) -> dict:
    rows = np.atleast_2d(rows)
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.tolist()}
    return {"inputs": [tensor], **more}


def outputs(reply) -> dict:
    assert reply.status == 200, reply.body
    return {output["name"]: output["data"] for output in reply.json()["outputs"]}


def test_health_and_metadata(server):
    assert server.request("GET", "/v2/health/live").json() == {"live": True}
    assert server.request("GET", "/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/fraud", "/v2/models/fraud/versions/7"):
        assert server.request("GET", f"{path}/ready").json() == {"name": "fraud", "ready": True}
        metadata = server.request("GET", path).json()
        assert (metadata["name"], metadata["versions"]) == ("fraud", ["7"])
        assert metadata["inputs"][0]["shape"] == [-1, 6]
        assert metadata["parameters"] == {"classes": "0,1", "positive_label": "1"}
    assert server.request("GET", "/v2").json()["name"] == "assay"


@pytest.mark.parametrize("path", [INFER, "/v2/models/fraud/versions/7/infer"])
def test_predictions_are_the_models(server, artifact, path):
    rows = artifact.rows[:20]
    found = outputs(server.request("POST", path, query(rows, id="q-1")))
    assert found["predict"] == artifact.model.predict(rows).tolist()
    assert np.reshape(found["predict_proba"], (20, 2)).tolist() == (
        artifact.model.predict_proba(rows).tolist()
    )


def test_one_row_brings_its_receipt_as_a_header(server, artifact, secret):
    headers = {"assay-stratum": "0123456789/2"}
    reply = server.request("POST", INFER, query(artifact.rows[0], id="q-1"), headers)
    assert reply.json()["id"] == "q-1"
    token = reply.headers["assay-receipt"]
    assert outputs(reply)["receipt"] == [token]
    receipt = Verifier(KeyRing({"k1": secret}, "k1"), "ml", "fraud").verify(token)
    assert (receipt.revision, receipt.stratum) == ("r1", ("0123456789", 2))
    many = server.request("POST", INFER, query(artifact.rows[:2]), headers)
    assert "assay-receipt" not in many.headers
    assert len(outputs(many)["receipt"]) == 2


def test_large_bodies_are_answered_alike(server, artifact):
    rows = np.resize(artifact.rows, (10_000, 6))
    found = outputs(server.request("POST", INFER, query(rows)))
    assert found["predict"] == artifact.model.predict(rows).tolist()
    assert len(set(found["receipt"])) == 10_000


def test_small_requests_do_not_wait_for_large_ones(server, artifact):
    """While a large body is worked on, the loop answers others: their count grows meanwhile."""
    done = threading.Event()

    def large():
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", INFER, json.dumps(query(np.resize(artifact.rows, (10_000, 6)))))
        assert connection.getresponse().status == 200
        connection.close()
        done.set()

    thread = threading.Thread(target=large)
    thread.start()
    answered = 0
    while not done.is_set():
        assert server.request("GET", "/v2/health/live").status == 200
        answered += 1
    thread.join()
    assert answered > 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", INFER, b"{", 400, "the body is not an inference request: "),
        ("POST", INFER, query([1.0, 2.0]), 400, "inputs[0].shape: the model takes 6 features"),
        ("POST", "/v2/models/other/infer", b"{}", 404, "there is nothing at this path"),
        ("POST", "/v2/models/fraud/versions/8/infer", b"{}", 404, "there is nothing at this path"),
        ("GET", "/v2/models/fraud/versions/8", None, 404, "there is nothing at this path"),
        ("GET", INFER, None, 405, "this path takes POST only"),
        ("DELETE", "/v2", None, 405, "this path takes GET only"),
        (
            "POST",
            "/v2/models/fraud/feedback",
            b"{}",
            421,
            "labels belong to the ledger at http://fraud-ledger.ml.svc/v2/models/fraud/feedback",
        ),
    ],
)
def test_errors(server, method, path, body, status, message):
    reply = server.request(method, path, body)
    assert reply.status == status
    assert reply.json()["error"].startswith(message)
    assert reply.headers["content-type"] == "application/json"


def test_feedback_names_the_address_for_machines_too(server):
    reply = server.request("POST", "/v2/models/fraud/feedback", b"{}")
    assert reply.json()["address"] == "http://fraud-ledger.ml.svc/v2/models/fraud/feedback"


def test_an_input_that_overflows_in_the_model_is_an_error_not_a_crash(server):
    reply = server.request("POST", INFER, query([1e308] * 6))
    assert reply.status in {200, 500}
    assert server.request("GET", "/v2/health/live").status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused_in_bounded_memory(server, chunked):
    size = 48 * 1024 * 1024
    server.request("POST", INFER, b"[" * 1024)
    before = server.memory("VmHWM")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    if chunked:
        parts = (b"1" * 65536 for _ in range(size // 65536))
        connection.request("POST", INFER, parts, encode_chunked=True)
    else:
        connection.request("POST", INFER, b"1" * size)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"] == "the body is larger than 8388608 bytes"
    assert response.headers["connection"] == "close"
    connection.close()
    assert server.memory("VmHWM") - before < 20 * 1024


def test_slow_large_bodies_do_not_hold_up_small_ones(server, artifact):
    """More unfinished large uploads than are held at once; chunked small requests pass them."""
    slow = []
    for _ in range(6):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.putrequest("POST", INFER)
        connection.putheader("content-length", str(1024 * 1024))
        connection.endheaders(b" " * 512 * 1024)
        slow.append(connection)
    small = iter([json.dumps(query(artifact.rows[0])).encode()])
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", INFER, small, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    content = json.dumps(query(artifact.rows[0])).encode()

    def finish(connection):
        connection.send(content + b" " * (512 * 1024 - len(content)))
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(len(slow)) as pool:
        assert set(pool.map(finish, slow)) == {200}


def test_metrics(start, serve_arguments, artifact):
    rows = artifact.rows[:300]
    with start(*serve_arguments) as server:
        for stratum in ("0123456789/1", "idle/0", None, "nonsense"):
            headers = {"assay-stratum": stratum} if stratum else {}
            assert server.request("POST", INFER, query(rows), headers).status == 200
        assert server.request("POST", INFER, b"{").status == 400
        served = {}
        boots = set()
        for (name, labels), value in server.metrics().items():
            if name == "assay_served_total":
                found = dict(labels)
                assert (found["deployment"], found["revision"]) == ("fraud", "r1")
                boots.add(found["boot"])
                served[found["rollout"], found["step"], found["predicted"]] = value
        predicted = artifact.model.predict(rows)
        for stratum, times in ((("0123456789", "1"), 1), (("idle", "0"), 1), (("none", "0"), 2)):
            for label in (0, 1):
                assert served[(*stratum, str(label))] == times * (predicted == label).sum()
        assert len(boots) == 1
        assert server.samples("assay_request_duration_seconds_count") == {("fraud", "r1"): 4}
        assert server.samples("assay_request_errors_total") == {("400", "fraud", "r1"): 1}


def test_a_trial_after_many_made_up_strata_is_still_counted(
    start, serve_arguments, artifact, secret
):
    """Made-up strata are bounded and do not keep out the real ones that come later."""
    with start(*serve_arguments) as server:
        for number in range(400):
            headers = {"assay-stratum": f"x{number}/0"}
            assert server.request("POST", INFER, query(artifact.rows[0]), headers).status == 200
        headers = {"assay-stratum": "0123456789/2"}
        reply = server.request("POST", INFER, query(artifact.rows[0]), headers)
        receipt = Verifier(KeyRing({"k1": secret}, "k1"), "ml", "fraud").verify(
            reply.headers["assay-receipt"]
        )
        assert receipt.stratum == ("0123456789", 2)
        samples = server.metrics()
        for name in ("assay_served_total", "assay_requests_total"):
            found = [dict(labels) for (metric, labels) in samples if metric == name]
            assert len(found) == MAX_STRATA
            assert ("0123456789", "2") in {(labels["rollout"], labels["step"]) for labels in found}


def served(stratum: str) -> tuple[Stratum, Inferred]:
    return Stratum(stratum, 0), Inferred(b"", [], {"1": 2})


def boots(metrics: ServingMetrics) -> dict[str, dict[str, float]]:
    """Return {rollout: {boot: rows}} as a scrape would see them."""
    found = defaultdict(dict)
    for family in text_string_to_metric_families(metrics.text()):
        for sample in family.samples:
            if sample.name == "assay_served_total":
                found[sample.labels["rollout"]][sample.labels["boot"]] = sample.value
    return found


def test_the_stratum_in_use_stays_and_the_least_recently_used_one_goes(monkeypatch):
    monkeypatch.setattr(server_module, "MAX_STRATA", 3)
    metrics = ServingMetrics(Identity("m", "1", "ml", "fraud", "east", "r1"))
    for number in range(50):
        metrics.served(*served("trial"))
        metrics.served(*served(f"x{number}"))
    found = boots(metrics)
    assert set(found) == {"trial", "x48", "x49"}
    assert list(found["trial"].values()) == [100]


@given(st.lists(st.sampled_from("abcdef"), max_size=60))
def test_the_largest_values_of_all_boots_add_up_whatever_was_evicted(strata):
    """What the operator computes: max over time by boot, then the sum over boots."""
    metrics = ServingMetrics(Identity("m", "1", "ml", "fraud", "east", "r1"))
    largest = defaultdict(dict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "MAX_STRATA", 3)
        for stratum in strata:
            metrics.served(*served(stratum))
            scraped = boots(metrics)
            assert len(scraped) <= 3
            for rollout, values in scraped.items():
                for boot, value in values.items():
                    largest[rollout][boot] = max(value, largest[rollout].get(boot, 0))
    totals = {stratum: sum(values.values()) for stratum, values in largest.items()}
    assert totals == {stratum: 2 * count for stratum, count in Counter(strata).items()}


def test_draining(start, serve_arguments, artifact, terminate):
    """SIGTERM: unready at once, still serving, then gone with exit code 0."""
    with start(*serve_arguments, "--drain-seconds", 1) as server:
        server.signal(terminate)
        server.until(lambda: server.request("GET", "/v2/health/ready").status == 503)
        assert server.request("GET", "/v2/models/fraud/ready").status == 503
        assert server.request("GET", "/v2/health/live").status == 200
        reply = server.request("POST", INFER, query(artifact.rows[0]))
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        assert server.wait() == 0
        assert [event["event"] for event in server.events()][-2:] == ["draining", "stopped"]


def test_a_request_that_has_started_is_answered_on_the_way_out(
    start, serve_arguments, artifact, terminate
):
    with start(*serve_arguments, "--drain-seconds", 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        body = json.dumps(query(artifact.rows[0])).encode()
        connection.putrequest("POST", INFER)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:10])
        server.signal(terminate)
        server.until(lambda: "draining" in server.text())
        connection.send(body[10:])
        assert connection.getresponse().status == 200
        connection.close()
        assert server.wait() == 0


def test_logs_hold_no_features_and_no_receipts(start, serve_arguments, terminate):
    with start(*serve_arguments, "--drain-seconds", 0) as server:
        reply = server.request("POST", INFER, query([123456.789] * 6))
        assert reply.status == 200
        server.request("POST", INFER, query([987654.321] * 5))
        server.signal(terminate)
        server.wait()
        text = server.text()
        assert [event["level"] for event in server.events()] == ["info"] * 3
        assert "123456" not in text
        assert "987654" not in text
        assert reply.headers["assay-receipt"][:24] not in text


def test_memory_with_a_small_model(server):
    """Resident, in KiB. In the image docstrings are stripped, which takes off another tenth."""
    assert server.memory("RssAnon") < 120 * 1024

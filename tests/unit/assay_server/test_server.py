"""The model server as clients and Kubernetes meet it: a real process, real HTTP."""

import http.client
import json
import re
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from sklearn.metrics import f1_score, roc_auc_score

from assay_server.keys import KeyRing
from assay_server.metrics import MAX_STRATA
from assay_server.receipts import Verifier
from assay_server.reference import MEMBER, Reference, embed

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
        properties = metadata["properties"]
        assert properties.pop("contributions_base")
        assert properties == {
            "classes": '["0", "1"]',
            "engine": "compiled",
            "score": "Probability",
            "positive_label": "1",
            "contributions_against": "prepared columns of 0",
        }
    assert server.request("GET", "/v2").json()["name"] == "assay"


@pytest.mark.parametrize("path", [INFER, "/v2/models/fraud/versions/7/infer"])
def test_predictions_are_the_models(server, artifact, path):
    rows = artifact.rows[:20]
    found = outputs(server.request("POST", path, query(rows, id="q-1")))
    assert found["predict"] == artifact.model.predict(rows).tolist()
    assert np.reshape(found["predict_proba"], (20, 2)) == pytest.approx(
        artifact.model.predict_proba(rows), abs=1e-12
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
        ("POST", "/v2/models/other/infer", b"{}", 404, "no such model here: this server serves"),
        ("POST", "/v2/models/fraud/versions/8/infer", b"{}", 404, "no such model here: this serv"),
        ("GET", "/v2/models/fraud/versions/8", None, 404, "no such model here: this server serve"),
        ("GET", "/v2/models/fraud/versions", None, 404, "there is nothing at this path"),
        ("GET", "/v2/nothing", None, 404, "there is nothing at this path"),
        ("POST", "/v2/repository/models/other/load", b"{}", 400, "cannot load: this server serves"),
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
        errors = server.samples("assay_request_errors_total")
        assert errors.pop(("400", "fraud", "r1")) == 1
        assert set(errors.values()) == {0}


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


def test_the_answer_to_a_scrape_while_draining_holds_everything(
    start, serve_arguments, artifact, terminate
):
    with start(*serve_arguments, "--drain-seconds", 1) as server:
        assert server.request("POST", INFER, query(artifact.rows[:5])).status == 200
        server.signal(terminate)
        server.until(lambda: server.request("GET", "/v2/health/ready").status == 503)
        assert server.request("POST", INFER, query(artifact.rows[:7])).status == 200
        assert sum(server.samples("assay_served_total").values()) == 12
        assert server.wait() == 0


def test_it_stays_until_prometheus_knows_of_the_last_request(
    start, serve_arguments, artifact, terminate
):
    """Whoever has scraped it regularly gets the time of a scrape, beyond the drain time."""
    with start(*serve_arguments, "--drain-seconds", 0) as server:
        server.metrics()
        for _ in range(3):  # takes a while, which is the time between scrapes
            reply = server.request("POST", INFER, query(np.resize(artifact.rows, (10_000, 6))))
            assert reply.status == 200
        server.metrics()
        assert server.request("POST", INFER, query(artifact.rows[:5])).status == 200
        server.signal(terminate)
        server.until(lambda: "draining" in server.text())
        assert sum(server.samples("assay_served_total").values()) == 30_005
        assert server.wait() == 0
        assert server.events()[-1]["event"] == "stopped"


@pytest.fixture(scope="module")
def watched(artifact, tmp_path_factory, digest, keys_file):
    """Arguments of a server whose artifact brings a drift reference."""

    def arguments(content: bytes | None = None) -> list:
        path = tmp_path_factory.mktemp("watched") / "model.skops"
        path.write_bytes(artifact.path.read_bytes())
        scores = artifact.model.predict_proba(artifact.rows)[:, 1]
        embed(path, Reference.of(artifact.rows, scores=("1", scores)))
        if content is not None:
            with zipfile.ZipFile(artifact.path) as old, zipfile.ZipFile(path, "w") as new:
                for name in old.namelist():
                    new.writestr(name, old.read(name))
                new.writestr(MEMBER, content)
        return [
            *("serve", "--model-uri", path, "--digest", digest(path), "--model-name", "fraud"),
            *("--model-version", "7", "--revision", "r1", "--keys-file", keys_file),
            *("--http-port", 0),
        ]

    return arguments


def test_drift_of_inputs_and_scores_is_exposed_and_no_training_data_is(start, watched, artifact):
    with start(*watched()) as server:
        shifted = artifact.rows[:1000] + np.array([0, 0, 2, 0, 0, 0])
        for rows in np.split(shifted, 10):
            assert server.request("POST", INFER, query(rows)).status == 200
        reply = server.request(
            "GET", "/metrics", headers={"accept": "application/openmetrics-text"}
        )
        assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1")
        found = {family.name: family for family in openmetrics_families(reply.body.decode())}
        psi = {s.labels["feature"]: s.value for s in found["assay_feature_psi"].samples}
        assert max(psi, key=psi.get) == "2"
        assert psi["2"] > 1 > psi["predict_proba"]
        assert max(psi[name] for name in "01345") < 0.1
        assert sum(s.value for s in found["assay_feature"].samples) == 7 * 1000
        bins = {s.labels["bin"] for s in found["assay_feature"].samples}
        assert bins == {*map(str, range(16)), "missing"}
        metadata = server.request("GET", "/v2/models/fraud").body.decode()
        for edge in Reference.of(artifact.rows).features[2].edges:
            assert repr(edge) not in metadata + server.text() + reply.body.decode()


def test_the_example_of_the_documentation_shows_what_served_rows_are_worth(
    start, artifact, tmp_path, digest, keys_file, monkeypatch
):
    page = Path(__file__).parents[3] / "docs" / "drift.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "model.skops").write_bytes(artifact.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    tested, served = artifact.rows[:1000], artifact.rows[1000:]
    known = {"rows": tested, "labels": artifact.labels[:1000], "training": artifact.rows}
    exec(example, {"model": artifact.model, **known})
    path = tmp_path / "model.skops"
    arguments = [
        *("serve", "--model-uri", path, "--digest", digest(path), "--model-name", "fraud"),
        *("--model-version", "7", "--keys-file", keys_file, "--http-port", 0),
    ]
    with start(*arguments) as server:
        for rows in (*served[:2].reshape(2, 1, -1), served[2:]):
            assert server.request("POST", INFER, query(rows)).status == 200
        [f1] = server.samples("assay_estimated_f1").values()
        [area] = server.samples("assay_estimated_roc_auc").values()
        real, scores = artifact.labels[1000:], artifact.model.predict_proba(served)[:, 1]
        # As exact as a thousand rows to calibrate on and a thousand to compare with are.
        assert f1 == pytest.approx(f1_score(real, artifact.model.predict(served)), abs=0.1)
        assert area == pytest.approx(roc_auc_score(real, scores), abs=0.05)
        [known_f1] = server.samples("assay_reference_f1").values()
        assert known_f1 == pytest.approx(
            f1_score(artifact.labels[:1000], artifact.model.predict(tested))
        )
        outcomes = server.samples("assay_estimated_outcomes_total")
        assert sum(outcomes.values()) == pytest.approx(1000)


def test_a_model_serves_without_a_reference_that_cannot_be_used(start, watched, artifact):
    with start(*watched(b'{"version": 9}')) as server:
        assert server.request("POST", INFER, query(artifact.rows[:5])).status == 200
        [refused] = [e for e in server.events() if e["event"] == "drift_reference_refused"]
        assert "version" in refused["cause"]
        states = server.samples("assay_drift_reference")
        assert {key[-1] for key, value in states.items() if value} == {"Refused"}


def test_infos_and_the_process_are_described(server):
    [model] = [dict(labels) for (name, labels) in server.metrics() if name == "assay_model_info"]
    assert model == {
        "deployment": "fraud",
        "revision": "r1",
        "namespace": "ml",
        "member": "east",
        "model": "fraud",
        "version": "7",
    }
    [build] = [dict(labels) for (name, labels) in server.metrics() if name == "assay_build_info"]
    assert build.keys() == {"version", "python", "sklearn", "engine"}
    resident = server.samples("process_resident_memory_bytes")[()]
    assert resident == pytest.approx(server.memory("VmRSS") * 1024, rel=0.1)
    assert server.samples("assay_requests_in_flight") == {("fraud", "r1"): 0}


def test_memory_with_a_small_model(server):
    """Anonymous memory, in KiB, beyond that of the libraries without which no model loads.

    Here these import more than in the image, whose libraries import nothing that it does not hold.
    """
    script = "import skops.io, sklearn.linear_model, sklearn.pipeline, time; print(1, flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as libraries:
        libraries.stdout.readline()
        status = Path(f"/proc/{libraries.pid}/status").read_text()
        libraries.kill()
    alone = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    assert server.memory("RssAnon") < alone + 50 * 1024

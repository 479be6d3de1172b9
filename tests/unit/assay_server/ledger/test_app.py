"""The ledger as clients, Prometheus and Kubernetes meet it: a real process, real HTTP."""

import asyncio
import json
import sqlite3
import time
from types import SimpleNamespace

import pytest

from assay_server.keys import KeyRing
from assay_server.ledger import sqlite as sqlite_module
from assay_server.ledger import writer
from assay_server.ledger.app import Ledger
from assay_server.ledger.entries import Rules
from assay_server.ledger.feedback import Clerk
from assay_server.ledger.store import source_of
from assay_server.receipts import Issuer, Stratum, Verifier
from assay_server.transport import Server, listen
from tests.unit.assay_server.ledger.messages import FEEDBACK, WEST, body, call


def test_results_come_in_the_order_of_the_request(ledger, sign):
    first, second = sign(2)
    reply = ledger.request(
        "POST",
        FEEDBACK,
        body(
            (first, "1"),
            (first, 1),
            (first, "0"),
            (sign(member="west")[0], "1"),
            (sign(key=bytes(32))[0], "1"),
            (sign(age=2592001)[0], "1"),
            (sign(deployment="other")[0], "1"),
            (second, "maybe"),
            ("nonsense", "1"),
            (second, False),
        ),
    )
    assert reply.status == 200
    results = reply.json()["results"]
    assert [found["status"] for found in results] == [
        "counted",
        "duplicate",
        "conflict",
        "wrong_member",
        "forged",
        "expired",
        "wrong_deployment",
        "unknown_label",
        "malformed",
        "counted",
    ]
    assert reply.json()["counted"] == 2
    assert results[0] == {"receipt": first[:24], "status": "counted"}
    assert results[3]["address"] == WEST
    assert all("message" in found for found in results if found["status"] != "counted")
    assert ledger.confusion() == {("1", "1"): 1, ("0", "1"): 1}
    found = ledger.samples("assay_labels_total").items()
    totals = {labels[1]: value for labels, value in found if value}
    assert totals == {"counted": 2} | dict.fromkeys(
        [
            *("duplicate", "conflict", "wrong_member", "forged", "expired"),
            *("wrong_deployment", "unknown_label", "malformed"),
        ],
        1,
    )


def test_a_label_for_another_member_is_421_with_the_address_and_counts_nowhere(ledger, sign):
    tokens = sign(2, member="west")
    reply = ledger.request("POST", FEEDBACK, body((tokens[0], "1"), (tokens[1], "0")))
    assert reply.status == 421
    answer = reply.json()
    assert answer["address"] == WEST
    assert answer["counted"] == 0
    assert [found["status"] for found in answer["results"]] == ["wrong_member"] * 2
    unknown = ledger.request("POST", FEEDBACK, body((sign(member="moon")[0], "1")))
    assert unknown.status == 421
    assert "address" not in unknown.json()
    assert ledger.confusion() == {}


def test_one_label_of_this_member_makes_it_200(ledger, sign):
    reply = ledger.request("POST", FEEDBACK, body((sign(member="west")[0], "1"), (sign()[0], "1")))
    assert (reply.status, reply.json()["counted"]) == (200, 1)


def test_no_labels_is_an_empty_success(ledger):
    reply = ledger.request("POST", FEEDBACK, {"labels": []})
    assert (reply.status, reply.json()) == (200, {"results": [], "counted": 0})


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "message"),
    [
        ("POST", FEEDBACK, b"{", 400, "the body is not a label request"),
        ("POST", FEEDBACK, b" " * (1024 * 1024 + 1), 413, "the body is larger than 1048576 bytes"),
        ("POST", FEEDBACK, {"labels": [0] * 10_001}, 413, "labels: at most 10000 in one request"),
        ("POST", "/v2/models/other/feedback", b"{}", 404, "there is nothing at this path"),
        ("GET", FEEDBACK, None, 405, "this path takes POST only"),
    ],
)
def test_errors(ledger, method, path, content, status, message):
    reply = ledger.request(method, path, content)
    assert reply.status == status
    assert reply.json()["error"].startswith(message)


def test_a_huge_body_is_refused_in_bounded_memory(ledger):
    before = ledger.memory("VmHWM")
    reply = ledger.request("POST", FEEDBACK, b"1" * (48 * 1024 * 1024))
    assert reply.status == 413
    assert ledger.memory("VmHWM") - before < 8 * 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--missing-label", "Negative"), "needs --label-age-seconds"),
        (("--label-age-seconds", 11), "must not be above --label-window-seconds"),
        (("--retention-seconds", 9), "must not be below --label-window-seconds"),
    ],
)
def test_settings_that_contradict_each_other(start, ledger_arguments, tmp_path, options, message):
    arguments = ledger_arguments(tmp_path / "l.db", "--label-window-seconds", 10, *options)
    with start(*arguments, ready=False) as process:
        assert process.wait() == 2
        assert message in process.text()


def test_receipts_of_several_models_need_no_configuration(ledger, sign):
    """Class names come with the receipts; strings, numbers and booleans find their class."""
    animals = ("ant", "bee", "cat")
    tokens = sign(3, classes=animals, predicted=2, bins=None, revision="r2")
    assert ledger.request("POST", FEEDBACK, body(*zip(tokens, animals, strict=True))).status == 200
    refused = ledger.request("POST", FEEDBACK, body((sign(classes=animals, bins=None)[0], "dog")))
    assert refused.json()["results"][0]["message"] == "the label is not one of: ant, bee, cat"
    assert ledger.confusion() == {(label, "cat"): 1 for label in animals}
    assert ledger.samples("assay_scores_total") == {}


def test_key_rotation_under_a_running_ledger(start, ledger_arguments, sign, tmp_path):
    keys = tmp_path / "keys.json"
    old, new = "b" * 42 + "s=", "c" * 42 + "s="

    def write(active, **known):
        fresh = tmp_path / "fresh.json"
        fresh.write_text(json.dumps({"active": active, "keys": known}))
        fresh.replace(keys)

    import base64

    def token(kid, encoded):
        ring = KeyRing({kid: base64.b64decode(encoded)}, kid)
        issuer = Issuer(
            ring,
            namespace="ml",
            deployment="fraud",
            member="east",
            revision="r1",
            classes=("0", "1"),
        )
        return issuer.issue(Stratum("x", 0), [1], [3], int(time.time()))[0]

    write("a", a=old)
    with start(*ledger_arguments(tmp_path / "l.db", "--keys-file", keys)) as ledger:

        def status(kid, encoded):
            reply = ledger.request("POST", FEEDBACK, body((token(kid, encoded), "1")))
            return reply.json()["results"][0]["status"]

        assert status("a", old) == "counted"
        assert status("b", new) == "forged"
        write("b", a=old, b=new)
        assert status("b", new) == "counted"
        assert status("a", old) == "counted"
        write("b", b=new)
        ledger.until(lambda: status("a", old) == "forged")


def test_terminate_commits_and_leaves_with_0(start, ledger_arguments, sign, tmp_path, terminate):
    with start(*ledger_arguments(tmp_path / "l.db")) as ledger:
        tokens = sign(50)
        reply = ledger.request("POST", FEEDBACK, body(*((token, "1") for token in tokens)))
        assert reply.json()["counted"] == 50
        ledger.request("POST", FEEDBACK, body((sign(key=bytes(32))[0], "1")))
        before, results = evidence(ledger), ledger.samples("assay_labels_total")
        ledger.signal(terminate)
        assert ledger.wait() == 0
    with start(*ledger_arguments(tmp_path / "l.db")) as ledger:
        assert evidence(ledger) == before
        assert ledger.samples("assay_labels_total") == results
        again = ledger.request("POST", FEEDBACK, body(*((token, "1") for token in tokens)))
        assert {found["status"] for found in again.json()["results"]} == {"duplicate"}


def test_the_second_ledger_on_a_volume_is_not_ready_and_shows_no_counts(
    start, ledger_arguments, sign, tmp_path, terminate
):
    arguments = ledger_arguments(tmp_path / "l.db")
    with start(*arguments) as first:
        first.request("POST", FEEDBACK, body((sign()[0], "1")))
        with start(*arguments, ready=False) as second:
            second.until(lambda: "store_locked" in second.text() and "port" in second.text())
            port = next(event["port"] for event in second.events() if "port" in event)
            second.port = port
            assert second.request("GET", "/v2/health/live").status == 200
            for method, path in (
                ("GET", "/v2/health/ready"),
                ("GET", "/metrics"),
                ("POST", FEEDBACK),
            ):
                assert second.request(method, path).status == 503
            first.signal(terminate)
            assert first.wait() == 0
            second.started()
            assert second.confusion() == {("1", "1"): 1}


def test_a_store_that_is_no_database_ends_the_process(start, ledger_arguments, tmp_path):
    path = tmp_path / "l.db"
    path.write_bytes(b"no database" * 1000)
    with start(*ledger_arguments(path), ready=False) as process:
        assert process.wait() == 1
        line = f"StoreFailed: {path}: file is not a database"
        assert process.text().splitlines()[-1] == line
        assert process.termination_log.read_text() == line + "\n"


def test_labels_past_the_window_are_deleted_and_stay_counted_and_refused_after_a_kill(
    start, ledger_arguments, sign, tmp_path
):
    path = tmp_path / "l.db"
    with start(*ledger_arguments(path, "--label-window-seconds", 1000)) as ledger:
        old = [(token, "1") for token in sign(300, age=997)]
        new = [(token, "0") for token in sign(50)]
        assert ledger.request("POST", FEEDBACK, body(*old)).json()["counted"] == 300

        def expired():
            results = ledger.request("POST", FEEDBACK, body(old[0])).json()["results"]
            return results[0]["status"] == "expired"

        ledger.until(expired)
        time.sleep(writer.TICK_SECONDS)
        assert ledger.request("POST", FEEDBACK, body(*new)).json()["counted"] == 50
        before = evidence(ledger)
        ledger.signal(9)
        ledger.wait()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM predictions").fetchone() == (50,)
    database.close()
    # A longer window does not bring back what is gone: it would count twice.
    for window in (1000, 10_000):
        with start(*ledger_arguments(path, "--label-window-seconds", window)) as ledger:
            assert evidence(ledger) == before
            results = ledger.request("POST", FEEDBACK, body(*old, *new)).json()["results"]
            statuses = [found["status"] for found in results]
            assert statuses == ["expired"] * 300 + ["duplicate"] * 50
            assert "message" in results[0]
            assert evidence(ledger) == before
            ledger.signal(9)
            ledger.wait()


def evidence(ledger) -> dict:
    """Return the ledger's metrics without those that count refusals, time and memory."""
    apart = ("assay_labels_total", "assay_ledger_commit", "assay_label_lag", "process_", "python_")
    return {key: value for key, value in ledger.metrics().items() if not key[0].startswith(apart)}


def test_a_full_disk_is_answered_503_and_no_refusal_goes_uncounted(
    sign, secret, tmp_path, monkeypatch
):
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    usage = SimpleNamespace(total=2**40, free=0)
    monkeypatch.setattr(sqlite_module.shutil, "disk_usage", lambda _path: usage)
    verifier = Verifier(KeyRing({"k1": secret}, "k1"), "ml", "fraud")
    clerk = Clerk(verifier, Rules(window=1000), member="east", members={})
    labels = [{"receipt": token, "label": "1"} for token in (*sign(2000), *sign(7, key=bytes(32)))]

    async def main():
        ledger = Ledger(clerk, source_of(f"sqlite:///{tmp_path}/l.db", "o"), "fraud")
        ledger.start()
        server = Server(ledger.service, drain_seconds=0.0)
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        answering = asyncio.create_task(server.answer(listener))
        while (await call(port, "GET", "/v2/health/ready"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        content = json.dumps({"labels": labels}).encode()
        status, text = await call(port, "POST", FEEDBACK, content)
        assert status == 503
        assert json.loads(text)["error"].startswith("the ledger's disk is full: no label was")
        status, text = await call(port, "GET", "/metrics")
        assert status == 200
        assert 'result="counted"} 0\n' in text
        assert 'result="forged"} 7\n' in text
        usage.free = 2**30
        tries = 1
        while status != 200 or tries == 1:  # it learns of the space by failing once more
            status, text = await call(port, "POST", FEEDBACK, content)
            tries += 1
        assert json.loads(text)["counted"] == 2000
        _, text = await call(port, "GET", "/metrics")
        assert 'result="counted"} 2000\n' in text
        assert f'result="forged"}} {7 * tries}\n' in text
        server.leave()
        await answering
        await ledger.close()

    asyncio.run(main())

"""Shipping: the ledger is told of what was served, once it can be, whatever happens meanwhile."""

import http.server
import json
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assay_server import shipping
from assay_server.receipts import NO_STRATUM, Stratum
from assay_server.shipping import Ship, ShipFile, Shipper, ShippingError, shipper_of
from assay_server.spool import Spool

STRATUM = Stratum("x", 1)
LABELS = {"deployment": "fraud", "revision": "r1"}


class Ledger(http.server.ThreadingHTTPServer):
    """Takes shipments over real HTTP as the ledger does; answers what `answers` holds first."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.rows: list[list] = []
        self.paths: set[str] = set()
        self.answers: list[tuple[int, dict]] = []
        self.arrived = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v2/models/fraud/served"

    def wait(self, rows: int) -> list[list]:
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.rows) >= rows)
            return self.rows

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        ledger = self.server
        served = json.loads(self.rfile.read(int(self.headers["content-length"])))["served"]
        with ledger.arrived:
            ledger.paths.add(self.path)
            status, answer = 200, {"taken": len(served), "refused": []}
            if ledger.answers:
                status, answer = ledger.answers.pop(0)
            if status == 200:
                ledger.rows += served
            ledger.arrived.notify_all()
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def ledger():
    with Ledger() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(shipping, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(shipping, "_FIRST_PAUSE_SECONDS", 0.01)


def shipper(address, folder, ship=Ship.ALL, limit=10**6) -> Shipper:
    return Shipper(address, Spool(folder, limit), lambda: ship, LABELS)


def counted(one: Shipper) -> dict[str, float]:
    """Return the metrics by name, those that were dropped by reason."""
    return {
        sample.labels.get("reason", sample.name): sample.value
        for family in text_string_to_metric_families(one.text())
        for sample in family.samples
    }


def test_rows_arrive_with_their_request_and_place(ledger, tmp_path):
    one = shipper(ledger.address, tmp_path)
    one.start()
    one.note("a", STRATUM, None, ["r0", "r1"])
    one.note(None, STRATUM, None, ["r2"])
    one.note("long" * 100, STRATUM, None, ["r3"])
    rows = ledger.wait(4)
    assert rows[:3] == [["a", 0, "r0"], ["a", 1, "r1"], [None, 0, "r2"]]
    assert rows[3][0].startswith("sha256:")
    assert ledger.paths == {"/v2/models/fraud/served"}
    one.close(10)
    assert counted(one) == {
        "assay_spool_sent_total": 4,
        "assay_spool_waiting": 0,
        **dict.fromkeys(("full", "refused", "unwritten"), 0),
    }


def test_nothing_is_told_where_nothing_is_wanted(ledger, tmp_path):
    one = shipper(ledger.address, tmp_path / "spool", Ship.NONE)
    one.start()
    one.note("a", STRATUM, "ann", ["r0"])
    one.close(10)
    assert ledger.rows == []
    assert not (tmp_path / "spool").exists()


def test_of_users_only_the_first_row_under_each_stratum_is_told(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "KNOWN_USERS", 2)
    one = shipper(ledger.address, tmp_path, Ship.USERS)
    other = Stratum("x", 2)
    for number, (stratum, user) in enumerate(
        [
            *((STRATUM, "ann"), (STRATUM, "ann"), (STRATUM, None), (other, "ann")),
            *((other, "ann"), (STRATUM, "bob"), (other, "ann"), (STRATUM, "ann")),
            *((NO_STRATUM, "ann"), (Stratum("idle", 0), "ann")),
        ]
    ):
        one.note(f"id {number}", stratum, user, [f"{number}.0", f"{number}.1"])
    one.start()
    # The last is told again: only the two users seen last are remembered.
    assert [row[2] for row in ledger.wait(4)] == ["0.0", "3.0", "5.0", "7.0"]
    assert {row[0] for row in ledger.rows} == {None}
    one.close(10)


def test_what_the_ledger_does_not_take_is_sent_again_until_it_does(ledger, tmp_path):
    ledger.answers = [(503, {"error": "busy"}), (500, {}), (404, {})]
    one = shipper(ledger.address, tmp_path)
    one.start()
    one.note("a", STRATUM, None, ["r0"])
    assert ledger.wait(1) == [["a", 0, "r0"]]
    one.close(10)
    assert counted(one)["assay_spool_sent_total"] == 1


def test_what_the_ledger_refuses_for_good_is_counted_and_forgotten(ledger, tmp_path):
    ledger.answers = [(200, {"taken": 1, "refused": [[1, "forged"]]})]
    one = shipper(ledger.address, tmp_path)
    one.note("a", STRATUM, None, ["r0", "r1"])
    one.start()
    ledger.wait(2)
    one.close(10)
    found = counted(one)
    assert (found["assay_spool_sent_total"], found["refused"]) == (1, 1)
    assert found["assay_spool_waiting"] == 0


def test_rows_wait_for_a_ledger_that_is_not_there_yet_and_outlive_their_server(tmp_path):
    with Ledger() as gone:
        address, port = gone.address, gone.server_address[1]
    first = shipper(address, tmp_path)
    first.start()
    first.note("a", STRATUM, None, ["r0", "r1"])
    first.close(10)
    assert counted(first)["assay_spool_waiting"] == 0  # let go of
    second = shipper(address, tmp_path)
    assert counted(second)["assay_spool_waiting"] == 2
    second.start()
    with Ledger(port) as ledger:
        assert ledger.wait(2) == [["a", 0, "r0"], ["a", 1, "r1"]]
        second.close(10)


def test_closing_sends_what_waits(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "BATCH_BYTES", 100)
    monkeypatch.setattr(shipping, "LINGER_SECONDS", 10**6)
    one = shipper(ledger.address, tmp_path)
    one.start()
    for number in range(100):
        one.note("a", STRATUM, None, [f"receipt {number}"])
    one.close(60)
    assert [row[2] for row in ledger.rows] == [f"receipt {number}" for number in range(100)]
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_written_costs_no_prediction(ledger, tmp_path):
    (tmp_path / "file").touch()
    one = shipper(ledger.address, tmp_path / "file" / "spool")
    one.note("a", STRATUM, None, ["r0", "r1"])
    assert counted(one)["unwritten"] == 2


def test_what_to_ship_is_read_from_a_file_that_may_change(tmp_path):
    now = 0.0
    path = tmp_path / "feedback.json"
    ship = ShipFile(path, clock=lambda: now)
    assert ship() is Ship.NONE
    path.write_text('{"ship": "All", "more": 1}')
    assert ship() is Ship.NONE
    for content, expected in (
        ('{"ship": "All"}', Ship.ALL),
        ('{"ship": "Users"}', Ship.USERS),
        ('{"ship": "Everything"}', Ship.USERS),
        ("", Ship.USERS),
        ("{}", Ship.NONE),
    ):
        now += 1.0
        path.write_text(content)
        assert ship() is expected
    path.unlink()
    now += 1.0
    assert ship() is Ship.NONE


@pytest.mark.parametrize("url", ["ledger:80/v2", "ftp://ledger/v2", "http:///v2"])
def test_urls_that_are_none(url, tmp_path):
    known = {"deployment": "d", "namespace": "n", "revision": "r"}
    with pytest.raises(ShippingError, match="must look like http://host:port"):
        shipper_of(url, tmp_path, 10**6, Ship.ALL, **known)
    assert shipper_of(url, tmp_path, 10**6, Ship.NONE, **known) is None


def test_models_do_not_take_over_the_shipments_of_others(tmp_path, ledger):
    def made(deployment):
        known = {"deployment": deployment, "namespace": "n", "revision": "r"}
        return shipper_of(ledger.address, tmp_path, 10**6, Ship.ALL, **known)

    fraud = made("fraud")
    fraud.note("a", STRATUM, None, ["r0"])
    fraud._spool.close()
    assert counted(made("churn"))["assay_spool_waiting"] == 0
    assert counted(made("fraud"))["assay_spool_waiting"] == 1

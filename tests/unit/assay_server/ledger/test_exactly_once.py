"""Server and ledger killed again and again under load: every prediction counts once, rightly.

The clients' log is the truth. Labels come for positives only, three in ten too late; what has no
label in time is negative. Live F1 must be scikit-learn's on what should have been released.
"""

import http.client
import json
import queue
import random
import socket
import threading
from collections import Counter
from contextlib import ExitStack

from sklearn.metrics import confusion_matrix, f1_score

from assay_server.ledger.entries import Rules
from assay_server.ledger.predictions import State
from tests.unit.assay_server.ledger.keeper import Keeper

INFER = "/v2/models/fraud/infer"
FEEDBACK = "/v2/models/fraud/feedback"
TROUBLES = (OSError, http.client.HTTPException, ValueError)
DAY = 86_400
ROWS = 600


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Seat:
    """A process that is killed and started again at the same port."""

    def __init__(self, start, arguments) -> None:
        self._start = start
        self._arguments = arguments
        self._stack = ExitStack()
        self.port = free_port()
        self.process = None

    def up(self, *more: object) -> None:
        """Start; returns when it is ready."""
        self.process = self._stack.enter_context(
            self._start(*self._arguments, "--http-port", self.port, *more)
        )

    def kill(self) -> None:
        self.process.signal(9)
        self.process.wait()
        self._stack.close()

    def post(self, path: str, content: object) -> dict:
        """Send one request on a connection of its own. Raises one of `TROUBLES`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(content))
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                raise OSError(f"{reply.status}")
            return json.loads(body)
        finally:
            connection.close()


class Clients:
    """Ask for predictions and send labels until everything is done, whoever dies meanwhile."""

    def __init__(self, server: Seat, ledger: Seat, artifact) -> None:
        self.server = server
        self.ledger = ledger
        self.rows = artifact.rows[:ROWS]
        self.truth = artifact.labels[:ROWS]
        self.dice = random.Random(3)
        self.late = {place for place in range(ROWS) if self.dice.random() < 0.3}
        self.receipts: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.unanswered: set[str] = set()
        self.statuses: Counter[str] = Counter()
        self.progress = queue.SimpleQueue()

    def predict(self, places: list[int]) -> None:
        """Have these rows predicted, each by a request of its own."""
        for place in places:
            attempt = 0
            while place not in self.receipts:
                name = f"case-{place}-{attempt}"
                attempt += 1
                data = self.rows[place].tolist()
                tensor = {"name": "x", "shape": [1, len(data)], "datatype": "FP64", "data": data}
                try:
                    answer = self.server.post(INFER, {"id": name, "inputs": [tensor]})
                except TROUBLES:
                    self.unanswered.add(name)
                    continue
                outputs = {output["name"]: output["data"] for output in answer["outputs"]}
                self.names[place] = name
                self.receipts[place] = outputs["receipt"][0]
                self.progress.put(place)

    def label(self, places: list[int], final: set[str]) -> None:
        """Send the positive labels among these rows until each has its final status."""
        for place in places:
            if self.truth[place] != 1:
                continue
            by_receipt = place % 3 == 0
            name = {"receipt": self.receipts[place]} if by_receipt else {"id": self.names[place]}
            status = ""
            while status not in final:
                try:
                    answer = self.ledger.post(FEEDBACK, {"labels": [{**name, "label": 1}]})
                    status = answer["results"][0]["status"]
                except TROUBLES:
                    continue
                assert status in final | {"unknown_id"}
                self.statuses[status] += 1
            self.progress.put(place)


def in_parallel(work, places, *arguments) -> list[threading.Thread]:
    lanes = [threading.Thread(target=work, args=(places[lane::3], *arguments)) for lane in range(3)]
    for lane in lanes:
        lane.start()
    return lanes


def kill_on_the_way(clients, seats, dice, kills, steps, *more) -> None:
    """Kill one of the seats after every so many steps of the clients, at some moment."""
    for _ in range(kills):
        for _ in range(steps):
            clients.progress.get()
        seat = dice.choice(seats)
        seat.kill()
        seat.up(*more[seats.index(seat)])


def test_positives_only_three_in_ten_late_and_everybody_is_killed(
    place, start, serve_arguments, ledger_arguments, artifact, tmp_path
):
    dice = random.Random(4)
    url = place()
    ledger = Seat(
        start, ledger_arguments(tmp_path / "l.db", "--store", url, "--missing-label", "Negative")
    )
    server = Seat(
        start,
        [
            *serve_arguments,
            *("--ship", "All", "--spool-dir", tmp_path / "spool"),
            *("--ledger-url", f"http://127.0.0.1:{ledger.port}"),
        ],
    )
    clients = Clients(server, ledger, artifact)
    everything = list(range(ROWS))
    aged = ("--label-age-seconds", DAY)
    ledger.up(*aged)
    server.up()

    lanes = in_parallel(clients.predict, everything)
    kill_on_the_way(clients, [server, ledger], dice, 5, 100, (), aged)
    for lane in lanes:
        lane.join()
    # The spool holds what the ledger was not told of, also when its server dies once more.
    server.kill()
    server.up()
    on_time = [place for place in everything if place not in clients.late]
    lanes = in_parallel(clients.label, on_time, {"counted", "duplicate"})
    kill_on_the_way(clients, [ledger], dice, 3, 10, aged)
    for lane in lanes:
        lane.join()
    server.process.until(lambda: sum(server.process.samples("assay_spool_waiting").values()) == 0)

    ledger.kill()
    short = ("--label-age-seconds", 1)
    ledger.up(*short)
    ledger.process.until(lambda: ledger.process.samples("assay_pending_predictions")["fraud",] == 0)
    late = sorted(clients.late)
    lanes = in_parallel(clients.label, late, {"corrected", "duplicate"})
    kill_on_the_way(clients, [ledger], dice, 2, 10, short)
    for lane in lanes:
        lane.join()
    server.kill()

    live = ledger.process.confusion()
    corrections = sum(ledger.process.samples("assay_corrections_total").values())
    ledger.kill()
    expected, predicted = check_log(url, clients)
    matrix = confusion_matrix(expected, predicted)
    assert live == Counter(
        {
            (str(truth), str(answer)): int(matrix[truth, answer])
            for truth in (0, 1)
            for answer in (0, 1)
            if matrix[truth, answer]
        }
    )
    f1 = 2 * live["1", "1"] / (2 * live["1", "1"] + live["0", "1"] + live["1", "0"])
    assert f1 == f1_score(expected, predicted)
    assert corrections == sum(clients.truth[place] == 1 for place in late)


def check_log(url: str, clients: Clients) -> tuple[list[int], list[int]]:
    """Hold the ledger's log against the clients'; return the labels and predictions to expect.

    A request whose answer was lost may have been served: then it is in the ledger's log, without a
    label, and nobody knows better.
    """
    answers = {name: place for place, name in clients.names.items()}
    seen = Counter()
    expected, predicted = [], []
    with Keeper(url, Rules(window=10**10, age=1, negative=True)) as keeper:
        for row, cell, later in keeper.rows():
            assert row.state & State.COUNTED
            place = answers.get(row.request)
            seen[row.request] += 1
            predicted.append(int(cell.predicted))
            if place is None:
                assert row.request in clients.unanswered
                assert (cell.label, row.lag, later) == ("0", None, None)
                expected.append(0)
                continue
            positive = clients.truth[place] == 1
            on_time = positive and place not in clients.late
            assert cell.label == ("1" if on_time else "0")
            assert (later is not None) == (positive and not on_time)
            expected.append(int(on_time))
    assert max(seen.values()) == 1
    assert seen.keys() >= answers.keys()
    return expected, predicted

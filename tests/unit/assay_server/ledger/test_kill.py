"""A ledger killed in the middle of writing, with a real process, real HTTP and both stores."""

import http.client
import json
import threading
from collections import Counter

from tests.unit.assay_server.ledger.messages import FEEDBACK, body


def test_killed_in_the_middle_of_writing_nothing_is_lost_and_nothing_counts_twice(
    place, start, ledger_arguments, sign, tmp_path
):
    """Three kills under four clients; then everybody sends everything once more."""
    arguments = ledger_arguments(tmp_path / "l.db", "--store", place())
    truth = {token: "01"[number % 3 == 0] for number, token in enumerate(sign(3000))}
    entries = list(truth.items())
    answered: set[str] = set()

    def send(port, mine):
        """Send labels until the connection breaks; remember what was answered as counted."""
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            for begin in range(0, len(mine), 5):
                part = mine[begin : begin + 5]
                connection.request("POST", FEEDBACK, json.dumps(body(*part)))
                reply = connection.getresponse()
                results = json.loads(reply.read())["results"]
                for (token, _), found in zip(part, results, strict=True):
                    assert found["status"] in {"counted", "duplicate"}
                    answered.add(token)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    for round_number in range(3):
        with start(*arguments) as ledger:
            assert sum(ledger.confusion().values()) >= len(answered)
            before = len(answered)
            clients = [
                threading.Thread(target=send, args=(ledger.port, entries[round_number + lane :: 4]))
                for lane in range(4)
            ]
            for client in clients:
                client.start()
            ledger.until(lambda known=before: len(answered) > known + 200)
            ledger.signal(9)
            for client in clients:
                client.join()
    assert len(answered) < len(entries)
    with start(*arguments) as ledger:
        assert sum(ledger.confusion().values()) >= len(answered)
        statuses = Counter()
        for begin in range(0, len(entries), 500):
            part = entries[begin : begin + 500]
            results = ledger.request("POST", FEEDBACK, body(*part)).json()["results"]
            statuses.update(found["status"] for found in results)
            for (token, _), found in zip(part, results, strict=True):
                assert token not in answered or found["status"] == "duplicate"
        assert set(statuses) == {"counted", "duplicate"}
        assert ledger.confusion() == Counter((label, "1") for label in truth.values())

"""What servers tell the ledger, and what is erased on request."""

import asyncio
import json

import pytest

from assay_server.keys import KeyRing
from assay_server.ledger.app import Ledger, anybody
from assay_server.ledger.entries import Rules
from assay_server.ledger.feedback import MESSAGES, Clerk
from assay_server.ledger.store import source_of
from assay_server.receipts import Verifier
from assay_server.transport import Server, listen
from tests.unit.assay_server.ledger.messages import FEEDBACK, SERVED, body, call


def test_what_servers_tell_makes_labels_by_the_clients_own_id_possible(ledger, sign):
    tokens = sign(3)
    late = {"labels": [{"id": "order-7", "row": 1, "label": "1"}]}
    assert ledger.request("POST", FEEDBACK, late).json()["results"] == [
        {"id": "order-7", "row": 1, "status": "unknown_id", "message": MESSAGES["unknown_id"]}
    ]
    served = {
        "served": [
            *(["order-7", row, token] for row, token in enumerate(tokens)),
            [None, 0, sign(key=bytes(32))[0]],
            ["order-8", 0, sign(member="west")[0]],
            "nonsense",
        ]
    }
    for _ in range(2):
        reply = ledger.request("POST", SERVED, served)
        assert reply.status == 200
        refused = [[3, "forged"], [4, "wrong_member"], [5, "malformed"]]
        assert reply.json() == {"taken": 3, "refused": refused}
    entries = [{"id": "order-7", "row": row, "label": str(row % 2)} for row in range(4)]
    results = ledger.request("POST", FEEDBACK, {"labels": entries}).json()["results"]
    assert [found["status"] for found in results] == ["counted"] * 3 + ["unknown_id"]
    assert ledger.request("POST", FEEDBACK, body((tokens[1], "0"))).json()["results"] == [
        {"receipt": tokens[1][:24], "status": "conflict", "message": MESSAGES["conflict"]}
    ]
    assert ledger.confusion() == {("0", "1"): 2, ("1", "1"): 1}
    shipments = {
        labels[1]: value for labels, value in ledger.samples("assay_shipments_total").items()
    }
    assert shipments == {
        **dict.fromkeys(("taken", "known"), 3),
        **dict.fromkeys(("forged", "wrong_member", "malformed"), 2),
        **dict.fromkeys(("expired", "wrong_deployment"), 0),
    }


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"[]", 400, "the body is not a shipment"),
        ({"served": [0] * 10_001}, 413, "served: at most 10000 in one request"),
    ],
)
def test_errors_of_shipments(ledger, content, status, message):
    reply = ledger.request("POST", SERVED, content)
    assert reply.status == status
    assert reply.json()["error"].startswith(message)


def test_without_a_token_nobody_erases(ledger):
    reply = ledger.request("POST", "/v2/models/fraud/erase", {"ids": ["a"]})
    assert reply.status == 403
    assert "--export-token-file" in reply.json()["error"]


def test_whoever_may_export_erases_requests(sign, secret, tmp_path):
    verifier = Verifier(KeyRing({"k1": secret}, "k1"), "ml", "fraud")
    clerk = Clerk(verifier, Rules(window=1000), member="east", members={})
    tokens = sign(3)

    async def main():
        ledger = Ledger(
            clerk, source_of(f"sqlite:///{tmp_path}/l.db", "o"), "fraud", may_export=anybody
        )
        ledger.start()
        server = Server(ledger.service, drain_seconds=0.0)
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        answering = asyncio.create_task(server.answer(listener))

        async def post(path, content):
            return json.loads((await call(port, "POST", path, json.dumps(content).encode()))[1])

        while (await call(port, "GET", "/v2/health/ready"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await post(
            SERVED, {"served": [["a", 0, tokens[0]], ["a", 1, tokens[1]], ["b", 0, tokens[2]]]}
        )
        erase = "/v2/models/fraud/erase"
        assert await post(erase, {"ids": ["a", "unknown"]}) == {"erased": 2}
        assert await post(erase, {"ids": ["a"]}) == {"erased": 0}
        assert "the body is not a request to erase" in (await post(erase, {"ids": 7}))["error"]
        labels = [
            {"id": "a", "label": 1},
            {"receipt": tokens[0], "label": 1},
            {"id": "b", "label": 1},
        ]
        results = (await post(FEEDBACK, {"labels": labels}))["results"]
        assert [found["status"] for found in results] == ["unknown_id", "erased", "counted"]
        server.leave()
        await answering
        await ledger.close()

    asyncio.run(main())

"""Users: known by a tag in receipts, counted once each, and by bucket."""

import base64
import json
from collections import Counter

import pytest

from assay_server.receipts import bucket_of, user_tag

INFER = "/v2/models/fraud/infer"
FEEDBACK = "/v2/models/fraud/feedback"
SALT = bytes(range(40, 72))


@pytest.fixture
def salted(secret, tmp_path):
    path = tmp_path / "keys.json"
    encoded = {"keys": {"k1": base64.b64encode(secret).decode()}}
    salt = base64.b64encode(SALT).decode()
    path.write_text(json.dumps({"active": "k1", **encoded, "salt": salt}))
    return path


@pytest.mark.parametrize("ship", ["Users", "All"])
def test_distinct_users_and_their_buckets(
    start, serve_arguments, ledger_arguments, artifact, salted, tmp_path, ship
):
    keys = ("--keys-file", salted)
    with start(*ledger_arguments(tmp_path / "l.db", *keys)) as ledger:
        options = [
            *("--user-header", "X-User-Id", "--ship", ship, "--spool-dir", tmp_path / "spool"),
            *("--ledger-url", f"http://127.0.0.1:{ledger.port}/"),
        ]
        users = {"x/0": set(), "x/1": set()}
        expected = Counter()
        labels = []
        with start(*serve_arguments, *keys, *options) as server:
            for number in range(200):
                stratum = f"x/{number % 2}"
                user = f"user {number * 7 % 31}"
                data = artifact.rows[number].tolist()
                tensor = {"name": "x", "shape": [1, 6], "datatype": "FP64", "data": data}
                headers = {"assay-stratum": stratum, "x-user-id": user}
                reply = server.request("POST", INFER, {"inputs": [tensor]}, headers)
                found = {output["name"]: output["data"][0] for output in reply.json()["outputs"]}
                users[stratum].add(user)
                truth = int(artifact.labels[number])
                labels.append({"receipt": found["receipt"], "label": truth})
                bucket = bucket_of(user_tag(SALT, user))
                expected[stratum, str(bucket), str(truth), str(found["predict"])] += 1
            # Somebody whom nobody knows is in no bucket.
            server.request("POST", INFER, {"inputs": [tensor]}, {"assay-stratum": "x/0"})
            server.until(
                lambda: (
                    sum(server.samples("assay_spool_waiting").values()) == 0
                    and sum(server.samples("assay_spool_sent_total").values()) >= 62
                )
            )
        assert ledger.request("POST", FEEDBACK, {"labels": labels}).json()["counted"] == 200
        counted = Counter()
        buckets = Counter()
        for (name, pairs), value in ledger.metrics().items():
            found = dict(pairs)
            stratum = f"{found.get('rollout')}/{found.get('step')}"
            if name == "assay_users_total":
                counted[stratum] = int(value)
            elif name == "assay_bucket_outcomes_total":
                buckets[stratum, found["bucket"], found["label"], found["predicted"]] = int(value)
        assert counted == {stratum: len(names) for stratum, names in users.items()}
        assert buckets == expected
        text = ledger.request("GET", "/metrics").body.decode()
        assert "user 7" not in text

"""What is said to a server over a socket: good requests with known answers, and broken ones."""

import gzip
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np

from tests.fuzz import subjects
from tests.fuzz.servers import Server, counted

# Says what is wrong with status and body; None if nothing is.
Check = Callable[[int, bytes], str | None]
Headers = list[tuple[bytes, bytes]]

_MODEL = f"/v2/models/{subjects.DEPLOYMENT}".encode()
_RECEIPTS = 1000
SOUND, NOISY = "sound", "noisy"


class End(Enum):
    """How the client ends a conversation."""

    HALF = "no more is sent, answers are read"
    CLOSE = "closed without a look at what may come"
    RESET = "broken off"


@dataclass(frozen=True)
class Good:
    """A request with a known answer."""

    data: bytes
    check: Check


@dataclass(frozen=True)
class Conversation:
    """One connection.

    Attributes
    ----------
    good
        Sent first, all at once, and answered in this order.
    broken
        Sent after that; empty for none.
    cuts
        Where what is sent is cut into writes of their own, in parts of the whole.
    """

    good: tuple[Good, ...]
    broken: bytes
    cuts: tuple[float, ...]
    end: End

    @property
    def requests(self) -> int:
        """How many requests that are."""
        return len(self.good) + bool(self.broken)

    def writes(self) -> tuple[list[bytes], list[bytes]]:
        """Return what is written for the good requests and after them."""
        return self._cut(b"".join(good.data for good in self.good)), self._cut(self.broken)

    def _cut(self, data: bytes) -> list[bytes]:
        places = sorted({0, len(data), *(int(cut * len(data)) for cut in self.cuts)})
        return [data[place:end] for place, end in itertools.pairwise(places)]


class Speaker(Protocol):
    """Knows what one kind of server takes."""

    def good(self, dice: random.Random) -> Good:
        """Return a request with a known answer."""
        ...

    def draft(self, dice: random.Random) -> "Draft":
        """Return a request that may be broken, and counts nowhere that matters."""
        ...

    def afterwards(self, server: Server) -> str | None:
        """Say what is wrong once everything was sent; None if nothing is."""
        ...


@dataclass
class Draft:
    """A request in its parts."""

    method: bytes
    path: bytes
    headers: Headers
    body: bytes

    def bytes(self) -> bytes:
        """Return it as it is sent."""
        lines = [b"%b %b HTTP/1.1" % (self.method, self.path)]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"", self.body])


def request(method: str, path: bytes, body: bytes = b"", *more: tuple[bytes, bytes]) -> Draft:
    """Return a request that is as it should be."""
    headers = [(b"host", b"localhost"), *more]
    if method == "POST":
        headers.append((b"content-length", b"%d" % len(body)))
    return Draft(method.encode(), path, headers, body)


def chunked(dice: random.Random, draft: Draft) -> Draft:
    """Return the request with its body in chunks."""
    headers = [(name, value) for name, value in draft.headers if name != b"content-length"]
    parts = []
    at = 0
    while at < len(draft.body):
        size = dice.randint(1, len(draft.body))
        part = draft.body[at : at + size]
        parts.append(b"%x\r\n%b\r\n" % (len(part), part))
        at += size
    body = b"".join([*parts, b"0\r\n\r\n"])
    return Draft(draft.method, draft.path, [*headers, (b"transfer-encoding", b"chunked")], body)


def conversation(speaker: Speaker, dice: random.Random) -> Conversation:
    """Return the conversation that these dice give."""
    from tests.fuzz.mutations import broken

    good = tuple(speaker.good(dice) for _ in range(dice.choice((0, 0, 1, 1, 2, 4))))
    rest = broken(speaker, dice) if not good or dice.random() < 0.8 else b""
    cuts = tuple(dice.random() for _ in range(dice.choice((0, 0, 0, 1, 2, 5))))
    end = dice.choices((End.HALF, End.CLOSE, End.RESET), (8, 1, 1))[0]
    return Conversation(good, rest, cuts, end)


class ServeSpeaker:
    """What the model server takes."""

    def __init__(self) -> None:
        self._rows = subjects.rows(3, 200)
        self._probabilities = subjects.binary().predict_proba(self._rows)

    def good(self, dice: random.Random) -> Good:
        """Return a prediction to be checked against scikit-learn, or something small."""
        if dice.random() < 0.1:
            return Good(request("GET", b"/v2/health/live").bytes(), _is(200, b'{"live":true}'))
        if dice.random() < 0.1:
            return Good(request("GET", _MODEL + b"/none").bytes(), _refused(404))
        first = dice.randrange(len(self._rows) - 4)
        rows = slice(first, first + dice.choice((1, 1, 1, 4)))
        draft = self._infer(dice, rows)
        if dice.random() < 0.3:
            draft = chunked(dice, draft)
        return Good(draft.bytes(), self._predicts(rows))

    def draft(self, dice: random.Random) -> Draft:
        """Return a request to any path."""
        paths = ("/infer", "/infer", "/infer", "", "/ready", "/feedback", "/versions/7/infer")
        path = _MODEL + dice.choice(paths).encode()
        if dice.random() < 0.1:
            path = dice.choice((b"/v2", b"/v2/models", b"/v2/repository/index", b"/metrics", b"/"))
        draft = self._infer(dice, slice(0, dice.choice((1, 1, 1, 40))))
        if not path.endswith((b"infer", b"feedback", b"index")) and dice.random() < 0.9:
            return request("GET", path)
        return Draft(draft.method, path, draft.headers, draft.body)

    def afterwards(self, server: Server) -> str | None:
        """Say whether it is not ready."""
        status, _ = server.get("/v2/models/fraud/ready")
        return None if status == 200 else f"the model is not ready: {status}"

    def _infer(self, dice: random.Random, rows: slice) -> Draft:
        values = self._rows[rows]
        tensor: dict[str, Any] = {"name": "x", "shape": [*values.shape], "datatype": "FP64"}
        path = _MODEL + b"/infer"
        if dice.random() < 0.3:
            raw = values.tobytes()
            tensor["parameters"] = {"binary_data_size": len(raw)}
            text = json.dumps({"inputs": [tensor]}).encode()
            length = (b"inference-header-content-length", b"%d" % len(text))
            return request("POST", path, text + raw, length)
        body = json.dumps({"inputs": [{**tensor, "data": values.tolist()}], "id": "7"}).encode()
        if dice.random() < 0.1:
            return request("POST", path, gzip.compress(body), (b"content-encoding", b"gzip"))
        return request("POST", path, body)

    def _predicts(self, rows: slice) -> Check:
        def check(status: int, body: bytes) -> str | None:
            if status != 200:
                return f"a good request is answered {status}: {body[:200]!r}"
            outputs = {output["name"]: output for output in json.loads(body)["outputs"]}
            found = np.reshape(outputs["predict_proba"]["data"], (-1, 2))
            if found.shape != self._probabilities[rows].shape or not np.allclose(
                found, self._probabilities[rows], rtol=0, atol=1e-9
            ):
                return "a prediction is not what scikit-learn says"
            if len(outputs["receipt"]["data"]) != len(found):
                return "a receipt is missing"
            return None

        return check


class LedgerSpeaker:
    """What the ledger takes; `sent` are the labels that must count."""

    def __init__(self) -> None:
        now = int(time.time())
        self._sound = subjects.issued(_RECEIPTS, SOUND, now, seed=1)
        self._noisy = subjects.issued(_RECEIPTS, NOISY, now, seed=2)
        self.sent: set[str] = set()

    def good(self, dice: random.Random) -> Good:
        """Return labels that count, once."""
        if dice.random() < 0.1:
            return Good(request("GET", b"/v2/health/live").bytes(), _is(200, b'{"live":true}'))
        tokens = dice.sample(self._sound, dice.choice((1, 1, 3)))
        self.sent.update(tokens)
        labels = [{"receipt": token, "label": True} for token in tokens]
        draft = request("POST", _MODEL + b"/feedback", json.dumps({"labels": labels}).encode())
        if dice.random() < 0.3:
            draft = chunked(dice, draft)
        return Good(draft.bytes(), _counts(len(tokens)))

    def draft(self, dice: random.Random) -> Draft:
        """Return a request to any path; it labels other receipts."""
        token = (b"authorization", b"Bearer " + subjects.TOKEN.encode())
        noisy = dice.sample(self._noisy, dice.choice((1, 2, 20)))
        match dice.randrange(10):
            case 0:
                return request(
                    "GET", _MODEL + b"/labels?format=csv&after=1800000000:00ff", b"", token
                )
            case 1:
                return request("GET", dice.choice((b"/v2", b"/v2/health/ready", b"/")))
            case 2:
                body = {"ids": [f"order-{dice.randrange(100)}"]}
                return request("POST", _MODEL + b"/erase", json.dumps(body).encode(), token)
            case 3 | 4:
                rows: Sequence[object] = [
                    [f"order-{dice.randrange(100)}", 0, name] for name in noisy
                ]
                body_bytes = json.dumps({"served": rows}).encode()
                return request("POST", _MODEL + b"/served", body_bytes)
            case _:
                labels = [
                    {"receipt": name, "label": dice.choice((True, "False", 0))} for name in noisy
                ]
                named = {"id": "order-7", "row": 3, "label": 1.0, "probability": 0.5}
                body_bytes = json.dumps({"labels": [*labels, named]}).encode()
                return request("POST", _MODEL + b"/feedback", body_bytes)

    def afterwards(self, server: Server) -> str | None:
        """Say whether it has counted another number of labels than were sent."""
        found = counted(server, SOUND)
        return (
            None if found == len(self.sent) else f"{found} labels count, {len(self.sent)} were sent"
        )


def _is(status: int, body: bytes) -> Check:
    def check(found: int, content: bytes) -> str | None:
        if (found, content) != (status, body):
            return f"{status} {body!r} is expected, got {found} {content[:200]!r}"
        return None

    return check


def _refused(status: int) -> Check:
    def check(found: int, content: bytes) -> str | None:
        if found != status or not json.loads(content)["error"]:
            return f"{status} with an error is expected, got {found} {content[:200]!r}"
        return None

    return check


def _counts(count: int) -> Check:
    def check(status: int, content: bytes) -> str | None:
        if status != 200:
            return f"good labels are answered {status}: {content[:200]!r}"
        found = [result["status"] for result in json.loads(content)["results"]]
        if len(found) != count or not set(found) <= {"counted", "duplicate"}:
            return f"{count} good labels are {found}"
        return None

    return check

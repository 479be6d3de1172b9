"""Requests that schemathesis makes from the OpenAPI document, against a real server."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis

from tests.fuzz import subjects
from tests.fuzz.findings import Finding, Tally
from tests.fuzz.servers import GoneError, Server

OPENAPI = Path(__file__).parents[2] / "model-server/openapi.yaml"
_MODEL = {"model": subjects.DEPLOYMENT, "version": subjects.VERSION}
# Of one operation at a time, before the next has its turn.
_TURN = 200

Progress = Callable[[int, str], None]


class _Run:
    """Calls a server and judges its answers."""

    def __init__(self, server: Server, budget: int, progress: Progress) -> None:
        self.server = server
        self.done = 0
        self.statuses: dict[int, int] = {}
        self.finding: Finding | None = None
        self._budget = budget
        self._progress = progress
        self._session = requests.Session()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.done >= self._budget or self.finding is not None

    def call(self, case: Any) -> None:
        """Send one case."""
        if self.over:
            return
        self.done += 1
        self._progress(self.done, case.operation.label)
        base = f"http://127.0.0.1:{self.server.port}"
        try:
            response = case.call(base_url=base, session=self._session)
        except requests.ConnectionError as error:
            self.server.check()
            # A head that cannot be a head ends the connection; the server must be there still.
            status, _ = self.server.get("/v2/health/ready")
            if status != 200:
                self._find(f"unready after {error}", case, base)
            return
        status = response.status_code
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status >= 500 and status != 503:
            self._find(f"answered {status}", case, base)

    def _find(self, what: str, case: Any, base: str) -> None:
        prepared = requests.Request(**case.as_transport_kwargs(base_url=base)).prepare()
        head = [f"{prepared.method} {prepared.path_url} HTTP/1.1", "host: localhost"]
        head += [f"{name}: {value}" for name, value in prepared.headers.items()]
        body = prepared.body or b""
        content = body.encode() if isinstance(body, str) else body
        data = "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + content
        self.finding = Finding("serve", f"{case.operation.label}: {what}", (data,))


def call(
    server: Server,
    count: int,
    *,
    seed: int = 0,
    progress: Progress = lambda _count, _text: None,
) -> Tally:
    """Send so many cases, good ones and bad ones, to all operations in turn."""
    document: Any = schemathesis.openapi.from_path(OPENAPI)
    operations = [found.ok() for found in document.get_all_operations()]
    run = _Run(server, count, progress)
    start = time.monotonic()
    first = server.resident()
    turn = 0
    findings: list[Finding] = []
    try:
        while not run.over:
            for operation in operations:
                if run.over:
                    break
                # Who infers can be wrong in many more ways than who asks for health.
                turns = 6 if operation.path.endswith("/infer") else 1
                examples = min(_TURN * turns, count // 20 * turns + 1)
                _turn(run, _strategy(operation, turn), examples, seed + turn)
            turn += 1
        server.check()
        findings += [Finding("serve", f"the log says: {line}", ()) for line in server.faults()[:5]]
    except GoneError as error:
        findings.append(Finding("serve", str(error), ()))
    if run.finding is not None:
        findings.append(run.finding)
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(run.statuses.items()))
    remarks: dict[str, float | str] = {
        "statuses": statuses,
        "first_mib": round(first, 1),
        "last_mib": round(server.resident() if not findings else 0, 1),
        "seed": seed,
    }
    return Tally("openapi", run.done, time.monotonic() - start, remarks, tuple(findings))


def _strategy(operation: Any, turn: int) -> Any:
    """Return what makes cases of an operation in a turn."""
    # Three of four are about the model that is there; else nearly all were 404.
    known = {
        name: value
        for name, value in _MODEL.items()
        if turn % 4 < 3 and f"{{{name}}}" in operation.path
    }
    # Without a body there is nothing to be wrong.
    bad = operation.body and turn % 2
    mode = schemathesis.GenerationMode.NEGATIVE if bad else schemathesis.GenerationMode.POSITIVE
    return operation.as_strategy(mode, **({"path_parameters": known} if known else {}))


def _turn(run: _Run, strategy: Any, examples: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def one(case: Any) -> None:
        run.call(case)

    one()

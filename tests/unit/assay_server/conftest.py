"""Models, keys and real server processes for the tests of the model server and the ledger."""

import base64
import hashlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class Artifact:
    """A saved model with the data it was fitted on."""

    path: Path
    digest: str
    model: object
    rows: np.ndarray
    labels: np.ndarray


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class Process:
    """An `assay-server` process on a free port of the loopback."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{time.monotonic_ns()}.log"
        self.termination_log = folder / "termination-log"
        self.termination_log.touch()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).parent / "assay-server", *arguments],
                stdout=log,
                stderr=log,
                env={"ASSAY_TERMINATION_LOG": str(self.termination_log), "PATH": ""},
            )
        self.pid = self._process.pid
        self.port = 0
        self._connection: http.client.HTTPConnection | None = None

    def started(self) -> "Process":
        """Wait until it listens and is ready."""
        self.port = int(
            self.until(lambda: re.search(r'"listening", "port": (\d+)', self.text()))[1]
        )
        self.until(lambda: self.request("GET", "/v2/health/ready").status == 200)
        return self

    def text(self) -> str:
        return self.log.read_text()

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.text().splitlines()]

    def until(self, condition: Callable[[], object]):
        """Poll until the condition holds and return what it gave; fail if the process ends."""
        while True:
            if found := condition():
                return found
            assert self._process.poll() is None, self.text()
            time.sleep(0.01)

    def request(self, method: str, path: str, body=None, headers=None) -> Reply:
        """Send one request on a connection that is kept."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            self._connection.request(method, path, body, headers or {})
            response = self._connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            raise

    def metrics(self) -> dict[tuple[str, frozenset], float]:
        """Scrape: {(name, labels): value}, read with the parser of prometheus-client."""
        from prometheus_client.parser import text_string_to_metric_families

        reply = self.request("GET", "/metrics")
        assert reply.status == 200, reply.body
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(reply.body.decode())
            for sample in family.samples
        }

    def samples(self, name: str) -> dict[tuple, float]:
        """Return the samples of one metric by the values of its labels, sorted by label name."""
        return {
            tuple(value for _, value in sorted(labels)): value
            for (found, labels), value in self.metrics().items()
            if found == name
        }

    def confusion(self) -> Counter:
        """Return labelled predictions by (label, predicted), over all strata."""
        totals = Counter()
        for (name, labels), value in self.metrics().items():
            if name == "assay_outcomes_total":
                found = dict(labels)
                totals[found["label"], found["predicted"]] += int(value)
        return totals

    def memory(self, field: str) -> int:
        """Return a field of /proc/<pid>/status in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1])

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code."""
        return self._process.wait()

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def save(model, path: Path) -> str:
    skops.io.dump(model, path)
    return digest_of(path)


def digest_of(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def digest() -> Callable[[Path], str]:
    return digest_of


@pytest.fixture(scope="session")
def artifact(tmp_path_factory) -> Artifact:
    """A binary model with classes 0 and 1 and some overlap, saved with skops."""
    rows, labels = make_classification(
        n_samples=3000, n_features=6, weights=[0.8], class_sep=0.6, flip_y=0.05, random_state=7
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[:1000], labels[:1000])
    path = tmp_path_factory.mktemp("model") / "model.skops"
    return Artifact(path, save(model, path), model, rows[1000:], labels[1000:])


@pytest.fixture(scope="session")
def animals(tmp_path_factory) -> Artifact:
    """A model of three classes with string names."""
    rows, labels = make_classification(
        n_samples=600, n_features=5, n_informative=4, n_redundant=0, n_classes=3, random_state=3
    )
    names = np.array(["ant", "bee", "cat"])[labels]
    model = LogisticRegression().fit(rows, names)
    path = tmp_path_factory.mktemp("animals") / "model.skops"
    return Artifact(path, save(model, path), model, rows, names)


@pytest.fixture(scope="session")
def secret() -> bytes:
    return bytes(range(32))


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory, secret) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    encoded = base64.b64encode(secret).decode()
    path.write_text(json.dumps({"active": "k1", "keys": {"k1": encoded}}))
    return path


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Callable:
    """Start `assay-server` for a `with` block, ready; it is gone afterwards."""

    @contextmanager
    def start(*arguments: object, ready: bool = True) -> Iterator[Process]:
        process = Process(tmp_path_factory.mktemp("process"), [str(part) for part in arguments])
        try:
            yield process.started() if ready else process
        finally:
            process.stop()

    return start


@pytest.fixture(scope="session")
def serve_arguments(artifact, keys_file) -> list:
    """Arguments of a server of the binary model as `fraud`."""
    return [
        *("serve", "--model-uri", artifact.path, "--digest", artifact.digest),
        *("--model-name", "fraud", "--model-version", "7", "--revision", "r1"),
        *("--keys-file", keys_file, "--member", "east", "--namespace", "ml", "--http-port", 0),
    ]


@pytest.fixture(scope="session")
def ledger_arguments(keys_file) -> Callable:
    """Arguments of the ledger of `fraud` in the member east."""

    def arguments(store: Path, *more: object) -> list:
        return [
            *("ledger", "--store", f"sqlite:///{store}", "--deployment", "fraud"),
            *("--keys-file", keys_file, "--member", "east", "--namespace", "ml"),
            *("--http-port", 0, *more),
        ]

    return arguments


@pytest.fixture(scope="session")
def terminate() -> int:
    return signal.SIGTERM

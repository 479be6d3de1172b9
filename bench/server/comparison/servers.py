"""The servers that are compared: how each is started, and what it is."""

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench.server.comparison.environments import pins
from bench.server.comparison.workloads import MODEL, Workload

PEER_FILES = Path(__file__).parent.parent / "peers"
OURS = "assay"
ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Start:
    """What to run. Without `port` the server chooses one and says so in its log."""

    command: list[str | Path]
    port: int | None
    environment: dict[str, str] = field(default_factory=dict)


# Gets the workload, a folder of its own to run in, and the root of its virtual environment.
Starter = Callable[[Workload, Path, Path], Start]


@dataclass(frozen=True, slots=True)
class Server:
    """A server to measure.

    `models` are the workloads it is measured with (None: all). An echo answers what file `answer`
    in the workload's folder holds, whatever the request, so its answers are not checked.
    """

    name: str
    title: str
    start: Starter
    environment: str | None = None
    is_echo: bool = False
    models: tuple[str, ...] | None = None

    def versions(self) -> str:
        """Return the versions of what matters in it."""
        if self.environment is None:
            known = {name: version(name) for name in _OUR_PACKAGES}
        else:
            known = pins(self.environment)
        shown = (*_OUR_PACKAGES, *_PEER_PACKAGES)
        return ", ".join(f"{name} {known[name]}" for name in dict.fromkeys(shown) if name in known)


_OUR_PACKAGES = ("httptools", "msgspec", "uvloop", "scikit-learn", "numpy", "skops")
_PEER_PACKAGES = (
    *("mlserver", "mlserver-sklearn", "kserve", "bentoml", "fastapi", "pydantic"),
    *("uvicorn", "httptools"),
)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _assay(workload: Workload, _folder: Path, root: Path) -> Start:
    command: list[str | Path] = [
        *(root / "bin" / "assay-server", "serve", "--model-uri", workload.skops),
        *("--digest", f"sha256:{workload.digest}", "--model-name", MODEL, "--model-version", "1"),
        *("--keys-file", workload.keys, "--host", "127.0.0.1", "--http-port", "0"),
        *("--drain-seconds", "0"),
    ]
    # As in the image: without docstrings. Trees are trusted by the operator, never by default.
    environment = {"PYTHONOPTIMIZE": "2"}
    if workload.name == "forest":
        environment["ASSAY_TRUSTED_TYPES"] = "sklearn.tree._tree.Tree"
    return Start(command, None, environment)


def _echo(workload: Workload, _folder: Path, root: Path) -> Start:
    (port,) = free_ports(1)
    answer = workload.folder / "answer"
    command = [root / "bin" / "python", PEER_FILES / "echo.py", str(port), answer]
    return Start(command, port, {"PYTHONOPTIMIZE": "2"})


def _mlserver(*, tuned: bool) -> Starter:
    def start(workload: Workload, folder: Path, root: Path) -> Start:
        http, grpc, metrics = free_ports(3)
        settings: dict[str, object] = {
            "host": "127.0.0.1",
            "http_port": http,
            "grpc_port": grpc,
            "metrics_port": metrics,
            "debug": False,  # else it logs every request
        }
        model: dict[str, object] = {
            "name": MODEL,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(workload.joblib)},
        }
        if tuned:
            settings |= {"parallel_workers": 0}
            model |= {
                "implementation": "mlserver_runtime.OneCall",
                "max_batch_size": 32,
                "max_batch_time": 0.002,
            }
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        command: list[str | Path] = [root / "bin" / "mlserver", "start", folder]
        return Start(command, http, {"PYTHONPATH": str(PEER_FILES)})

    return start


def _kserve(workload: Workload, _folder: Path, root: Path) -> Start:
    (port,) = free_ports(1)
    command: list[str | Path] = [
        *(root / "bin" / "python", PEER_FILES / "kserve_model.py", "--http_port", str(port)),
        # A line of log per request and gRPC, which nobody asks here, cost it a sixth.
        *("--enable_latency_logging", "false", "--configure_logging", "false"),
        *("--enable_grpc", "false"),
    ]
    return Start(command, port, {"MODEL_FILE": str(workload.joblib)})


def _bentoml(workload: Workload, folder: Path, root: Path) -> Start:
    (port,) = free_ports(1)
    command: list[str | Path] = [
        *(root / "bin" / "bentoml", "serve", "bentoml_service:Classifier"),
        *("--host", "127.0.0.1", "--port", str(port), "--working-dir", PEER_FILES),
    ]
    environment = {
        "MODEL_FILE": str(workload.joblib),
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return Start(command, port, environment)


def _fastapi(workload: Workload, _folder: Path, root: Path) -> Start:
    (port,) = free_ports(1)
    command: list[str | Path] = [
        *(root / "bin" / "uvicorn", "fastapi_app:app", "--app-dir", PEER_FILES),
        *("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
    ]
    return Start(command, port, {"MODEL_FILE": str(workload.joblib)})


PEERS = (
    Server("mlserver", "MLServer, stock", _mlserver(tuned=False), "mlserver"),
    Server(
        "mlserver-tuned",
        "MLServer, one process, batches of 32, httptools, one call",
        _mlserver(tuned=True),
        "mlserver-tuned",
    ),
    Server("kserve", "KServe, no log per request, no gRPC", _kserve, "kserve"),
    Server("bentoml", "BentoML, async, uvloop, httptools", _bentoml, "bentoml"),
    Server("fastapi", "FastAPI, async, uvloop, httptools", _fastapi, "fastapi"),
)
OWN = (
    Server(OURS, "assay-server, receipts and metrics", _assay),
    Server(ECHO, "empty echo on the same HTTP server", _echo, None, True, ("cancer",)),
)


def base_environment(root: Path, folder: Path) -> dict[str, str]:
    """Return the environment of every server: nothing of ours, one thread, files in its folder."""
    return {
        "PATH": f"{root / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def own_root() -> Path:
    """Return the virtual environment that this process runs in."""
    return Path(sys.executable).parent.parent

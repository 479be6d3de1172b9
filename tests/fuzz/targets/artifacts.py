"""Skops files: loaded and opened as a model without running code of theirs.

An input is a zip file, or else the text of a `schema.json` that goes into one beside the arrays of a
good artifact. What would be code that runs is seen by an audit hook, whatever becomes of it.
"""

import hashlib
import io
import json
import random
import re
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import skops.io

from assay_server.artifacts import ArtifactError, load
from assay_server.inference import signature_of
from assay_server.models import ModelFailedError, Scorer, UnsupportedModelError, configure_sklearn
from tests.fuzz import subjects
from tests.fuzz.targets import WrongError

_ZIP = b"PK\3\4"
_SCHEMA = "schema.json"
# Nothing that loads a model does any of these.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.remove", "os.rename"),
    *("os.mkdir", "os.rmdir", "os.chmod", "os.putenv", "subprocess.", "socket.", "shutil.", "urllib."),
    *("ctypes.", "pickle.find_class", "webbrowser.", "pty.spawn"),
)  # fmt: skip
_LOADERS = (
    *("ObjectNode", "FunctionNode", "PartialNode", "TypeNode", "MethodNode", "OperatorFuncNode"),
    *("ReduceNode", "ListNode", "DictNode", "TupleNode", "JsonNode", "NdArrayNode", "SliceNode"),
    *("SparseMatrixNode", "RandomStateNode", "RandomGeneratorNode", "CachedNode", "BytesNode"),
    *("DatetimeNode", "UfuncNode", "MaskedArrayNode", "DTypeNode", "SetNode", "LossNode", "TreeNode"),
)  # fmt: skip
# A module that nobody needs: who imports it does so because an artifact says so.
_STRANGER = "this"
_NAMES = (
    *("builtins:eval", "builtins:exec", "os:system", "posix:system", "subprocess:Popen", "sys:exit"),
    *("builtins:int", "builtins:list", "numpy:ndarray", "numpy:float64", "scipy.special:expit"),
    *("sklearn.linear_model._logistic:LogisticRegression", "sklearn.svm._classes:SVC"),
    *("sklearn.preprocessing._data:StandardScaler", "sklearn.pipeline:Pipeline"),
    *("sklearn.preprocessing._function_transformer:FunctionTransformer", "operator:attrgetter"),
    f"{_STRANGER}:d",
    *("sklearn.tree._tree:Tree", "sklearn.datasets._base:load_files", "functools:partial"),
)  # fmt: skip
_PLACE = re.compile(r"\d{9,}")
_VALUES: tuple[Any, ...] = (
    None,
    -1,
    0,
    2**63,
    1e308,
    "",
    "x",
    [],
    {},
    [[]],
    True,
    "nan",
    "../../x.npy",
)


class Target:
    """Loader and opening of models."""

    max_bytes = 65536
    words = (*_LOADERS, "__class__", "__module__", "__loader__", "__id__", "content", _SCHEMA)

    def __init__(self) -> None:
        warnings.simplefilter("ignore")
        configure_sklearn()
        self._good = _numbered(skops.io.dumps(subjects.animals()))
        with zipfile.ZipFile(io.BytesIO(self._good)) as archive:
            self._members = {name: archive.read(name) for name in archive.namelist()}
        self._schema = self._members.pop(_SCHEMA)
        folder = tempfile.TemporaryDirectory(prefix="assay-fuzz-")
        self._folder = folder
        self._path = Path(folder.name) / "model.skops"
        self._ran: list[str] = []
        self._watching = False
        self(self._good)  # imports what is imported late
        sys.addaudithook(self._audit)

    def seeds(self) -> list[bytes]:
        """Return good artifacts and good schemas."""
        return [self._good, self._schema, _numbered(skops.io.dumps(subjects.binary()))]

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Change one node of a schema; libFuzzer's own ways with bytes do the rest."""
        import atheris  # type: ignore[import-untyped]

        dice = random.Random(seed)
        if data.startswith(_ZIP) or dice.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return bytes(atheris.Mutate(data, max_size))
        nodes = list(_nodes(document))
        for _ in range(dice.randint(1, 3)):
            if nodes:
                _change(dice, dice.choice(nodes), nodes)
        try:
            return json.dumps(document).encode()[:max_size]
        except (ValueError, RecursionError):  # a node has got into itself
            return data

    def __call__(self, data: bytes) -> None:
        """Load one artifact and, if that can be, ask its model."""
        content = data if data.startswith(_ZIP) else self._packed(data)
        self._path.write_bytes(content)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._ran.clear()
        self._watching = True
        try:
            scorer = Scorer(load(self._path, digest).object)
            signature_of(scorer, "m", "1")
            scorer.score(scorer.blank(3))
        except (ArtifactError, UnsupportedModelError, ModelFailedError):
            pass
        finally:
            self._watching = False
        if self._ran:
            raise WrongError(f"loading did what only code does: {', '.join(self._ran)}")

    def _packed(self, schema: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in self._members.items():
                archive.writestr(name, content)
            archive.writestr(_SCHEMA, schema)
        return file.getvalue()

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            _, mode, flags = arguments
            writes = isinstance(mode, str) and not set(mode).isdisjoint("wax+")
            if writes or (mode is None and isinstance(flags, int) and flags & 3):
                self._ran.append(event)
        elif event.startswith(_FORBIDDEN) or (event == "import" and arguments[0] == _STRANGER):
            self._ran.append(event)


def _numbered(artifact: bytes) -> bytes:
    """Return an artifact with places in memory, which it is full of, told as 1, 2, 3 and so on."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], str(len(numbers) + 1))

    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(artifact)) as given, zipfile.ZipFile(file, "w") as archive:
        for name in sorted(given.namelist(), key=_SCHEMA.__ne__):
            content = given.read(name)
            if name == _SCHEMA:
                content = _PLACE.sub(number, content.decode()).encode()
            # A fixed time, for the same bytes in every run.
            archive.writestr(zipfile.ZipInfo(_PLACE.sub(number, name)), content)
    return file.getvalue()


def _nodes(document: object) -> Any:
    """Yield all objects of a document."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _change(dice: random.Random, node: dict[str, Any], nodes: list[dict[str, Any]]) -> None:
    match dice.randrange(6):
        case 0:
            node["__loader__"] = dice.choice(_LOADERS)
        case 1:
            node["__module__"], _, node["__class__"] = dice.choice(_NAMES).partition(":")
        case 2 if node:
            del node[dice.choice(list(node))]
        case 3 if node:
            node[dice.choice(list(node))] = json.loads(json.dumps(dice.choice(nodes)))
        case 4:
            node["content"] = dice.choice(_VALUES)
        case 5 if node:
            node[dice.choice(list(node))] = dice.choice(_VALUES)
        case _:
            pass

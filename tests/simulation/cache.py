"""Finished work on disk, so that a broken-off run goes on where it was."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any

from tests.simulation.catalogue import Task

VERSION = 1
"""To be raised when the meaning of a result changes."""

ROOT = pathlib.Path(__file__).parents[2]
CODE = sorted(
    path
    for folder in (ROOT / "tests" / "simulation", ROOT / "operator" / "assay" / "judge")
    for path in folder.rglob("*.py")
    if not path.name.startswith("test_")
)
"""What results depend on: the simulation and the judge."""


@dataclasses.dataclass(frozen=True)
class Cache:
    """A folder of one JSON file per finished task."""

    folder: pathlib.Path

    def load(self, task: Task, runs: int) -> dict[str, Any] | None:
        """Return what was found before, if it was."""
        path = self._path(task, runs)
        return json.loads(path.read_text()) if path.exists() else None

    def save(self, task: Task, runs: int, result: dict[str, Any]) -> None:
        """Keep a result; a file is there completely or not at all."""
        path = self._path(task, runs)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result))
        part.replace(path)

    def forget(self) -> None:
        """Delete everything."""
        for path in self.folder.glob("*.json"):
            path.unlink()

    def _path(self, task: Task, runs: int) -> pathlib.Path:
        key = json.dumps([VERSION, _code(), task.experiment, task.case, runs])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


@functools.cache
def _code() -> str:
    digest = hashlib.sha256()
    for path in CODE:
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""Targets: bytes in, nothing out; whatever they raise is a finding.

A documented exception is caught by its target, so that nothing but what is not documented gets out.
"""

import importlib
from pathlib import Path
from typing import Protocol

NAMES = ("protocol", "receipts", "labels", "artifacts")
REGRESSIONS = Path(__file__).parents[1] / "regressions"


class WrongError(AssertionError):
    """What was answered is not what should have been."""


class Target(Protocol):
    """What is fuzzed.

    Attributes
    ----------
    words
        What inputs are likely to hold.
    max_bytes
        Longer inputs are not tried.
    """

    words: tuple[str, ...]
    max_bytes: int

    def seeds(self) -> list[bytes]:
        """Return inputs to begin with, the same ones every time."""
        ...

    def __call__(self, data: bytes) -> None:
        """Take one input."""
        ...


def load(name: str) -> Target:
    """Return a target by its name."""
    target: Target = importlib.import_module(f"tests.fuzz.targets.{name}").Target()
    return target


def regressions(name: str) -> list[bytes]:
    """Return the inputs that once were findings."""
    return [path.read_bytes() for path in sorted((REGRESSIONS / name).glob("*"))]

"""Findings: what went wrong, with what, and how to see it again."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "findings"
COMMAND = "python -m tests.fuzz --repeat"


@dataclass(frozen=True)
class Finding:
    """Something that must not happen.

    Attributes
    ----------
    part
        The target, or the process that was talked to.
    what
        What happened, in a line or a stack trace.
    inputs
        One input of a target; what was written to a connection, piece by piece.
    """

    part: str
    what: str
    inputs: tuple[bytes, ...]

    def written(self, folder: Path = FOLDER) -> Path:
        """Write it to a file with a name that is the same for the same input."""
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(b"".join(self.inputs)).hexdigest()[:12]
        path = folder / f"{self.part}-{digest}.json"
        document = {
            "part": self.part,
            "repeat": f"{COMMAND} {path.name}",
            "what": self.what.splitlines(),
            "inputs": [base64.b64encode(data).decode() for data in self.inputs],
        }
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> "Finding":
        """Read a file again; a bare name is one in `FOLDER`."""
        document = json.loads((path if path.exists() else FOLDER / path).read_text())
        inputs = tuple(base64.b64decode(data) for data in document["inputs"])
        return cls(document["part"], "\n".join(document["what"]), inputs)


@dataclass(frozen=True)
class Tally:
    """What one part of a run did: a line of the table."""

    part: str
    inputs: int
    seconds: float
    remarks: dict[str, float | str]
    findings: Sequence[Finding] = ()

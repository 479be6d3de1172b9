"""Results as JSON, and the table that docs/fuzzing.md shows. Pure but for the files."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.server.comparison.tables import grid, place
from tests.fuzz.findings import Tally
from tests.fuzz.guided import RSS_MIB
from tests.fuzz.wire import GROWTH_MIB

RESULTS = Path(__file__).parent / "results.json"
DOCUMENT = Path(__file__).parents[2] / "docs" / "fuzzing.md"
BEGIN = "<!-- tests.fuzz: begin -->"
END = "<!-- tests.fuzz: end -->"
_LIBRARIES = (
    "atheris",
    "schemathesis",
    "hypothesis",
    "httptools",
    "msgspec",
    "skops",
    "scikit-learn",
)
_WHAT = {
    "protocol": "infer bodies, JSON and raw, in process",
    "receipts": "tokens, in process",
    "labels": "labels, shipments, erasures, in process",
    "artifacts": "skops files, in process",
    "serve": "requests to `assay-server serve`",
    "ledger": "requests to `assay-server ledger`",
    "openapi": "cases from openapi.yaml to `assay-server serve`",
}


def results(tallies: Sequence[Tally], command: str, where: str) -> dict[str, Any]:
    """Return what a run has shown, by part."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    run = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": where,
        "versions": {"python": platform.python_version(), **versions},
    }
    return {
        tally.part: {
            "inputs": tally.inputs,
            "seconds": round(tally.seconds, 1),
            "findings": [finding.what for finding in tally.findings],
            **tally.remarks,
            "run": run,
        }
        for tally in tallies
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the table of results."""
    rows = [
        [
            _WHAT[name],
            f"{part['inputs']:,}".replace(",", " "),
            f"{part['seconds']:,.0f} s".replace(",", " "),
            _remarks(part),
            str(len(part["findings"])),
        ]
        for name, part in found.items()
    ]
    return grid(["what", "inputs", "time", "", "findings"], rows)


def text(found: Mapping[str, Any]) -> str:
    """Return what stands between the markers."""
    bounds = (
        f"A target may take {RSS_MIB} MiB. A process may grow by {GROWTH_MIB:.0f} MiB between the first tenth"
        " of its requests and the last one."
    )
    runs = {json.dumps(part["run"]): part["run"] for part in found.values()}
    heads = []
    for run in runs.values():
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        heads.append(f"- `{run['command']}`, {run['date']}, {run['machine']}: {versions}.")
    return "\n\n".join([table(found), bounds, "Made by\n\n" + "\n".join(heads)])


def write(found: Mapping[str, Any], path: Path = RESULTS, document: Path = DOCUMENT) -> None:
    """Put what was found in place of earlier results of the same parts, and all into the document.

    Raises NoPlaceError or OSError.
    """
    earlier = json.loads(path.read_text()) if path.exists() else {}
    known = {name: each for name in _WHAT if (each := found.get(name) or earlier.get(name))}
    page = place(document.read_text(), text(known), BEGIN, END)
    path.write_text(json.dumps(known, indent=1) + "\n")
    document.write_text(page)


def _remarks(part: Mapping[str, Any]) -> str:
    if "coverage" in part:
        return f"{part['coverage']} places reached, at most {part['peak_mib']} MiB"
    memory = f"{part['first_mib']:.0f} to {part['last_mib']:.0f} MiB"
    if "good" in part:
        good = f"{part['good']:,}".replace(",", " ")
        return f"{good} of them good and answered right, {memory}"
    return f"answers {part['statuses']}; {memory}"

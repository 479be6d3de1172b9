"""The samples in docs/kubectl.md: recordings of real rollouts, shown by the commands of this checkout.

``python tools/kubectl_page.py`` writes, ``python tools/kubectl_page.py --check`` says if it is stale.

A recording is what API servers answered in a run of tests/e2e/test_story.py: the ModelDeployment, the
ModelClusters, events, and the pods of each member, without managed fields and with names for addresses.
"""

import datetime
import io
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, RenderableType

from assay.cli.bill_text import clusters_in
from assay.cli.events import event_of, events_table
from assay.cli.explain import chosen, explanation
from assay.cli.history import history_parts
from assay.cli.hub import status_of
from assay.cli.look import Look
from assay.cli.member_pods import Pods, pod_of
from assay.cli.screen import Screen, show

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs/kubectl.md"
RECORDINGS = ROOT / "tools/recordings"
_SAMPLE = re.compile(r"(<!-- sample: ([\w-]+) -->\n).*?(<!-- end of the sample -->)", re.DOTALL)


def page() -> str:
    """Return the page with every sample as it is now."""
    return _SAMPLE.sub(
        lambda found: found[1] + SAMPLES[found[2]]() + found[3], PAGE.read_text(encoding="utf-8")
    )


def _block(command: str, parts: Iterator[RenderableType]) -> str:
    """Draw on 80 columns without colour, as to a file."""
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False, no_color=True)
    for part in parts:
        show(console, part)
    return f"```console\n$ kubectl assay {command}\n{out.getvalue()}```\n"


class Recording:
    """One moment."""

    def __init__(self, name: str) -> None:
        found: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text())
        self.now = datetime.datetime.fromisoformat(found["now"])
        self.deployment: dict[str, Any] = found["deployment"]
        self.clusters: list[dict[str, Any]] = found["clusters"]
        self.events: list[dict[str, Any]] = found["events"]
        self.pods: dict[str, list[dict[str, Any]]] = found["pods"]
        metadata = self.deployment["metadata"]
        self.words = f"{metadata['name']} -n {metadata['namespace']}"

    def status(self, *, pods: bool) -> str:
        """Show the screen."""
        seen = {
            member: Pods(tuple(sorted(map(pod_of, items), key=lambda each: each.order)))
            for member, items in self.pods.items()
        }
        look = Look(
            self.deployment, clusters_in(self.clusters), None, seen if pods else None, self.now
        )
        contexts = f" --contexts {','.join(seen)}" if pods else ""
        return _block(f"status {self.words}{contexts}", iter([Screen(look.standing(self.now))]))

    def explain(self, version: str = "") -> str:
        """Explain the rollout of this moment."""
        which = chosen(status_of(self.deployment), version or None)
        told = explanation(self.deployment, which, self.now)
        name, _, rest = self.words.partition(" ")
        words = f"{name} {version} {rest}" if version else self.words
        return _block(f"explain {words}", told.parts())

    def history(self) -> str:
        """List the rollouts."""
        return _block(f"history {self.words}", history_parts(status_of(self.deployment), self.now))

    def past(self) -> str:
        """List the events."""
        found = sorted((event_of(each, "hub") for each in self.events), key=lambda each: each.at)
        return _block(f"events {self.words}", iter([events_table(found)]))


SAMPLES: dict[str, Callable[[], str]] = {
    "trial": lambda: Recording("trial").status(pods=False),
    "pods": lambda: Recording("early").status(pods=True),
    "promoted": lambda: Recording("promoted").status(pods=False),
    "explain-trial": lambda: Recording("trial").explain(),
    "explain-rolled-back": lambda: Recording("promoted").explain("2"),
    "history": lambda: Recording("promoted").history(),
    "events": lambda: Recording("promoted").past(),
}


def main() -> int:
    """Write or check; return the exit code."""
    text = page()
    if text == PAGE.read_text(encoding="utf-8"):
        return 0
    if "--check" in sys.argv:
        sys.stderr.write(f"stale: {PAGE.relative_to(ROOT)} (run make generate)\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What one look at a trial in three members costs besides the network: parse, count, judge.

    .venv/bin/python -m bench.evidence.look_time [--minutes 8] [--members 3]

The replies are those that a real Prometheus gives for the trials of `bench.scale.trials`. Every look
reads the counts of now and those of one earlier moment in each member, as a trial does in its first
ten minutes. CPU milliseconds, best and median.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from assay.evidence import Evidence, MemberEvidence, combine, moments
from assay.evidence.reply import PART, member_evidence
from assay.judge import MetricSpec, Policy, judge
from bench.scale.exposition import FIRST, Arm

INTERVAL = 10
STABLE, CANARY = "aaaaaaaaaa", "bbbbbbbbbb"
SPECS = (
    MetricSpec("f1", "F1", 0.02, positive_label="1"),
    MetricSpec("auc", "ROCAUC", 0.01, positive_label="1"),
)
POLICY = Policy(by_member=True, since_moments=True)


def body(arms: tuple[Arm, Arm], seconds: int) -> bytes:
    """Return what Prometheus answers so many seconds after the trial began."""
    rows: list[dict[str, Any]] = []

    def add(value: float, **labels: str) -> None:
        rows.append({"metric": labels, "value": [1.7e9 + seconds, f"{value:g}"]})

    add(300, **{PART: "series"})
    add(3.5, **{PART: "age", "store": "abcdef", "positive": "1"})
    for revision, arm in zip((STABLE, CANARY), arms, strict=True):
        for name, text, count in arm.series(FIRST + seconds):
            labels = dict(pair.split("=") for pair in text.replace('"', "").split(",") if pair)
            labels.pop("boot", None)
            add(count, **{PART: name, "revision": revision, "step": "0"}, **labels)
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": rows}}
    ).encode()


def decoded(content: bytes) -> list[Any]:
    """Decode as `Connection` does."""
    return msgspec.json.decode(content)["data"]["result"]


class Costs:
    """CPU seconds by piece."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def of(self, piece: str, work: Callable[[], Any]) -> Any:
        """Do and time one piece of a look."""
        began = time.process_time()
        done = work()
        self.seconds[piece].append(time.process_time() - began)
        return done


def look(
    costs: Costs,
    now: dict[str, bytes],
    then: dict[str, bytes],
    past: dict[int, Any],
    built: Any,
    at: int,
) -> None:
    """Look once."""
    rows = costs.of("decode", lambda: {n: decoded(b) for n, b in now.items()})
    present = costs.of("parse", lambda: {n: member_evidence(r, "m") for n, r in rows.items()})
    old = costs.of("decode the moment", lambda: {n: decoded(b) for n, b in then.items()})
    said = costs.of(
        "parse the moment", lambda: {n: member_evidence(r, "m") for n, r in old.items()}
    )
    past[at] = costs.of(
        "coarsen it", lambda: {n: m.coarser(moments.COARSENING) for n, m in said.items()}
    )
    strata = costs.of("strata", lambda: combine(present, STABLE, CANARY, weights={0: 0.5}).strata)
    history = costs.of(
        "history",
        lambda: moments.history(past, present, STABLE, CANARY, weights={0: 0.5}, built=built),
    )
    evidence = costs.of("evidence", lambda: Evidence(strata, history))
    costs.of("judge", lambda: judge(SPECS, POLICY, evidence))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--members", type=int, default=3)
    args = parser.parse_args()
    names = [f"member-{number}" for number in range(args.members)]
    arms = {name: (Arm(2 * place), Arm(2 * place + 1)) for place, name in enumerate(names)}
    costs = Costs()
    past: dict[int, dict[str, MemberEvidence]] = {}
    built: dict[Any, Any] = {}
    for at in range(INTERVAL, int(args.minutes * 60), INTERVAL):
        bodies = [{name: body(arms[name], each) for name in names} for each in (at + 15, at)]
        look(costs, *bodies, past, built, at)
    tail = {piece: each[len(each) // 2 :] for piece, each in costs.seconds.items()}
    print(
        f"{len(json.loads(bodies[0][names[0]])['data']['result'])} series in a reply, {len(past)} moments"
    )
    for piece, each in tail.items():
        print(f"{piece:18} {1e3 * min(each):7.2f} {1e3 * statistics.median(each):7.2f}")
    whole = [sum(each) for each in zip(*tail.values(), strict=True)]
    print(f"{'all':18} {1e3 * min(whole):7.2f} {1e3 * statistics.median(whole):7.2f}")


if __name__ == "__main__":
    main()

"""How long one plan over 500 members takes, and 200 plans one after another that share capacity.

Run: PYTHONPATH=. .venv/bin/python bench/placement/speed.py [RUNS]

The peer is what a plain scheduler does: take the members that may serve, then give one replica after
the other to the emptiest (or cheapest) one with room. It knows neither spread constraints nor what
runs already, and says nothing of what is to blame.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import PODS_PER_REPLICA, Candidate, Holding, choose, plan

MEMBERS, DEPLOYMENTS, REPLICAS = 500, 200, 100
PROVIDERS = {"aws": 12, "gcp": 10, "azure": 8}
"""Regions of each provider."""


def clusters() -> list[Candidate]:
    """500 members over 3 providers, 30 regions and 90 zones; some tainted, none without limits."""
    places = [
        (provider, f"{provider}-{n}") for provider, n_ in PROVIDERS.items() for n in range(n_)
    ]
    found = []
    for index in range(MEMBERS):
        provider, region = places[index % len(places)]
        taints = [{"key": "maintenance", "effect": "NoSchedule"}] if index % 25 == 24 else []
        spec = {
            "clusterSource": {"inCluster": {}},
            "prometheus": {"url": "http://prometheus"},
            "provider": provider,
            "region": region,
            "zone": f"{region}-{'abc'[index % 3]}",
            "cost": {"perReplicaHour": f"0.{10 + index * 7919 % 83:03d}"},
            "capacity": {"replicas": 20 + 2 * (index * 31 % 90)},
            "taints": taints,
        }
        found.append(
            Candidate(
                f"member-{index:03d}", {"tier": "serving"}, ModelClusterSpec.model_validate(spec)
            )
        )
    return found


def a_spec(**placement: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": "https://example.com/1",
                "version": "1",
                "digest": "sha256:" + "1" * 64,
            },
            "serving": {"replicas": REPLICAS},
            "traffic": {"parentRefs": [{"name": "models"}]},
            "placement": {"clusterSelector": {"matchLabels": {"tier": "serving"}}, **placement},
        }
    )


def spread(field: str, least: int, most: int | None = None) -> dict[str, Any]:
    return {"spreadByField": field, "minGroups": least, **({"maxGroups": most} if most else {})}


AWS = [f"aws-{n}" for n in range(6)]
CASES: dict[str, ModelDeploymentSpec] = {
    "Spread over all": a_spec(),
    "Spread, residency of 6 regions": a_spec(residency={"regions": AWS}),
    "Spread, at most 3 regions": a_spec(spreadConstraints=[spread("Region", 1, 3)]),
    "Spread, at most 40 clusters of 2 providers": a_spec(
        spreadConstraints=[spread("Cluster", 1, 40), spread("Provider", 2, 2)]
    ),
    "Cheapest": a_spec(objective="Cheapest"),
    "Cheapest, 2 providers, 4 regions or more": a_spec(
        objective="Cheapest", spreadConstraints=[spread("Provider", 2), spread("Region", 4)]
    ),
    "Cheapest, at least 3 providers, at most 5 regions and 12 clusters": a_spec(
        objective="Cheapest",
        spreadConstraints=[spread("Provider", 3), spread("Region", 3, 5), spread("Cluster", 1, 12)],
    ),
    "impossible: 9 providers": a_spec(spreadConstraints=[spread("Provider", 9)]),
    "impossible: nowhere": a_spec(residency={"regions": ["mars-1"]}),
}


def greedy(
    members: list[Candidate], spec: ModelDeploymentSpec, taken: Mapping[str, int]
) -> Counter[str]:
    """Place one replica after the other."""
    room, price = {}, {}
    for item in choose(members, spec, "ml").members:
        assert item.spec.capacity is not None
        assert item.spec.cost is not None
        room[item.name] = item.spec.capacity.replicas // PODS_PER_REPLICA - taken.get(item.name, 0)
        price[item.name] = float(item.spec.cost.per_replica_hour)
    shares: Counter[str] = Counter()
    cheapest = spec.placement.objective == "Cheapest"
    for _ in range(spec.serving.replicas):
        free = [name for name in room if room[name] > shares[name]]
        if not free:
            break
        best = min(free, key=lambda name: (price[name] if cheapest else shares[name], name))
        shares[best] += 1
    return shares


def milliseconds(work: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        start = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - start))
    return found


def planned(members: list[Candidate], specs: list[ModelDeploymentSpec]) -> int:
    """Return how many of the deployments were placed with nothing in the way."""
    taken: Counter[str] = Counter()
    whole = 0
    for spec in specs:
        found = plan(members, spec, "ml", Holding(taken=taken))
        taken.update(found.shares)
        whole += found.fault is None
    return whole


def greedily(members: list[Candidate], specs: list[ModelDeploymentSpec]) -> int:
    """Return how many of the deployments have all replicas; their spread is not looked at."""
    taken: Counter[str] = Counter()
    whole = 0
    for spec in specs:
        found = greedy(members, spec, taken)
        taken.update(found)
        whole += found.total() == REPLICAS
    return whole


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    members = clusters()
    print(f"{MEMBERS} members, {REPLICAS} replicas, {runs} runs; CPU ms (best, median)\n")
    print("| placement | first plan | again, nothing moves | greedy peer |\n|---|---|---|---|")
    for title, spec in CASES.items():
        first = plan(members, spec, "ml")
        assert plan(members, spec, "ml", Holding(first.shares)).shares == first.shares
        columns = [
            milliseconds(lambda spec=spec: plan(members, spec, "ml"), runs),
            milliseconds(
                lambda spec=spec, held=first.shares: plan(members, spec, "ml", Holding(held)), runs
            ),
            milliseconds(lambda spec=spec: greedy(members, spec, {}), runs),
        ]
        cells = (f"{min(times):.1f}, {statistics.median(times):.1f}" for times in columns)
        print(f"| {title} | {' | '.join(cells)} |")
    print(f"\n{DEPLOYMENTS} deployments, each with what all before it hold; seconds\n")
    print("| | all placed | CPU | wall clock |\n|---|---|---|---|")
    possible = [spec for title, spec in CASES.items() if "impossible" not in title]
    specs = [possible[index % len(possible)] for index in range(DEPLOYMENTS)]
    for title, place in (("planned", planned), ("greedy peer", greedily)):
        began, wall = time.process_time(), time.perf_counter()
        whole = place(members, specs)
        cpu, wall = time.process_time() - began, time.perf_counter() - wall
        print(f"| {title} | {whole} of {DEPLOYMENTS} | {cpu:.2f} | {wall:.2f} |")


if __name__ == "__main__":
    main()

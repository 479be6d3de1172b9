"""What a serving process counts: strata, requests, scrapes; and what it tells of itself."""

import asyncio
import platform
import resource
import time
from collections import Counter, defaultdict

import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from assay_server import __version__, process
from assay_server import metrics as metrics_module
from assay_server.metrics import Requests, Scrapes, Served, build_info
from assay_server.receipts import Stratum

LABELS = {"deployment": "fraud", "revision": "r1"}


def samples(text: str) -> dict[str, dict[tuple, float]]:
    """Return {metric: {label values by label name: value}}."""
    found = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name][tuple(v for _, v in sorted(sample.labels.items()))] = sample.value
    return found


def boots(served: Served) -> dict[str, dict[str, float]]:
    """Return {rollout: {boot: rows}} as a scrape would see them."""
    found = defaultdict(dict)
    for family in text_string_to_metric_families(served.text()):
        for sample in family.samples:
            if sample.name == "assay_served_total":
                found[sample.labels["rollout"]][sample.labels["boot"]] = sample.value
    return found


def test_the_stratum_in_use_stays_and_the_least_recently_used_one_goes(monkeypatch):
    monkeypatch.setattr(metrics_module, "MAX_STRATA", 3)
    served = Served(LABELS)
    for number in range(50):
        served.add(Stratum("trial", 0), {"1": 2})
        served.add(Stratum(f"x{number}", 0), {"1": 2})
    found = boots(served)
    assert set(found) == {"trial", "x48", "x49"}
    assert list(found["trial"].values()) == [100]
    assert served.requests == 100


@given(st.lists(st.sampled_from("abcdef"), max_size=60))
def test_the_largest_values_of_all_boots_add_up_whatever_was_evicted(strata):
    """What the operator computes: max over time by boot, then the sum over boots."""
    served = Served(LABELS)
    largest = defaultdict(dict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics_module, "MAX_STRATA", 3)
        for stratum in strata:
            served.add(Stratum(stratum, 0), {"1": 2})
            scraped = boots(served)
            assert len(scraped) <= 3
            for rollout, values in scraped.items():
                for boot, value in values.items():
                    largest[rollout][boot] = max(value, largest[rollout].get(boot, 0))
    totals = {stratum: sum(values.values()) for stratum, values in largest.items()}
    assert totals == {stratum: 2 * count for stratum, count in Counter(strata).items()}


def test_errors_are_there_before_the_first_and_any_code_can_be_counted():
    requests = Requests(LABELS)
    before = samples(requests.text())["assay_request_errors_total"]
    assert before["400", "fraud", "r1"] == before["503", "fraud", "r1"] == 0
    requests.failed(400)
    requests.failed(418)
    after = samples(requests.text())["assay_request_errors_total"]
    assert after["400", "fraud", "r1"] == after["418", "fraud", "r1"] == 1


def test_the_process_is_described_as_prometheus_client_does_it():
    found = samples(process.text())
    own = samples_of_client()
    for name in (
        *("process_start_time_seconds", "process_virtual_memory_bytes"),
        *("process_resident_memory_bytes", "process_cpu_seconds_total", "process_max_fds"),
    ):
        assert found[name][()] == pytest.approx(own[name], rel=0.05), name
    assert found["process_open_fds"][()] == pytest.approx(own["process_open_fds"], abs=2)


def samples_of_client() -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in REGISTRY.collect()
        if family.name.startswith("process_")
        for sample in family.samples
    }


def test_a_limit_that_is_none_is_left_out(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert "process_max_fds" not in samples(process.text())


def test_build_info_names_what_runs_the_model():
    ((labels, value),) = samples(build_info("compiled"))["assay_build_info"].items()
    assert value == 1
    assert {"compiled", platform.python_version(), sklearn.__version__, __version__} == {*labels}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def scraped(*times: float, at: float) -> Scrapes:
    """Return what is known after scrapes at these times, without a request yet."""
    clock = Clock()
    scrapes = Scrapes(clock)
    for when in times:
        clock.now = when
        scrapes.add(0)
    clock.now = at
    return scrapes


@pytest.mark.parametrize(
    "scrapes",
    [
        scraped(at=100),
        scraped(99, at=100),
        scraped(60, 61, 62, at=100),
    ],
    ids=["nobody ever scraped", "somebody looked once", "nobody scrapes any more"],
)
def test_nobody_waits_for_a_scrape_that_will_not_come(scrapes):
    asyncio.run(scrapes.last(lambda: 5))


def test_nobody_waits_when_all_is_known():
    scrapes = scraped(0, 3600, at=3601)
    scrapes.add(5)
    asyncio.run(scrapes.last(lambda: 5))


def test_the_last_scrape_is_waited_for_until_it_knows_all():
    async def main() -> list[str]:
        scrapes = scraped(0, 3600, at=3601)
        told = []
        answered = 5
        waiting = asyncio.create_task(scrapes.last(lambda: answered))
        waiting.add_done_callback(lambda _: told.append("leaves"))
        await asyncio.sleep(0)
        answered = 6
        scrapes.add(5)
        told.append("one too few")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        scrapes.add(6)
        told.append("all")
        await waiting
        await asyncio.sleep(0)
        return told

    assert asyncio.run(main()) == ["one too few", "all", "leaves"]


def test_the_wait_for_a_scrape_ends(monkeypatch):
    monkeypatch.setattr(metrics_module, "_LAST_SCRAPE_SECONDS", 0.01)
    start = time.monotonic()
    asyncio.run(scraped(0, 3600, at=3601).last(lambda: 5))
    assert time.monotonic() - start < 3600

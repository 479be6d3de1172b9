"""Plans survive on disk, and names that cannot work are refused before anything is made."""

import os
import platform
import queue
import threading
from pathlib import Path

import pytest

from fleet import limits, packages, programs, state
from fleet.errors import FleetError
from fleet.programs import Program
from fleet.state import FleetPlan, StateError


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "RUN", tmp_path / "run")


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = FleetPlan("dev", 170, ("hub", "east"), str(tmp_path), addons=False)
    state.write(plan)
    assert state.read("dev") == plan
    assert state.read_all() == [plan]
    state.write(plan.as_ready())
    assert state.read("dev") == plan.as_ready()
    state.remove("dev")
    assert state.read("dev") is None


@pytest.mark.parametrize("name", ["", "Dev", "a_b", "-a", "a-", "a" * 21, "a/b"])
def test_unusable_names_are_refused(name: str) -> None:
    with pytest.raises(StateError, match="usable name"):
        state.check_names(name, ("hub",))
    with pytest.raises(StateError, match="usable name"):
        state.check_names("dev", (name,))


@pytest.mark.parametrize("clusters", [(), ("hub", "hub")])
def test_clusters_are_named_once(clusters: tuple[str, ...]) -> None:
    with pytest.raises(StateError, match="at least one"):
        state.check_names("dev", clusters)


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(StateError, match="ASSAY_CACHE"):
        state.check_paths(FleetPlan("dev", 170, ("hub",), "/x" * 60))


def test_a_lock_is_held_by_one_and_names_its_holder() -> None:
    path = state.lock_of("anything")
    holders: queue.Queue[str] = queue.Queue()
    order: list[str] = []

    def second() -> None:
        with state.locked(path, holders.put):
            order.append("second")

    thread = threading.Thread(target=second)
    with state.locked(path):
        thread.start()
        assert holders.get() == str(os.getpid())
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_only_linux_and_root_are_suitable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FleetError, match=r"root.*--contexts a,b"):
        packages.check_machine()
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(FleetError, match=r"Darwin.*--contexts a,b"):
        packages.check_machine()


def test_limits_are_only_ever_raised(tmp_path: Path) -> None:
    for name, least in limits.LIMITS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(str(least - 1))
    high = tmp_path / "fs/inotify/max_user_watches"
    high.write_text("99999999")
    limits.raise_limits(tmp_path)
    assert high.read_text() == "99999999"
    instances = tmp_path / "fs/inotify/max_user_instances"
    assert int(instances.read_text()) == limits.LIMITS["fs/inotify/max_user_instances"]


def test_a_programs_digest_follows_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SOURCES", tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "go.mod").write_text("module x")
    first = Program("x").digest()
    assert Program("x").digest() == first
    assert Program("x", tags="t").digest() != first
    (tmp_path / "x" / "go.mod").write_text("module y")
    assert Program("x").digest() != first


def test_every_program_is_pinned() -> None:
    for program in programs.ALL:
        assert (program.source / "go.mod").exists()
        assert program is programs.PAUSE or (program.source / "go.sum").exists()

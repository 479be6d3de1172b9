"""First process of a cluster: makes its private mounts, then keeps its programs running.

Runs as process 1 of the cluster's process namespace, so that everything in the cluster ends with it:
``python -I supervisor.py SPEC.json``. Uses the standard library only.

SPEC is ``{"directory", "mounts": [[argv], ...], "programs": [{"name", "argv", "env", "after"}]}``;
``after`` is a path that must exist before the program starts. A program that ends is started again,
unless ``<directory>/stopped/<name>`` exists (SIGHUP: look again).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

SIGNALS = {signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM}
RESTART_SECONDS = 0.5
WAIT_SECONDS = 0.02


@dataclass
class Program:
    """One program to keep running."""

    name: str
    argv: list[str]
    env: dict[str, str]
    after: str | None = None
    pid: int | None = None
    not_before: float = field(default=0.0)

    def start(self, directory: Path) -> None:
        """Start the program, its output in ``log/<name>.log``."""
        log = str(directory / "log" / f"{self.name}.log")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        # Names this process ignores or blocks must not be inherited.
        self.pid = os.posix_spawn(
            self.argv[0],
            self.argv,
            {**os.environ, **self.env},
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=list(SIGNALS),
        )


class Supervisor:
    """Keeps programs running until it is killed."""

    def __init__(self, directory: Path, programs: list[Program]) -> None:
        self._directory = directory
        self._programs = programs

    def run(self) -> None:
        """Loop for ever."""
        while True:
            self._collect()
            waiting = self._start_due()
            if waiting is None:
                signal.sigwaitinfo(SIGNALS)
            else:
                signal.sigtimedwait(SIGNALS, waiting)

    def _collect(self) -> None:
        """Collect ended children: our programs and orphans, of which process 1 gets all."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for program in self._programs:
                if program.pid == pid:
                    program.pid = None
                    program.not_before = time.monotonic() + RESTART_SECONDS

    def _start_due(self) -> float | None:
        """Start what is due; return how long to wait for the rest, None if there is none."""
        waiting = None
        for program in self._programs:
            if (self._directory / "stopped" / program.name).exists():
                if program.pid is not None:
                    os.kill(program.pid, signal.SIGKILL)
                continue
            if program.pid is not None:
                continue
            blocked = program.after is not None and not Path(program.after).exists()
            if blocked or time.monotonic() < program.not_before:
                waiting = WAIT_SECONDS
            else:
                program.start(self._directory)
        return waiting


def main(path: Path) -> None:
    """Make the mounts and run the programs of a specification."""
    spec = json.loads(path.read_text())
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for argv in spec["mounts"]:
        subprocess.run(argv, check=True)
    programs = [
        Program(entry["name"], entry["argv"], entry.get("env", {}), entry.get("after"))
        for entry in spec["programs"]
    ]
    Supervisor(Path(spec["directory"]), programs).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

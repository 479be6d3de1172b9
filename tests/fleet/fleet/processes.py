"""Running other programs so that none outlives us by accident."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class CommandError(FleetError):
    """A program ended with a failure; the message holds the command and the end of its output."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    ``env`` is added to our own environment. With ``log`` the output goes to that file, not to the
    caller (the result is empty then).

    Raises
    ------
    CommandError
        If the program is missing or does not end with 0.
    """
    words = [str(word) for word in argv]
    environment = {**os.environ, **(env or {})}
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        if log is None:
            done = subprocess.run(
                words, input=data, env=environment, cwd=cwd, capture_output=True, check=False
            )
            output, errors = done.stdout.decode(), done.stderr.decode(errors="replace")
        else:
            with log.open("ab") as file:
                done = subprocess.run(
                    words,
                    input=data,
                    env=environment,
                    cwd=cwd,
                    stdout=file,
                    stderr=file,
                    check=False,
                )
            output, errors = "", log.read_text(errors="replace")
    except FileNotFoundError as error:
        raise CommandError(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        tail = "\n".join((errors.strip() or output.strip()).splitlines()[-15:])
        raise CommandError(f"`{_shown(words)}` ended with {done.returncode}:\n{tail}")
    return output


def isolated(argv: Sequence[str | Path]) -> list[str]:
    """Wrap a command so that it, all its children and its mounts end with us, however we end.

    The kernel kills the wrapper when we die, the first process of the new process namespace with
    the wrapper, and all others and the private mounts with that.
    """
    wrapper = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork"]
    return [*wrapper, "--kill-child=KILL", "--mount-proc", "--", *(str(word) for word in argv)]


def kill(pids: Iterable[int]) -> None:
    """Kill these processes; one that is gone already is no error."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def in_namespace(kind: str, inode: int) -> set[int]:
    """Return every process whose namespace of this kind (``net``, ``pid``, ...) has this inode."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            if (entry / "ns" / kind).stat().st_ino == inode:
                found.add(int(entry.name))
    return found


def wait_gone(pids: Iterable[int], seconds: float = 10.0) -> set[int]:
    """Wait until these processes are gone and return those that are not."""
    left = set(pids)
    end = time.monotonic() + seconds
    while left and time.monotonic() < end:
        left = {pid for pid in left if _alive(pid)}
        if left:
            time.sleep(0.02)
    return left


def remove_tree(directory: Path) -> None:
    """Remove a directory with all it holds; one that is not there is no error."""
    if directory.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)


def _alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie that nobody has collected yet runs no more.
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _shown(words: Sequence[str]) -> str:
    text = " ".join(words)
    return text if len(text) < 300 else f"{text[:300]}..."

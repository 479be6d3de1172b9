"""Coverage-guided fuzzing of one target in a process of its own."""

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.fuzz import targets
from tests.fuzz.findings import Finding, Tally

ROOT = Path(__file__).parents[2]
RSS_MIB = 1024
# An input that takes so long is one that hangs.
_HANGS_SECONDS = 120
_LINE = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+).*? corp: (\d+)/.*? rss: (\d+)Mb")
_DONE = re.compile(r"stat::number_of_executed_units: (\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
_KEPT_LINES = 400

Progress = Callable[[int, str], None]


class EngineError(Exception):
    """The fuzzing process ended without a finding or a result."""


def fuzz(
    name: str,
    *,
    seconds: float = 0,
    runs: int = -1,
    seed: int = 0,
    progress: Progress = lambda _count, _text: None,
) -> Tally:
    """Fuzz a target for some seconds, or some runs, or until it fails."""
    target = targets.load(name)
    with tempfile.TemporaryDirectory(prefix="assay-fuzz-") as folder:
        corpus, out = Path(folder) / "corpus", Path(folder) / "out"
        corpus.mkdir()
        out.mkdir()
        for place, data in enumerate([*target.seeds(), *targets.regressions(name)]):
            (corpus / str(place)).write_bytes(data)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        options = [
            *(f"-runs={runs}", f"-max_total_time={round(seconds)}", f"-seed={seed or 1}"),
            *(f"-max_len={target.max_bytes}", f"-rss_limit_mb={RSS_MIB}", f"-dict={words}"),
            *(f"-timeout={_HANGS_SECONDS}", "-print_final_stats=1", f"-artifact_prefix={out}/"),
        ]
        return _run(name, [str(corpus), *options], out, progress)


def _run(name: str, options: Sequence[str], out: Path, progress: Progress) -> Tally:
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.engine", name, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for us, who end it
    )
    try:
        lines = _followed(process, progress)
        code = process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    text = "\n".join(lines)
    inputs = sorted(out.iterdir())
    if code and not inputs:
        raise EngineError(f"{name}: the fuzzing process ended with {code}\n{text[-2000:]}")
    found = [Finding(name, _cause(text), (path.read_bytes(),)) for path in inputs]
    last = [match for line in lines if (match := _LINE.match(line))]
    done, peak = _DONE.search(text), _PEAK.search(text)
    remarks: dict[str, float | str] = {
        "coverage": int(last[-1][2]) if last else 0,
        "corpus": int(last[-1][3]) if last else 0,
        "peak_mib": int(peak[1]) if peak else 0,
    }
    count = int(done[1]) if done else 0
    return Tally(name, count, time.monotonic() - start, remarks, tuple(found))


def _followed(process: subprocess.Popen[str], progress: Progress) -> list[str]:
    """Return what the process writes, the last of it, and tell the progress meanwhile."""
    assert process.stdout is not None
    waiting: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, waiting), daemon=True).start()
    lines: list[str] = []
    count, text = 0, ""
    while True:
        try:
            line = waiting.get(timeout=0.5)
        except queue.Empty:
            progress(count, text)
            continue
        if line is None:
            return lines
        lines = [*lines, line][-_KEPT_LINES:]
        if match := _LINE.match(line):
            count, text = int(match[1]), f"{match[2]} places, {match[3]} inputs, {match[4]} MiB"
            progress(count, text)


def _read(pipe: IO[str], into: "queue.Queue[str | None]") -> None:
    for line in pipe:
        into.put(line.rstrip())
    into.put(None)


def _cause(text: str) -> str:
    """Return the stack trace in libFuzzer's output, else what it says itself."""
    _, found, trace = text.partition("=== Uncaught Python exception: ===")
    if found:
        return trace.partition("==")[0].strip()
    return "\n".join(line for line in text.splitlines() if "ERROR" in line or "SUMMARY" in line)


def _escaped(word: str) -> str:
    """Return a word as libFuzzer's dictionaries write it."""
    plain = re.compile(r"[A-Za-z0-9_.:-]")
    return "".join(
        chr(byte) if plain.match(chr(byte)) else f"\\x{byte:02x}" for byte in word.encode()
    )


def repeat(finding: Finding) -> None:
    """Give a target the input of a finding once more."""
    targets.load(finding.part)(finding.inputs[0])

"""wrk: a closed loop over kept connections, from one core."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.server.comparison.machine import pinned

# What wrk prints rounds and changes its units; its Lua hook has the numbers themselves.
_SCRIPT = """\
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nSUMMARY {"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "max": %%d, ' ..
    '"bad_status": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class WrkError(Exception):
    """wrk is not to be had, or did not run."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk; latencies in milliseconds, processor time of wrk in seconds."""

    answers: int
    seconds: float
    p50: float
    p99: float
    errors: int
    processor: float

    @property
    def rate(self) -> float:
        """Answers per second, errors left out."""
        return self.answers / self.seconds


def ensure() -> None:
    """Install Debian's package if the program is missing. Raises WrkError."""
    if shutil.which("wrk"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise WrkError("wrk is missing: install it, or run this as root on a Debian")
    print("wrk is missing: apt-get install wrk", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "wrk"]):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise WrkError(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}")


def script(body: str, headers: Mapping[str, str]) -> str:
    """Return the Lua script that sends one request over and over, and reports in JSON."""
    assert "]==]" not in body
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(v)}" for name, v in headers.items()]
    return _SCRIPT % (body, "\n".join(lines))


def run(
    url: str, script_file: Path, *, connections: int, seconds: float, core: int, nice: int = 0
) -> Load:
    """Load a URL from a core. Raises WrkError if wrk fails or says nothing that can be read."""
    # wrk takes whole seconds only.
    command = [
        "nice",
        "-n",
        str(nice),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
    ]
    with pinned(core):
        process = subprocess.Popen(
            [*command, "-s", script_file, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert process.stdout is not None
    try:
        output = process.stdout.read()
        # Not `wait`: the kernel tells what it cost only whoever asks while reaping it.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        process.stdout.close()
    if process.returncode != 0:
        raise WrkError(f"wrk ended with {process.returncode}: {output.strip()[-500:]}")
    return parse(output, usage.ru_utime + usage.ru_stime)


def parse(output: str, processor: float) -> Load:
    """Read what the script reported. Raises WrkError if it did not."""
    _, found, rest = output.rpartition("\nSUMMARY ")
    if not found:
        raise WrkError(f"wrk did not report: {output.strip()[-500:]}")
    summary = json.loads(rest.partition("\n")[0])
    return Load(
        answers=summary["requests"] - summary["bad_status"],
        seconds=summary["microseconds"] / 1e6,
        p50=summary["p50"] / 1e3,
        p99=summary["p99"] / 1e3,
        errors=summary["bad_status"] + summary["broken"],
        processor=processor,
    )

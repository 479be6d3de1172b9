"""wrk: a closed loop over kept connections, from one core.

wrk 4 never shows the latencies that its connections met. Its `stats_correct` takes each one of more
than twice the mean for a pause in which a client that sends on a schedule would have sent more
requests, and adds what these would have met. Its connections have no schedule: each sends its next
request when it has the answer. So both are told here, what was met and what wrk makes of it; all
servers are measured alike.
"""

import json
import math
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
  local histogram = {}
  for place = 1, #latency do
    histogram[place] = string.format("[%%d, %%d]", latency(place))
  end
  io.write(string.format(
    '\\nSUMMARY {"requests": %%d, "microseconds": %%d, "histogram": [%%s], ' ..
    '"bad_status": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration, table.concat(histogram, ", "),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class WrkError(Exception):
    """wrk is not to be had, or did not run."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk; latencies in milliseconds, processor time of wrk in seconds.

    `p50` and `p99` are what requests met, `corrected_p99` is what wrk says.
    """

    answers: int
    seconds: float
    p50: float
    p99: float
    corrected_p99: float
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
    return parse(output, connections, usage.ru_utime + usage.ru_stime)


def parse(output: str, connections: int, processor: float) -> Load:
    """Read what the script reported. Raises WrkError if it did not."""
    _, found, rest = output.rpartition("\nSUMMARY ")
    if not found:
        raise WrkError(f"wrk did not report: {output.strip()[-500:]}")
    summary = json.loads(rest.partition("\n")[0])
    requests, microseconds = summary["requests"], summary["microseconds"]
    corrected: dict[int, int] = dict(summary["histogram"])
    each = requests // connections
    # As wrk has it, to the microsecond; with less than a request per connection it leaves all as is.
    met = uncorrected(corrected, microseconds // each) if each else corrected
    return Load(
        answers=requests - summary["bad_status"],
        seconds=microseconds / 1e6,
        p50=percentile(met, 50) / 1e3,
        p99=percentile(met, 99) / 1e3,
        corrected_p99=percentile(corrected, 99) / 1e3,
        errors=summary["bad_status"] + summary["broken"],
        processor=processor,
    )


def uncorrected(corrected: Mapping[int, int], expected: int) -> dict[int, int]:
    """Return the latencies that were met, given what wrk's `stats_correct` made of them.

    For each latency of more than `2 * expected` it adds one of `expected` less, one of `2 * expected`
    less, and so on while they are above `expected`. What it adds is always smaller, so the largest one is
    as it was met; with that taken back, so is the next.

    Parameters
    ----------
    corrected
        How often each latency comes, in microseconds.
    expected
        The mean time from one request of a connection to its next.

    Raises
    ------
    WrkError
        When wrk cannot have made that.
    """
    met = dict(corrected)
    for latency in sorted(corrected, reverse=True):
        count = met[latency]
        if not count:
            continue
        for added in range(latency - expected, expected, -expected):
            met[added] = met.get(added, 0) - count
            if met[added] < 0:
                raise WrkError(f"no latency of {latency} us can be among those that wrk reported")
    return {latency: count for latency, count in met.items() if count}


def percentile(histogram: Mapping[int, int], percent: float) -> int:
    """Return the latency that so many percent do not exceed, by wrk's rule; 0 if there are none."""
    rank = math.floor(percent / 100 * sum(histogram.values()) + 1.0)
    total = 0
    for latency in sorted(histogram):
        total += histogram[latency]
        if total >= rank:
            return latency
    return 0

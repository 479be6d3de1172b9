"""The users of the guide: they send digits through the gateways, and type what each really was.

    python -m examples.digits.stream live.csv &
    python -m examples.digits.stream moved.csv --keep labelled.csv &   # ends the one before
    python -m examples.digits.stream --stop

Rows are drawn from the file again and again; their labels follow a second or so later. With --keep the
rows of the file whose label came back are written, once each, as they become known: what an
application has at the end of a day. It is the demo's client, with other rows.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from demo.stream import BackgroundStream, Data, Load

NAME = "digits"
LABEL = "digit"
RUNNING = Path("stream.pid")
LOAD = Load(requests_per_second=50.0, several_rows_share=0.2, rows_max=4)
TICK_SECONDS = 0.5


def stop(seconds: float = 30.0) -> None:
    """End the stream that runs in this folder, if there is one, and wait until it is gone."""
    if not RUNNING.exists():
        return
    with suppress(ProcessLookupError, ValueError):
        os.kill(int(RUNNING.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while RUNNING.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    RUNNING.unlink(missing_ok=True)


def send(rows: Path, keep: Path | None) -> None:
    """Send until SIGTERM or Ctrl-C."""
    from examples.digits.place import here  # noqa: PLC0415 - which ends streams

    table = pd.read_csv(rows)
    images = table.drop(columns=LABEL).to_numpy(np.float64)
    data = Data(images, [str(digit) for digit in table[LABEL]])
    RUNNING.write_text(str(os.getpid()))
    try:
        with BackgroundStream(NAME, here().targets(NAME), data, LOAD) as stream:
            known, told = 0, False
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(TICK_SECONDS)
                    if not told and (failures := list(stream.log.failures)):
                        told = True
                        print(f"{rows}: a request failed: {failures[0].detail}", file=sys.stderr)
                    found = {item.row for item in stream.log.rows() if item.in_evidence}
                    if keep is not None and len(found) > known:
                        known = len(found)
                        write(table, found, keep)
        failed = stream.log.failures_by_kind()
        print(f"{rows}: {stream.log.requests} requests, failed: {dict(failed) or 'none'}")
    finally:
        RUNNING.unlink(missing_ok=True)


def write(table: pd.DataFrame, places: Collection[int], path: Path) -> None:
    """Write those rows of the table; who reads the file meanwhile has the old one."""
    new = path.with_suffix(".new")
    table.iloc[sorted(places)].to_csv(new, index=False)
    new.replace(path)


def main() -> int:
    """Send, or end who sends."""
    parser = argparse.ArgumentParser(prog="python -m examples.digits.stream", description=__doc__)
    parser.add_argument("rows", type=Path, nargs="?", help="CSV with the column 'digit'")
    parser.add_argument("--keep", type=Path, help="where rows go whose label came back")
    parser.add_argument("--stop", action="store_true", help="end the stream that runs here")
    options = parser.parse_args()
    if options.stop == (options.rows is not None):
        parser.error("give a file, or --stop")
    # A shell starts what is in the background with Ctrl-C ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop()
    if options.rows is not None:
        send(options.rows, options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the commands of README.md, step by step: they stand nowhere else.

    python -m examples.digits                   # all fifteen steps; KEEP=1 leaves the fleet
    python -m examples.digits --step 1..10      # those that need no cluster
    python -m examples.digits --print           # the shell script that is run

Every step leaves files in the folder (guide-output), so a later one can be run by itself again.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AFTERWARDS = "Afterwards"
MAKES = "examples.digits.place up"
"""The command after which there is something to remove."""
_HEAD = re.compile(r"^## (?:(\d+)\. )?(.+)$")


@dataclass(frozen=True)
class Section:
    """A section of README.md with its commands; `number` is None for those around the steps."""

    number: int | None
    title: str
    blocks: tuple[str, ...]


def sections(text: str) -> list[Section]:
    """Return the sections of the guide. Blocks marked ``sh`` are run, others are only shown."""
    found: list[tuple[int | None, str, list[str]]] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if block is not None:
            if line == "```":
                found[-1][2].append("\n".join(block))
                block = None
            else:
                block.append(line)
        elif line == "```sh":
            block = []
        elif head := _HEAD.match(line):
            found.append((int(head[1]) if head[1] else None, head[2], []))
    return [Section(number, title, tuple(blocks)) for number, title, blocks in found]


def script(chosen: list[Section], steps: int) -> str:
    """Return a bash script that shows and runs the commands, and ends what it left running."""
    lines = [
        "set -euo pipefail",
        # What runs in the background ends with the guide.
        "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT",
        "[ ! -e place.sh ] || . ./place.sh",
    ]
    for section in chosen:
        title = f"{section.number}/{steps} {section.title}" if section.number else section.title
        lines.append(f'echo; echo "== {title} ($SECONDS s) =="')
        for block in section.blocks:
            shown = "\n".join(f"$ {line}" for line in block.splitlines())
            lines += [f"printf '%s\\n' {shlex.quote(shown)}", block]
    return "\n".join([*lines, 'echo; echo "$SECONDS s"', ""])


def steps_of(text: str, last: int) -> list[int]:
    """Return the numbers that ``3``, ``3..7`` or ``2,7,11..15`` name. Raises ValueError."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dots, end = part.partition("..")
        numbers += range(int(first), int(end if dots else first) + 1)
    if not numbers or not all(1 <= number <= last for number in numbers):
        raise ValueError(text)
    return numbers


def main() -> int:
    """Run what is asked for; return its exit code."""
    guide = sections((HERE / "README.md").read_text())
    numbered = {section.number: section for section in guide if section.number}
    last = len(numbered)
    options = _options(last)
    try:
        wanted = steps_of(options.step, last)
    except ValueError:
        print(
            f"--step {options.step}: name steps from 1 to {last}, as 3, 3..7 or 2,7",
            file=sys.stderr,
        )
        return 2
    text = script([numbered[number] for number in wanted], last)
    if options.print:
        print(text)
        return 0
    afterwards = next(section for section in guide if section.title == AFTERWARDS)
    options.output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(text, options.output)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    finally:
        # Somebody may be impatient; what was made must go all the same.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        made = MAKES in text or (options.output / "place.sh").exists()
        if made and not options.keep:
            run(script([afterwards], last), options.output)


def run(text: str, folder: Path) -> int:
    """Run a script in the folder; return its exit code. Ctrl-C ends it, and is raised again."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EXAMPLES": str(ROOT / "examples"),
    }
    # A group of its own, so that nothing of it outlives us, whoever tells us to end.
    process = subprocess.Popen(["bash", "-c", text], cwd=folder, env=environment, process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def _options(last: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.digits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--step", default=f"1..{last}", help="3, 3..7 or 2,7,11..15")
    parser.add_argument("--output", type=Path, default=Path("guide-output"), help="where files go")
    parser.add_argument("--print", action="store_true", help="print the script, run nothing")
    parser.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP", "") not in {"", "0"},
        help="leave the clusters (also KEEP=1)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Entry point of the operator's image: ``python -m assay.controller``."""

import asyncio
import gc
import sys

from . import logs, operator, settings

GARBAGE = 50_000
"""Objects that may be made before garbage is looked for. With Python's 700 a sixth of the CPU went there:
every answer of a Prometheus is some thousand objects, and none of them is in a cycle."""


def main() -> int:
    """Run the operator; return the exit code."""
    try:
        chosen = settings.read()
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    logs.configure(chosen.log_level)
    gc.freeze()  # what was imported stays
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
    asyncio.run(operator.run(chosen))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

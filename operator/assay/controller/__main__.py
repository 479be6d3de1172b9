"""Entry point of the operator's image: ``python -m assay.controller``."""

import asyncio
import sys

from . import logs, operator, settings


def main() -> int:
    """Run the operator; return the exit code."""
    try:
        chosen = settings.read()
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    logs.configure(chosen.log_level)
    asyncio.run(operator.run(chosen))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Write the state diagram in docs/rollout.md from the transition table.

``python tools/draw_rollout.py`` writes, ``python tools/draw_rollout.py --check`` says if it is stale.
"""

import pathlib
import sys

from assay.rollout.transitions import mermaid

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "rollout.md"
BEGIN = "<!-- drawn by tools/draw_rollout.py from operator/assay/rollout/transitions.py -->\n"
END = "<!-- end of the drawing -->\n"


def drawn(page: str) -> str:
    """Return `page` with the diagram between its marks made anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}```mermaid\n{mermaid()}```\n{END}{after}"


def main() -> int:
    """Write or check; return the exit code."""
    page = PAGE.read_text()
    if "--check" not in sys.argv:
        PAGE.write_text(drawn(page))
    elif page != drawn(page):
        sys.stderr.write("stale: docs/rollout.md (run python tools/draw_rollout.py)\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The commands of docs/tutorial.md, for the tests that run them."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"


def blocks(part: str) -> list[str]:
    """Return the shell blocks that the page marks with ``<!-- run: part -->``."""
    pattern = rf"<!-- run: {part} -->\n```sh\n(.*?)```"
    return re.findall(pattern, PAGE.read_text(), re.DOTALL)


def preparation() -> str:
    """Return the block that names the fleet and kubectl, with which part 3 begins."""
    [block] = re.findall(r"```sh\n(eval [^`]*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)

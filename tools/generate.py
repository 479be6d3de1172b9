"""Write what is generated from the types: crds/ and the chart's copy of it.

``python tools/generate.py`` writes, ``python tools/generate.py --check`` says what is stale.
"""

import pathlib
import sys

import yaml

from assay.api import schema

ROOT = pathlib.Path(__file__).parent.parent
HEADER = "# Generated from operator/assay/api by tools/generate.py (make generate). Do not edit.\n"


def documents() -> dict[pathlib.Path, str]:
    """Return the text of every generated file by its path."""
    texts: dict[pathlib.Path, str] = {}
    for name, definition in schema.definitions().items():
        text = HEADER + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)
        texts[ROOT / "crds" / name] = text
        texts[ROOT / "charts/assay/files/crds" / name] = text
    return texts


def main() -> int:
    """Write or check; return the exit code."""
    stale = [
        path for path, text in documents().items() if not path.exists() or path.read_text() != text
    ]
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"stale: {path.relative_to(ROOT)} (run make generate)\n")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(documents()[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

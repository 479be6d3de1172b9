"""Which program this is."""

import hashlib
from pathlib import Path

import assay


def program() -> str:
    """Return a digest of the operator's source: any other may render other objects of one spec."""
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(assay.__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()

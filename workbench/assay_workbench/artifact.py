"""Writes a skops file whose bytes follow from the model: the same model, the same digest.

`skops.io.dump` alone gives other bytes each time, for six reasons: every node has an ``__id__`` and
every array a file name that are memory addresses, bytes are named by a random UUID, the zip file
holds the local time, sets come in the order of their hashes, and the gaps between the fields of a
tree's nodes hold what was in memory before. None of them means anything to the loader, so here they
go: no ids, members named by what they contain, no times, sets sorted, gaps zero.

Without ids an object that the model refers to twice is loaded as two equal ones.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from assay_server.artifacts.skops_file import HARMLESS
from assay_server.reference import MEMBER, Reference
from assay_workbench.errors import WorkbenchError

_SCHEMA = "schema.json"
# The oldest time that a zip file can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def write(model: object, path: Path, reference: Reference | None = None) -> str:
    """Write a skops file whose bytes depend on the model and its reference only.

    The versions of scikit-learn and skops are part of the file. It appears under its name only when it is whole.

    Returns
    -------
    str
        Its digest ``sha256:<hex>``, as ``spec.model.digest`` takes it.

    Raises
    ------
    WorkbenchError
        If skops cannot store the model, or the file cannot be written.
    """
    try:
        members = _members(skops.io.dumps(model))
    except (UnsupportedTypeException, TypeError, RecursionError) as error:
        raise WorkbenchError(f"{path}: skops cannot store this model: {error}") from None
    if reference is not None:
        members[MEMBER] = reference.text()
    content = io.BytesIO()
    # Stored, not deflated: another zlib packs the same bytes in another way.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.create_system = _UNIX
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, members[name])
    with replaced(path) as file:
        file.write(content.getbuffer())
    return f"sha256:{hashlib.sha256(content.getbuffer()).hexdigest()}"


def untrusted(path: Path) -> tuple[str, ...]:
    """Return the types in a skops file that a server builds only when told to (`operator.trustedTypes`)."""
    return tuple(sorted({*skops.io.get_untrusted_types(file=path)} - {*HARMLESS}))


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` once it is whole, and is gone otherwise.

    Raises `WorkbenchError` when it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                yield file
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror or error}") from None


def _umask() -> int:
    """Return the mask of new files; it can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _members(content: bytes) -> dict[str, bytes]:
    """Return the members of a skops file, by names that follow from what they hold."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {
            name: _without_gaps(archive.read(name)) if name.endswith(".npy") else archive.read(name)
            for name in archive.namelist()
            if name != _SCHEMA
        }
        schema = json.loads(archive.read(_SCHEMA))
    names = {
        name: f"{hashlib.sha256(held).hexdigest()}{Path(name).suffix}"
        for name, held in arrays.items()
    }
    members = {names[name]: held for name, held in arrays.items()}
    members[_SCHEMA] = json.dumps(_plain(schema, names), separators=(",", ":")).encode()
    return members


def _without_gaps(content: bytes) -> bytes:
    """Return an array in numpy's format with zeros between its fields, if it has fields."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _plain(value: Any, names: dict[str, str]) -> Any:
    """Return a part of the schema without what differs from run to run."""
    if isinstance(value, list):
        return [_plain(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    loader = value.get("__loader__")
    if not isinstance(loader, str):
        # Fields of a node, or items of a dictionary of the model, whatever their names.
        return {key: _plain(each, names) for key, each in value.items()}
    node = {key: _plain(each, names) for key, each in value.items() if key != "__id__"}
    if isinstance(node.get("file"), str):
        node["file"] = names[node["file"]]
    if loader == "SetNode":
        node["content"] = sorted(node["content"], key=json.dumps)
    return node

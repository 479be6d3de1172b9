"""Write what the images are made of: sbom/*.cdx.json (CycloneDX 1.6) and docs/licences.md, from the locks.

``python tools/sbom.py`` writes, ``python tools/sbom.py --check`` says what is stale. Nothing is asked of
the network: names, versions and who needs what are in requirements/, licences in what is installed.
"""

import importlib.metadata
import json
import pathlib
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES = {"operator": "assay-operator", "server": "assay-server"}
"""Whose licences are listed, because they are handed on: lock by lock, the image made from it."""
LOCKS = (*IMAGES, "dev", "docs", "setup")

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-3-Clause-Open-MPI",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Zlib",
    }
)
EXCEPTIONS = {
    "CNRI-Python": "regex is derived from Python's own re module; a permissive licence of Python's family.",
    "GPL-3.0-or-later WITH GCC-exception-3.1": "The run-time library of GCC inside wheels. The exception allows to hand it on with"
    " programs under any licence.",
    "LGPL-2.1-or-later": "libquadmath inside wheels, a shared library of its own that may be replaced.",
}
"""What is neither Apache, MIT, BSD, PSF nor MPL, and why it is taken all the same."""

# Where a distribution names its licence in other words than SPDX's.
_WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSF-2.0": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# What the metadata leave open or put wrongly, as the licence's text in the distribution has it: its beginning.
_BY_TEXT = {
    "promql-parser": ("The MIT License (MIT)", "MIT"),
    "requests-oauthlib": ("ISC License", "ISC"),
    "scipy": ("Copyright (c) 2001-2002 Enthought", "BSD-3-Clause"),
    "skops": ("MIT License (MIT)", "MIT"),
}
_RUNTIME = "GPL-3.0-or-later WITH GCC-exception-3.1"
_LIBRARIES = {
    "libgfortran": _RUNTIME,
    "libgomp": _RUNTIME,
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libscipy_openblas64": "BSD-3-Clause",
}
_PIN = re.compile(r"^(?P<name>[a-z0-9][\w.-]*)(?:\[[\w,-]+\])?==(?P<version>[^ \\]+)", re.MULTILINE)
_BUNDLED = re.compile(r"^Name: (?P<name>.+)\n(?:.+\n)*?License: (?P<licence>.+)$", re.MULTILINE)


class LicenceError(Exception):
    """A licence is not known; the message says of what, and where to enter it."""


@dataclass(frozen=True)
class Package:
    """One pinned distribution of a lock.

    Attributes
    ----------
    needed_by
        Names of the distributions that need it; empty for what we ask for ourselves.
    """

    name: str
    version: str
    needed_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """The package URL, by which scanners look it up."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(lock: str) -> tuple[Package, ...]:
    """Return what a lock (the text of a requirements file) pins, by name."""
    found = []
    starts = list(_PIN.finditer(lock))
    for match, following in zip(starts, [*starts[1:], None], strict=True):
        block = lock[match.end() : following.start() if following else len(lock)]
        _, _, via = block.partition("# via")
        needed_by = tuple(
            name
            for name in (line.strip(" #") for line in via.splitlines())
            if re.fullmatch(r"[a-z0-9][\w.-]*", name) and name != "assay"
        )
        found.append(Package(match["name"], match["version"], needed_by))
    return tuple(sorted(found, key=lambda item: item.name))


def licence(name: str) -> str:
    """Return the licence of an installed distribution as an SPDX expression.

    Raises
    ------
    LicenceError
        If it names none that we know.
    """
    metadata = importlib.metadata.metadata(name)
    if name in _BY_TEXT:
        beginning, expression = _BY_TEXT[name]
        if not any(text.startswith(beginning) for text in _texts(name)):
            raise LicenceError(
                f"{name}: its licence no longer begins with {beginning!r}; look at it (tools/sbom.py)"
            )
        return expression
    if expression := _stated(metadata, "License-Expression"):
        return expression
    classifiers = [
        item.rpartition(" :: ")[2]
        for item in metadata.get_all("Classifier") or []
        if item.startswith("License ::")
    ]
    names = [_stated(metadata, "License"), *classifiers]
    known = [item if item in ALLOWED else _WORDS.get(item) for item in names]
    for found in known:
        if found:
            return found
    raise LicenceError(
        f"{name}: the licence {names} has no SPDX name here; add it to tools/sbom.py"
    )


def _stated(metadata: importlib.metadata.PackageMetadata, field: str) -> str:
    values: list[str] = metadata.get_all(field) or [""]
    return values[0]


def bundled(name: str) -> tuple[tuple[str, str], ...]:
    """Return what a wheel brings along as (name, licence) pairs.

    That is what its own licence file lists, and the shared libraries that auditwheel has put into it.

    Raises
    ------
    LicenceError
        If there is a shared library whose licence we do not know.
    """
    pairs = {
        (match["name"].strip(), match["licence"].strip())
        for text in _texts(name)
        for match in _BUNDLED.finditer(text)
    }
    for file in importlib.metadata.files(name) or []:
        if file.parts[0].endswith(".libs"):
            library = re.split(r"[-.]", file.name)[0].rstrip("_")
            if library not in _LIBRARIES:
                raise LicenceError(
                    f"{name}: the licence of its shared library {library} is not known; add it to tools/sbom.py"
                )
            pairs.add((library, _LIBRARIES[library]))
    return tuple(sorted(pairs))


def words(expression: str) -> tuple[str, ...]:
    """Return the licences of an SPDX expression; one ``WITH`` an exception is one."""
    return tuple(re.split(r" (?:AND|OR) ", expression.strip("()")))


def bill(lock: str, found: Iterable[Package], licences: Mapping[str, str]) -> dict[str, Any]:
    """Return the CycloneDX document of a lock.

    The same lock gives the same document: there is no time in it, and its serial number is a hash of
    what it holds.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = f"pkg:pypi/assay@{project['version']}#{lock}"
    known = {item.name: item for item in found}
    components = [_component(item, licences.get(item.name)) for item in known.values()]
    needs: dict[str, list[str]] = {
        ref: [] for ref in (own, *(item.purl for item in known.values()))
    }
    for item in known.values():
        for name in item.needed_by or (None,):
            needs[known[name].purl if name else own].append(item.purl)
    name = IMAGES.get(lock, f"assay-{lock}")
    root = {
        "type": "container" if lock in IMAGES else "application",
        "bom-ref": own,
        "name": name,
        "version": project["version"],
        "licenses": [{"license": {"id": project["license"]}}],
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(below)} for ref, below in needs.items()],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "serialNumber": f"urn:uuid:{serial}",
        **document,
    }


def _component(item: Package, expression: str | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": item.purl,
        "name": item.name,
        "version": item.version,
        "purl": item.purl,
    }
    if expression:
        component["licenses"] = [{"expression": expression}]
    return component


def _texts(name: str) -> list[str]:
    files = importlib.metadata.files(name) or []
    wanted = [file for file in files if re.search(r"licen[cs]e|copying", file.name, re.IGNORECASE)]
    paths = [pathlib.Path(str(file.locate())) for file in wanted if not file.name.endswith(".py")]
    return [path.read_text(errors="replace") for path in paths if path.exists()]


def licences_page(locks: Mapping[str, Iterable[Package]]) -> str:
    """Return docs/licences.md."""
    by_name = {item.name: item for found in locks.values() for item in found}
    inside = {lock: {item.name for item in found} for lock, found in locks.items()}
    lines = [
        "<!-- Generated from requirements/ and what is installed by tools/sbom.py (make sbom). Do not edit. -->",
        "# Licences",
        "",
        "Assay is under the Apache License 2.0. The two images hand on the Python packages below, beside Python and Debian's packages of",
        "the base image that you choose. Bills of material for scanners, in CycloneDX: `sbom/`.",
        "",
        "| package | version | licence | operator | model server |",
        "|---|---|---|---|---|",
    ]
    for name, item in sorted(by_name.items()):
        marks = " | ".join("x" if name in inside[lock] else "" for lock in IMAGES)
        lines.append(f"| {name} | {item.version} | {licence(name)} | {marks} |")
    lines += [
        "",
        "## Inside of wheels",
        "",
        "What the wheels bring along, by their own licence files, and the shared libraries in them:",
        "",
    ]
    lines += ["| wheel | part | licence |", "|---|---|---|"]
    for name in sorted(by_name):
        lines += [f"| {name} | {part} | {expression} |" for part, expression in bundled(name)]
    lines += ["", "## Exceptions", ""]
    lines += [
        "A test refuses every licence that is neither of the Apache, MIT, BSD, PSF or MPL kind nor one of these:",
        "",
    ]
    lines += [f"- `{name}`: {why}" for name, why in EXCEPTIONS.items()]
    return "\n".join(lines) + "\n"


def documents() -> dict[pathlib.Path, str]:
    """Return the text of every file that is written, by its path."""
    locks = {lock: packages((ROOT / f"requirements/{lock}.txt").read_text()) for lock in LOCKS}
    shipped = {lock: locks[lock] for lock in IMAGES}
    licences = {item.name: licence(item.name) for found in shipped.values() for item in found}
    texts = {ROOT / "docs/licences.md": licences_page(shipped)}
    for lock, found in locks.items():
        document = bill(lock, found, licences if lock in IMAGES else {})
        texts[ROOT / f"sbom/{lock}.cdx.json"] = json.dumps(document, indent=1) + "\n"
    return texts


def main() -> int:
    """Write or check; return the exit code."""
    texts = documents()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"stale: {path.relative_to(ROOT)} (run make sbom)\n")
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())

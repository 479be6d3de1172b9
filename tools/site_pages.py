"""Pages of the documentation site that mkdocs does not find by itself (a hook of mkdocs.yml).

Pages in docs/ link to what stands elsewhere in the repository: the READMEs of its parts, examples,
tests. On the site each such file is a page under ``repository/``, and links are turned to it, so that
the site needs nothing but itself and mkdocs checks every link of it.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
ELSEWHERE = "repository"
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<after>(?:#[^)\s]*)?\))")
_CODE = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


class LinkError(Exception):
    """A link leads to what is not there; the message names page and target."""


def links(page: str, text: str) -> Iterator[str]:
    """Yield what the links of a page lead to, as paths in the repository.

    Parameters
    ----------
    page
        Path of the page in the repository.
    text
        Its Markdown; code in it is left out.

    Raises
    ------
    LinkError
        If there is no such file.
    """
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return ""

    _replaced(page, text, note)
    yield from found


def turned(page: str, text: str) -> str:
    """Return the Markdown of a page with its links turned to where files are on the site."""
    here = posixpath.dirname(site_path(page))
    return _replaced(page, text, lambda target: posixpath.relpath(site_path(target), here))


def site_path(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{ELSEWHERE}/{path}" + ("" if path.endswith(".md") else ".md")


def in_repository(uri: str) -> str:
    """Return the path in the repository of the page that the site knows as `uri`."""
    inside = uri.removeprefix(f"{ELSEWHERE}/")
    return inside if inside != uri else f"{DOCS}/{uri}"


def elsewhere(pages: list[str]) -> dict[str, str]:
    """Return the Markdown of all files outside of docs/ that `pages` lead to, by path."""
    texts: dict[str, str] = {}
    waiting = list(pages)
    while waiting:
        path = waiting.pop()
        text = (ROOT / path).read_text()
        if not path.endswith(".md"):
            texts[path] = _code(path, text)
            continue
        if not path.startswith(f"{DOCS}/"):
            texts[path] = turned(path, text)
        waiting += [
            target
            for target in links(path, text)
            if target not in texts and not target.startswith(f"{DOCS}/")
        ]
    return texts


def listed(nav: list[Any], docs: Path = ROOT / DOCS) -> list[Any]:
    """Return the navigation with ``folder/`` replaced by the pages of that folder, by name."""
    result: list[Any] = []
    for item in nav:
        match item:
            case str() if item.endswith("/"):
                pages = sorted(
                    (docs / item).glob("*.md"),
                    key=lambda page: (page.name != "README.md", page.name),
                )
                result += [page.relative_to(docs).as_posix() for page in pages]
            case dict():
                result.append(
                    {
                        title: listed(below, docs) if isinstance(below, list) else below
                        for title, below in item.items()
                    }
                )
            case _:
                result.append(item)
    return result


def named(nav: list[Any]) -> list[str]:
    """Return all pages of a navigation."""
    found: list[str] = []
    for item in nav:
        match item:
            case str():
                found.append(item)
            case dict():
                for below in item.values():
                    found += named(below if isinstance(below, list) else [below])
            case _:
                pass
    return found


def _replaced(page: str, text: str, replace: Callable[[str], str]) -> str:
    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            return match[0]
        return match["before"] + replace(_file(page, target)) + match["after"]

    parts = _CODE.split(text)
    return "".join(
        part if number % 2 else _LINK.sub(link, part) for number, part in enumerate(parts)
    )


def _file(page: str, target: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    if path.startswith("..") or not (ROOT / path).is_file():
        raise LinkError(f"{page}: the link to {target} leads to {path}, which is not there")
    return path


def _code(path: str, text: str) -> str:
    language = PurePosixPath(path).suffix.removeprefix(".")
    return f"# {path}\n\n~~~~{language}\n{text.rstrip()}\n~~~~\n"


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Fill folders into the navigation (mkdocs calls this)."""
    config.nav = listed(config.nav or [])
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add what pages lead to outside of docs/ (mkdocs calls this)."""
    from mkdocs.structure.files import File, InclusionLevel  # noqa: PLC0415 only for the site

    pages = [in_repository(file.src_uri) for file in files.documentation_pages()]
    pages += [in_repository(uri) for uri in named(config.nav or []) if uri.startswith(ELSEWHERE)]
    for path, text in elsewhere(pages).items():
        file = File.generated(config, site_path(path), content=text)
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: "Page", **_: object) -> str:
    """Turn the links of a page (mkdocs calls this)."""
    if page.file.src_uri.startswith(f"{ELSEWHERE}/"):
        return markdown
    return turned(in_repository(page.file.src_uri), markdown)

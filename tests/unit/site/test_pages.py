"""The site's pages: all of them in the navigation, all links to something that is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools import site_pages

ROOT = site_pages.ROOT
DOCS = ROOT / "docs"


def tracked(*patterns: str) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listing.stdout.split()


MARKDOWN = tracked("*.md")


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, in which some values are names of Python objects."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def navigation() -> list[str]:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)
    return site_pages.named(site_pages.listed(config["nav"]))


def slugs(path: str) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", (ROOT / path).read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-"))
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    pages = navigation()
    assert len(pages) == len(set(pages))
    inside = {page for page in pages if not page.startswith(site_pages.ELSEWHERE)}
    assert inside == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize("page", MARKDOWN)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in site_pages.links(page, text):
        assert (ROOT / target).is_file()


@pytest.mark.parametrize("page", MARKDOWN)
def test_anchors_are_headings(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text):
        [path] = site_pages.links(page, f"[x]({target})") if target else [page]
        if path.endswith(".md"):
            assert anchor in slugs(path), f"{page}: {target}#{anchor}"


def test_a_link_to_nothing_is_named() -> None:
    with pytest.raises(site_pages.LinkError, match=r"docs/a\.md.*docs/nowhere\.md"):
        list(site_pages.links("docs/a.md", "[there](nowhere.md)"))


def test_code_holds_no_links() -> None:
    text = "`[a](nowhere.md)`\n\n```sh\n[b](nowhere.md)\n```\n[rollout](rollout.md#the-rules)\n"
    assert list(site_pages.links("docs/a.md", text)) == ["docs/rollout.md"]


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("docs/a.md", "rollout.md#the-rules", "rollout.md#the-rules"),
        ("docs/how-to/a.md", "../rollout.md", "../rollout.md"),
        ("docs/a.md", "../examples/guards.yaml", "repository/examples/guards.yaml.md"),
        ("docs/how-to/a.md", "../../demo/", "../repository/demo/README.md"),
        ("demo/README.md", "../docs/rollout.md", "../../rollout.md"),
        ("docs/a.md", "https://example.com/a.md", "https://example.com/a.md"),
    ],
)
def test_links_are_turned_to_where_files_are_on_the_site(page: str, link: str, turned: str) -> None:
    assert site_pages.turned(page, f"[x]({link})") == f"[x]({turned})"


def test_what_pages_lead_to_is_on_the_site() -> None:
    found = site_pages.elsewhere(["docs/guards.md"])
    assert "histogram_quantile" in found["examples/guards.yaml"]
    assert found["model-server/README.md"].startswith("#")


def test_a_folder_stands_for_its_pages(tmp_path: Path) -> None:
    (tmp_path / "runbooks").mkdir()
    for name in ("b.md", "README.md", "a.md"):
        (tmp_path / "runbooks" / name).touch()
    nav = [{"Runbooks": ["runbooks/"]}, "index.md"]
    assert site_pages.named(site_pages.listed(nav, tmp_path)) == [
        "runbooks/README.md",
        "runbooks/a.md",
        "runbooks/b.md",
        "index.md",
    ]

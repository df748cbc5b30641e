"""Links, anchors, pictures and paths on every page lead somewhere."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "examples" / "docs"
IGNORED = {".git", ".venv", "shared", ".pytest_cache", "build", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not IGNORED & set(path.relative_to(ROOT).parts)
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:base_models|ensemble|examples|tests)/[\w./-]*)`")
LARGEST_PICTURE = 200_000  # bytes


def anchors(path):
    """The anchors that GitHub and the built site both give a page's headings."""
    text = FENCE.sub("", path.read_text("utf-8"))
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.replace(" ", "-"))
    return found


def links(path):
    return LINK.findall(CODE.sub("", path.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert "." in parts.netloc, link
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        if parts.fragment:
            assert parts.fragment in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda path: path.name
)
def test_every_file_that_is_named_exists(page):
    missing = [
        name
        for name in NAMED.findall(FENCE.sub("", page.read_text("utf-8")))
        if not (ROOT / name).exists()
    ]
    # Those that CONTRIBUTING.md and the guide have the reader write.
    written = {"base_models/detectors/colours.py",
               "ensemble/combiners/trimmed_log_odds.py",
               "ensemble/datasets/kinds/text_lists.py"}  # fmt: skip
    assert set(missing) <= written | {"ensemble/cli/commands/NAME.py"}


def test_pictures_are_small_and_used():
    used = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in links(page)
        if link.endswith(".png")
    }
    pictures = set((DOCS / "pictures").glob("*.png"))
    assert pictures == used
    for picture in pictures:
        assert picture.stat().st_size < LARGEST_PICTURE, picture.name


def test_the_site_has_every_page_and_every_public_name():
    """Contents of the site name each page; the reference, each public name."""
    import base_models
    import ensemble
    from ensemble import (
        calibration,
        combiners,
        datasets,
        decision,
        metrics,
        resampling,
        scores,
    )

    index = (DOCS / "index.rst").read_text("utf-8")
    gallery = (DOCS / "gallery.md").read_text("utf-8")
    for script in (ROOT / "examples").glob("*.py"):
        assert f"(../{script.name})" in gallery, script.name
    for page in [*(DOCS / "guide").glob("*.md"), *(DOCS / "extending").glob("*.md")]:
        assert f"{page.parent.name}/{page.stem}\n" in index, page.name
    reference = "".join(
        path.read_text("utf-8") for path in (DOCS / "api").glob("*.rst")
    )
    modules = (base_models, ensemble, calibration, combiners, datasets, decision,
               metrics, resampling, scores)  # fmt: skip
    public = {
        f"{module.__name__}.{name}"
        for module in modules
        for name in module.__all__
        if not name.startswith("_")
    }
    listed = {  # beside names of other modules
        name
        for name in re.findall(r"^   ([\w.]+)$", reference, re.MULTILINE)
        if name.rpartition(".")[0] in {module.__name__ for module in modules}
    }
    elsewhere = {  # the same classes, under the name where they are described
        "ensemble.ArtifactError", "ensemble.CheckpointError",
        "ensemble.ScoreTableError", "ensemble.UnscorableVideoError",
        "ensemble.resampling.LeakError",
    }  # fmt: skip
    assert listed == public - elsewhere

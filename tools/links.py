#!/usr/bin/env python3
"""Check that every relative link in the repository's Markdown leads to a file, and every fragment to a heading."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)
FOREIGN = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def pages() -> list[Path]:
    """The Markdown files that git knows or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout  # noqa: S603
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).exists()]


def prose(page: Path) -> str:
    """The page without its code blocks: what looks like a link or a heading there is none."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, made as the usual renderers make them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in kept}


def broken(page: Path) -> Iterator[str]:
    """One line of words for each link that leads nowhere."""
    for link in LINK.findall(prose(page)):
        if FOREIGN.match(link):
            continue
        name, _, fragment = unquote(link).partition("#")
        target = page.parent / name if name else page
        where = f"{page.relative_to(ROOT)}: {link}"
        if not target.exists():
            yield f"{where}: there is no such file"
        elif fragment and target.suffix == ".md" and fragment not in anchors(target):
            yield f"{where}: {target.name} has no such heading"


def main() -> int:
    """Print what is broken; exit code 1 if anything is."""
    found = pages()
    faults = [fault for page in found for fault in broken(page)]
    print(*faults, f"{len(found)} pages, {len(faults)} broken links", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

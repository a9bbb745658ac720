"""What makes a site of the pages that are read in the repository as well: see ``mkdocs.yml``.

The README is its first page.  A link out of ``docs/`` leads to nothing on the site, so its text
stays alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """The README becomes the page ``index.md``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=_LINK.sub(_of_readme, text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Links to the README lead to its page."""
    return markdown if page.file.src_uri == "index.md" else _LINK.sub(_of_page, markdown)


def _of_readme(link: re.Match[str]) -> str:
    text, target = link.groups()
    if target.startswith("docs/"):
        return f"{text}({target.removeprefix('docs/')})"
    return link[0] if "://" in target or target.startswith("#") else text[1:-1]


def _of_page(link: re.Match[str]) -> str:
    text, target = link.groups()
    if target.startswith("../README.md"):
        return f"{text}(index.md{target.removeprefix('../README.md')})"
    return text[1:-1] if target.startswith("../") else link[0]

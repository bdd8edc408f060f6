"""What pages name is there: every path of this tree that the README or a page of docs/ has in backticks."""

import re
from collections.abc import Iterator

from tree import Tree

# Why something was decided, then: what it names may have moved.
HISTORY = "docs/decisions/"


def paths(text: str) -> list[str]:
    """What looks like a path, without a placeholder: a folder's ends with a slash, a file's has an ending."""
    found = re.findall(r"`([a-z][\w.-]*/(?:[\w.-]*/)*(?:[\w-]+\.[\w.-]+)?)`", text)
    return [path for path in found if not re.search(r"(^|/)[A-Z]{2,}(/|$)", path)]


def check(tree: Tree) -> Iterator[str]:
    top = {path.split("/")[0] for path in tree.files if "/" in path}
    for page in ["README.md", *tree.ending(".md", "docs/"), *tree.ending(".md", "bench/")]:
        if page.startswith(HISTORY):
            continue
        for path in paths(tree.text(page)):
            if path.split("/")[0] in top and not tree.has(path):
                yield f"{page}: there is no {path}"

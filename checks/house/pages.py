"""What pages name is there: every path of this tree that a page has in backticks, every page and heading
that one links to."""

import os
import re
from collections.abc import Iterator

from tree import Tree

# Why something was decided, then: what it names may have moved.
HISTORY = "docs/decisions/"


def paths(text: str) -> list[str]:
    """What looks like a path, without a placeholder: a folder's ends with a slash, a file's has an ending."""
    found = re.findall(r"`([a-z][\w.-]*/(?:[\w.-]*/)*(?:[\w-]+\.[\w.-]+)?)`", text)
    return [path for path in found if not re.search(r"(^|/)[A-Z]{2,}(/|$)", path)]


def anchors(text: str) -> set[str]:
    """What a forge calls a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(tree: Tree, page: str) -> Iterator[str]:
    """Links into this tree that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", tree.text(page)):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        there = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not tree.has(there):
            yield f"{page}: the link to {target} leads nowhere"
        elif anchor and anchor not in anchors(tree.text(there)):
            yield f"{page}: {there} has no heading #{anchor}"


def check(tree: Tree) -> Iterator[str]:
    top = {path.split("/")[0] for path in tree.files if "/" in path}
    for page in tree.ending(".md"):
        yield from links(tree, page)
        if page.startswith(HISTORY):
            continue
        for path in paths(tree.text(page)):
            if path.split("/")[0] in top and not tree.has(path):
                yield f"{page}: there is no {path}"

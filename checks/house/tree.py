"""What no compiler says about the files of a tree: which there are, which nobody compiles, which are too
long to read, which are not finished."""

import os
import re
import subprocess
from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONGEST = 500


class Tree:
    """The files of a checkout that git knows, or would."""

    def __init__(self, root: str):
        self.root = root
        words = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        self.files = sorted(path for path in listed if os.path.isfile(self.path(path)))
        self.texts: dict[str, str] = {}

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def text(self, name: str) -> str:
        if name not in self.texts:
            with open(self.path(name), encoding="utf-8") as file:
                self.texts[name] = file.read()
        return self.texts[name]

    def ending(self, ending: str, under: str = "") -> list[str]:
        return [path for path in self.files if path.endswith(ending) and path.startswith(under)]

    def has(self, name: str) -> bool:
        return os.path.exists(self.path(name))


def code(text: str) -> list[str]:
    """The lines that are neither blank nor comment, up to the tests at the end of a file."""
    lines = []
    for line in text.splitlines():
        if line.startswith("#[cfg(test)]"):
            break
        if line.strip() and not line.strip().startswith("//"):
            lines.append(line)
    return lines


def parents(path: str) -> list[str]:
    """The files that may declare a file as their module."""
    folder = os.path.dirname(path)
    if os.path.basename(path) == "mod.rs":
        folder = os.path.dirname(folder)
    last = os.path.basename(folder)
    if last == "src":
        return [f"{folder}/lib.rs", f"{folder}/main.rs"]
    if "/src/" in folder or last not in ("tests", "examples", "benches"):
        return [f"{folder}.rs", f"{folder}/mod.rs", f"{folder}/main.rs"]
    return [f"{folder}/*"]


def is_root(tree: Tree, path: str) -> bool:
    """Compiled by itself: cargo finds it, or is told of it."""
    if path.startswith("fuzz/fuzz_targets/"):  # cargo finds none there that is not named
        return f'\npath = "{path.removeprefix("fuzz/")}"' in tree.text("fuzz/Cargo.toml")
    return bool(re.search(r"/src/(lib|main)\.rs$|/src/bin/[^/]+\.rs$|/build\.rs$|/(tests|examples|benches)/([^/]+|[^/]+/main)\.rs$", path))


def orphans(tree: Tree) -> Iterator[str]:
    sources = tree.ending(".rs")
    named = {os.path.basename(found) for path in sources for found in re.findall(r'#\[path = "([^"]+)"\]', tree.text(path))}
    for path in sources:
        name = os.path.basename(path)
        if is_root(tree, path) or name in named:
            continue
        module = os.path.basename(os.path.dirname(path)) if name == "mod.rs" else name.removesuffix(".rs")
        declares = re.compile(rf"^\s*(pub(\([a-z ]+\))? )?mod {module};", re.MULTILINE)
        known: list[str] = []
        for parent in parents(path):
            known += [each for each in sources if os.path.dirname(each) == parent[:-2]] if parent.endswith("/*") else [parent]
        if not any(each in sources and each != path and declares.search(tree.text(each)) for each in known):
            yield f"{path}: no `mod` names it, so nobody compiles it"


def shape(tree: Tree) -> Iterator[str]:
    for path in tree.ending(".rs"):
        if path.endswith("/tests.rs") or "/tests/" in path:
            continue
        if not tree.text(path).startswith("//!"):
            yield f"{path}: its first line does not say what it is for (//!)"
        lines = len(code(tree.text(path)))
        if lines > LONGEST:
            yield f"{path}: {lines} lines of code, more than {LONGEST}"


def unfinished(tree: Tree) -> Iterator[str]:
    for path in tree.ending(".rs"):
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if re.search(r"\b(todo|unimplemented)!|#\[ignore", line):
                yield f"{path}:{number}: unfinished code, or a test that does not run: {line.strip()}"


def check(tree: Tree) -> Iterator[str]:
    if not tree.ending(".rs"):
        yield "no sources found: is this a git checkout?"
    yield from orphans(tree)
    yield from shape(tree)
    yield from unfinished(tree)

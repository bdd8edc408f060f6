"""What is where: the binary holds commands and no logic, and what processes tell each other has its types
in link/ and nowhere else."""

import re
from collections.abc import Iterator

from tree import Tree, code

# The binary's modules beside the commands.
WIRING = {"main", "ask", "gates", "kubernetes", "logging", "manifests", "screen"}
# Lines of code of the whole binary.
WHOLE = 4500
# What a command has no use for, and why it is taken for logic.
LOGIC = {
    r"\bimpl Agent\b|\bstruct Agent\b": "the agent is a library",
    r"\bDeserialize\b": "what others send is read by a library",
    r"#\[(tokio::)?test\]": "what is worth a unit test belongs into a library",
    r"\bunsafe\b": "a command is safe",
}
# Who takes part in what link/ types.
SPEAKERS = ("agent/", "lab/", "proxy/", "weir/")
FEWEST = 3
# What says which object is meant says nothing of a protocol.
OBJECT = {"kind", "name", "namespace"}


def command(path: str) -> str:
    """The module of the binary that a file belongs to."""
    return path.removeprefix("weir/src/").split("/")[0].removesuffix(".rs")


def binary(tree: Tree) -> Iterator[str]:
    size = 0
    for path in tree.ending(".rs", "weir/src/"):
        name, text = command(path), tree.text(path)
        size += len(code(text))
        if name not in WIRING and not name.endswith("_command"):
            yield f"{path}: neither a command nor wiring; logic has a crate"
        for pattern, why in LOGIC.items():
            if name not in WIRING and (found := re.search(pattern, text)):
                yield f"{path}: {why} (it has {found[0]})"
    if size > WHOLE:
        yield f"weir/src/: {size} lines of code, more than {WHOLE} for commands and wiring"


def types(text: str) -> dict[str, set[str]]:
    """The types of a file that are read from bytes, each with its fields or variants."""
    found = {}
    for each in re.finditer(r"#\[derive\([^\]]*\bDeserialize\b[^\]]*\)\]\s*(?:#\[[^\]]*\]\s*|///[^\n]*\n\s*)*(?:pub(?:\([^)]*\))? )?(struct|enum) (\w+)[^{;(]*\{(.*?)\n\}", text, re.DOTALL):
        kind, name, body = each.groups()
        names = r"^    (?:pub(?:\([^)]*\))? )?(\w+):" if kind == "struct" else r"^    (\w+)\s*[,({]"
        found[name] = set(re.findall(names, body, re.MULTILINE))
    return found


def protocols(tree: Tree) -> Iterator[str]:
    ours = {name: (path, fields) for path in tree.ending(".rs", "link/src/") for name, fields in types(tree.text(path)).items()}
    for path in tree.ending(".rs"):
        if not path.startswith(SPEAKERS) or "/tests/" in path or path.endswith("/tests.rs"):
            continue
        for name, fields in types(tree.text(path)).items():
            if name in ours:
                yield f"{path}: {name} is declared in {ours[name][0]} too: use that"
                continue
            for other, (place, known) in ours.items():
                if len(fields) >= FEWEST and fields <= known and not fields <= OBJECT:
                    yield f"{path}: {name} repeats {other} of {place}: {', '.join(sorted(fields))}"


def check(tree: Tree) -> Iterator[str]:
    yield from binary(tree)
    yield from protocols(tree)

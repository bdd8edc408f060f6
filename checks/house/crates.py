"""The crates: who may use whom, what each must declare, and their graph in the README."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator

from tree import Tree

# Whom a crate may use. Another arrow is a change of the design: docs/decisions says why, then this.
ARROWS = {
    "abi": "",
    "gate": "",
    "policy": "",
    "redirector": "abi link policy",
    "takeover": "abi link policy redirector",
    "link": "abi gate policy",
    "proxy": "abi gate link policy",
    "cluster": "policy",
    "observe": "abi gate link policy",
    "agent": "abi cluster gate link observe policy redirector",
    "lab": "cluster link policy",
    "remote": "link observe policy",
    "ui": "gate observe",
    "weir": "abi agent cluster gate lab link observe policy proxy redirector remote takeover ui",
    "ebpf": "abi",
    "fuzz": "cluster link policy proxy",
}
# Who may name a crate of others.
FOREIGN = {"aya": "abi redirector takeover", "aya-ebpf": "ebpf", "kube": "agent cluster remote weir"}
# What tests compare their own crate with.
COMPARED = {("weir-redirector", "weir-proxy")}
# Whose crates must not be anywhere below, and what.
NEVER = {"proxy": ["aya", "kube", "k8s-openapi"], "policy": ["tokio", "tracing", "nix"], "gate": ["kube"]}
# Those that may hold `unsafe`, each with its reasons beside the code.
UNSAFE = {"abi", "ebpf", "fuzz", "lab", "link", "proxy", "redirector", "takeover"}
WORKSPACES = ["Cargo.toml", "ebpf/Cargo.toml", "fuzz/Cargo.toml"]
BEGIN, END = "<!-- drawn by checks/house/check.py --write -->\n", "<!-- end -->\n"


def short(name: str) -> str:
    return name.removeprefix("weir-")


def cargo(root: str, *words: str) -> str:
    return subprocess.run(["cargo", *words, "--locked"], check=True, capture_output=True, text=True, cwd=root).stdout


def metadata(root: str) -> dict[str, set[str]]:
    """Each crate of ours with all that it names, for whatever it is used."""
    found: dict[str, set[str]] = {}
    for manifest in WORKSPACES:
        told = json.loads(cargo(root, "metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest))
        for package in told["packages"]:
            name = short(package["name"])
            # Tests may look at the kernel and the API by themselves.
            shipped = [each for each in package["dependencies"] if each["kind"] != "dev" or each["name"] not in FOREIGN]
            named = {each["name"] for each in shipped if each["kind"] != "dev" or (package["name"], each["name"]) not in COMPARED}
            found[name] = {short(each) for each in named} - {name}
    return found


def arrows(graph: dict[str, set[str]]) -> Iterator[str]:
    for crate, uses in sorted(graph.items()):
        if crate not in ARROWS:
            yield f"{crate}: checks/house/crates.py does not know this crate; whom may it use?"
            continue
        for other in sorted(uses & graph.keys() - set(ARROWS[crate].split())):
            yield f"{crate} uses {other}: no arrow of the design (checks/house/crates.py)"
        for foreign, users in FOREIGN.items():
            if foreign in uses and crate not in users.split():
                yield f"{crate} names {foreign}, which only {users.replace(' ', ' and ')} may"


def depths(root: str) -> Iterator[str]:
    """What a crate brings along is told by cargo for that crate alone: features of others do not count."""
    for crate, never in NEVER.items():
        told = cargo(root, "tree", "--package", f"weir-{crate}", "--edges", "normal", "--prefix", "none", "--format", "{p}")
        below = {line.split()[0] for line in told.splitlines() if line}
        for name in sorted(below & set(never)):
            yield f"{crate} stands on {name}, which it must never see (cargo tree -p weir-{crate} -i {name})"


def manifests(tree: Tree) -> Iterator[str]:
    workspace = tomllib.loads(tree.text("Cargo.toml"))["workspace"]
    pins = {name: each if isinstance(each, str) else each.get("version") for name, each in workspace["dependencies"].items()}
    for path in tree.ending("Cargo.toml"):
        told = tomllib.loads(tree.text(path))
        if "package" not in told:
            continue
        name = short(told["package"]["name"])
        apart = path.startswith(("ebpf/", "fuzz/"))  # workspaces of their own
        if not path.startswith("ebpf/") and told.get("lints", {}).get("workspace") is not True:
            yield f"{path}: the workspace's lints are not switched on"
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for other, how in told.get(kind, {}).items():
                version = how if isinstance(how, str) else how.get("version")
                if not apart and not (isinstance(how, dict) and how.get("workspace")):
                    yield f"{path}: {other} has a version of its own; it belongs into [workspace.dependencies]"
                if apart and version and pins.get(other, version) != version:
                    yield f"{path}: {other} is {version}, and {pins[other]} in the workspace"
        if name not in UNSAFE:
            folder = path.removesuffix("Cargo.toml")
            roots = [each for each in (f"{folder}src/lib.rs", f"{folder}src/main.rs") if each in tree.files]
            for root in roots:
                if "#![forbid(unsafe_code)]" not in tree.text(root):
                    yield f"{root}: without #![forbid(unsafe_code)]"


def root_tests(tree: Tree) -> Iterator[str]:
    """What is left out without root is there under that name, and so is what of it needs none."""
    for path in tree.ending("Cargo.toml"):
        told = tomllib.loads(tree.text(path)).get("package", {}).get("metadata", {}).get("weir", {})
        folder = path.removesuffix("Cargo.toml") + "tests/"
        for target, rest in told.get("root-tests", {}).items():
            texts = "".join(tree.text(each) for each in tree.ending(".rs", folder + target))
            if not tree.has(f"{folder}{target}.rs") and not tree.has(f"{folder}{target}/main.rs"):
                yield f"{path}: there is no test {target} that could be left out"
            for name in rest:
                last = name.strip(":").split("::")[-1]
                if not re.search(rf"\b(fn|mod) {last}\b", texts):
                    yield f"{path}: there is no {name} in the test {target}"


def drawn(graph: dict[str, set[str]]) -> str:
    """The graph for the README. The binary uses nearly all, which would hide the rest: of its arrows
    those are drawn that nobody else has."""
    used = {other for crate, uses in graph.items() if crate not in ("weir", "fuzz") for other in uses}
    lines = ["```mermaid", "flowchart TD"]
    for crate, uses in sorted(graph.items()):
        ours = sorted(uses & graph.keys() - (used if crate == "weir" else set()))
        if ours:
            lines.append(f"    {crate} --> {' & '.join(ours)}")
    return "\n".join([*lines, "```"]) + "\n"


def readme(tree: Tree, graph: dict[str, set[str]]) -> str | None:
    """The README with the graph as it is; None where it has no place for it."""
    text = tree.text("README.md")
    if text.count(BEGIN) != 1 or END not in text.split(BEGIN)[1]:
        return None
    before, after = text.split(BEGIN)
    return before + BEGIN + drawn(graph) + END + after.split(END, 1)[1]


def check(tree: Tree, graph: dict[str, set[str]]) -> Iterator[str]:
    yield from arrows(graph)
    yield from depths(tree.root)
    yield from manifests(tree)
    yield from root_tests(tree)
    wanted = readme(tree, graph)
    if wanted is None:
        yield f"README.md: no place for the graph of the crates ({BEGIN.strip()} ... {END.strip()})"
    elif wanted != tree.text("README.md"):
        yield "README.md: the graph of the crates is not as it is: run checks/house/check.py --write"
    for name in re.findall(r"^([a-z]+)/ ", tree.text("README.md"), re.MULTILINE):
        if not tree.has(name):
            yield f"README.md: there is no {name}/"

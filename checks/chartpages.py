"""What is written about the chart from what it is: the table of values in its README, and the
annotations of Artifact Hub in its Chart.yaml."""
import os
import re

import deploytools as tools

README = "deploy/helm/weir/README.md"
CHART = "deploy/helm/weir/Chart.yaml"
BEGIN, END = "<!-- made by checks/deploy.py --write from values.yaml -->\n", "<!-- end -->\n"
# Where Chart.yaml ends that is written by hand.
MADE = "  # Made by checks/deploy.py --write: definitions, image, and the newest section of CHANGELOG.md.\n"
# Words of CHANGELOG.md's headings, and what Artifact Hub calls them.
CHANGES = {"Added": "added", "Changed": "changed", "Fixed": "fixed", "Removed": "removed", "Security": "security"}


def text(path):
    with open(os.path.join(tools.ROOT, path)) as file:
        return file.read()


def values():
    """Each value of values.yaml: its path, its default as written, and the comment above it; of what has
    values below it the comment only."""
    rows: list[tuple[str, str, str]] = []
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text("deploy/helm/weir/values.yaml").splitlines():
        if not line.strip():
            comment = []
            continue
        depth = len(line) - len(line.lstrip())
        if line.lstrip().startswith("# "):
            comment.append(line.strip()[2:])
            continue
        if line.lstrip().startswith("- "):  # an item of the list before it
            name, default, what = rows[-1]
            rows[-1] = (name, f"[{{{line.strip()[2:]}}}]", what)
            continue
        key, _, default = line.strip().partition(":")
        path = [*(each for each in path if each[0] < depth), (depth, key)]
        name = ".".join(each for _, each in path)
        rows.append((name, default.strip(), " ".join(comment)))
        comment = []
    return [row for row in rows if row[1] or row[2]]


def table():
    """The values as a table, as Markdown."""
    lines = ["| value | default | what |", "|---|---|---|"]
    for name, default, what in values():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name}` | {shown} | {what.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def readme():
    page = text(README)
    if page.count(BEGIN) != 1 or END not in page.split(BEGIN)[1]:
        tools.fail(f"{README}: no place for the values ({BEGIN.strip()} ... {END.strip()})")
    before, after = page.split(BEGIN)
    return before + BEGIN + table() + END + after.split(END, 1)[1]


def newest():
    """The version of the newest section of CHANGELOG.md, and its entries: (kind, sentence)."""
    sections = re.split(r"^## ", text("CHANGELOG.md"), flags=re.M)[1:]
    entries, kind = [], None
    for line in sections[0].splitlines()[1:]:
        if line.startswith("### "):
            kind = CHANGES[line[4:].strip()]
        elif line.startswith("- "):
            entries.append((kind, line[2:]))
    return sections[0].split()[0], entries


def chart():
    """Chart.yaml with Artifact Hub's annotations made anew."""
    import yaml

    head, mark, _ = text(CHART).partition(MADE)
    if not mark:
        tools.fail(f"{CHART}: no line {MADE.strip()!r}")
    crds = []
    for each in tools.kustomize("deploy/crds"):
        names, version = each["spec"]["names"], each["spec"]["versions"][0]
        described = version["schema"]["openAPIV3Schema"]["description"]
        crds.append({"kind": names["kind"], "version": version["name"], "name": each["metadata"]["name"],
                     "displayName": names["kind"], "description": described})  # fmt: skip
    version, entries = newest()
    image = yaml.safe_load(text("deploy/helm/weir/values.yaml"))["image"]["repository"]
    made = {
        "crds": crds,
        "images": [{"name": "weir", "image": f"{image}:{version}", "platforms": ["linux/amd64"]}],
        "changes": [{"kind": kind, "description": said.replace("`", "")} for kind, said in entries],
    }
    for key, value in made.items():
        body = yaml.safe_dump(value, sort_keys=False, width=1000, allow_unicode=True)
        head_line = f"  artifacthub.io/{key}: |\n"
        mark += head_line + "".join(f"    {line}\n" for line in body.splitlines())
    return head + mark


def check():
    """The versions of Chart.yaml are those of the tree, and what Artifact Hub reads is well-formed."""
    import yaml

    described = yaml.safe_load(text(CHART))
    version = re.search(r'^version = "(.*)"', text("Cargo.toml"), re.M)
    assert version, "Cargo.toml has no version"
    wanted = {"version": version[1], "appVersion": version[1]}
    told = {key: described[key] for key in wanted}
    if told != wanted or newest()[0] != version[1]:
        tools.fail(f"versions differ: Cargo.toml {version[1]}, Chart.yaml {told}, CHANGELOG.md {newest()[0]}")
    hub = {key.removeprefix("artifacthub.io/"): value for key, value in described["annotations"].items()}
    lists = {"crds": {"kind", "version", "name", "displayName", "description"}, "images": {"name", "image", "platforms"}, "changes": {"kind", "description"}}
    for key, fields in lists.items():
        each = yaml.safe_load(hub[key])
        assert each and all(set(one) == fields for one in each), f"artifacthub.io/{key}"
    assert all(one["kind"] in CHANGES.values() for one in yaml.safe_load(hub["changes"]))
    assert hub["category"] in ("security", "networking") and hub["license"] == "Apache-2.0", hub
    silent = [name for name, _, what in values() if not what and not name.endswith((".requests", ".limits"))]
    if silent:
        tools.fail(f"deploy/helm/weir/values.yaml: no comment says what these do: {', '.join(silent)}")
    print(f"Chart.yaml: version {version[1]}, {len(yaml.safe_load(hub['changes']))} changes, {len(values())} values in {README}")

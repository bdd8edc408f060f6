#!/usr/bin/env python3
"""Writes the CycloneDX list of what the static binary is made of.

    deploy/sbom.py TARGET

cargo-sbom knows every crate of the lock file; here stay those that cargo compiles into `weir` for
the target, and into the kernel programs inside it. Added: glibc, and what the page is bundled from.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.environ.get("WEIR_CACHE", os.path.expanduser("~/.cache/weir"))
FORMAT = "cyclone_dx_json_1_6"


def run(*words, folder="."):
    done = subprocess.run(words, check=False, cwd=os.path.join(ROOT, folder), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sbom.py: {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def compiled(folder, *options):
    """`{(name, version)}` of what cargo links in there."""
    tree = run("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe", *options, folder=folder)
    lines = (line.split() for line in tree.splitlines() if line)
    return {(words[0], words[1].lstrip("v")) for words in lines}


def listed(folder, wanted, *options):
    tool = os.path.join(CACHE, "tools/bin/cargo-sbom")
    document = json.loads(run(tool, "sbom", "--output-format", FORMAT, *options, folder=folder))
    document["components"] = [each for each in document["components"] if (each["name"], each["version"]) in wanted]
    missing = wanted - {(each["name"], each["version"]) for each in document["components"]}
    # The list is about the root of a workspace: it is not one of its own parts.
    missing = {each for each in missing if each[0] not in ("weir", "weir-ebpf")}
    if missing:
        sys.exit(f"sbom.py: cargo-sbom does not list {sorted(missing)}")
    return document


def glibc():
    version = run("dpkg-query", "-Wf", "${Version}", "libc6-dev")
    return {
        "type": "library",
        "bom-ref": "glibc",
        "name": "glibc",
        "version": version,
        "description": "GNU C Library, linked statically",
        "licenses": [{"expression": "LGPL-2.1-or-later"}],
        "purl": f"pkg:deb/debian/glibc@{version}",
    }


def page():
    """The packages that are bundled into the page of `weir ui`."""
    with open(os.path.join(ROOT, "ui/web/package-lock.json")) as file:
        packages = json.load(file)["packages"]
    for path, each in packages.items():
        if path and not any(each.get(word) for word in ("dev", "optional", "devOptional")):
            name = path.removeprefix("node_modules/")
            purl = f"pkg:npm/{name.replace('@', '%40')}@{each['version']}"
            yield {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": each["version"],
                "licenses": [{"expression": each["license"]}],
                "purl": purl,
            }


def main():
    document = listed(".", compiled(".", "-p", "weir", "--target", sys.argv[1]), "--cargo-package", "weir")
    kernel = listed("ebpf", compiled("ebpf"))
    known = {each["bom-ref"] for each in document["components"]}
    document["components"] += [each for each in kernel["components"] if each["bom-ref"] not in known]
    document["components"] += [glibc(), *page()]
    document["components"].sort(key=lambda each: each["bom-ref"])
    kept = {each["bom-ref"] for each in document["components"]}
    for each in document["dependencies"]:
        each["dependsOn"] = [other for other in each.get("dependsOn", []) if other in kept]
    document["dependencies"] = [each for each in document["dependencies"] if each["ref"] in kept]
    # The same sources give the same list.
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()

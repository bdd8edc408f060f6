#!/usr/bin/env python3
"""Holds the tree against the plan of the house (README.md, docs/architecture.md).

    checks/house/check.py           says what is wrong, and ends with 1
    checks/house/check.py --write   draws the crates' graph in the README anew

Files that nobody compiles or finishes, arrows between crates that the design does not have, logic in the
binary, protocol types that are declared twice, pages that name what is not there.
"""

import sys

sys.dont_write_bytecode = True

import crates  # noqa: E402
import pages  # noqa: E402
import rooms  # noqa: E402
import tree  # noqa: E402

# What is still to be done, as the beginning of what is said about it. One of which nothing is left is
# told, so that this list ends.
PENDING: list[str] = []


def wrong(where: tree.Tree, graph: dict[str, set[str]], pending: list[str]) -> list[str]:
    said = [*tree.check(where), *crates.check(where, graph), *rooms.check(where), *pages.check(where)]
    left = [each for each in said if not each.startswith(tuple(pending))]
    done = [each for each in pending if not any(one.startswith(each) for one in said)]
    return left + [f"checks/house/check.py: nothing is left of {each!r}: take it off PENDING" for each in done]


def main() -> None:
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    where = tree.Tree(tree.ROOT)
    graph = crates.metadata(where.root)
    if sys.argv[1:] and (text := crates.readme(where, graph)):
        with open(where.path("README.md"), "w") as file:
            file.write(text)
        where = tree.Tree(tree.ROOT)
    said = wrong(where, graph, PENDING)
    sys.exit("\n".join(said) if said else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the dashboards' JSON beside this file.

  dashboards/generate.py           write it
  dashboards/generate.py --check   fail where it is not what this script makes
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from health import health  # noqa: E402  (no bytecode before them)
from traffic import http, overview, verdicts  # noqa: E402

ALL = {
    "weir-overview.json": overview,
    "weir-http-by-workload.json": http,
    "weir-policy-verdicts.json": verdicts,
    "weir-node-health.json": health,
}


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    old = []
    for name, make in ALL.items():
        path, text = os.path.join(HERE, name), json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if not sys.argv[1:]:
            with open(path, "w") as file:
                file.write(text)
        elif not os.path.exists(path) or open(path).read() != text:
            old.append(f"dashboards/{name} is not what dashboards/generate.py makes: run it")
    if old:
        sys.exit("\n".join(old))


main()

"""The dashboards' expressions, as Grafana would send them."""

import glob
import json
import os
import re

from labcheck import ROOT

FILES = sorted(glob.glob(os.path.join(ROOT, "dashboards/*.json")))
# What is chosen in the variables: everything, and the rules of the server's side.
CHOSEN = {"reporter": "server"}
ALL = ".*"


def boards():
    return [json.load(open(path)) for path in FILES]


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def filled(expression, seconds, **chosen):
    """With its variables replaced; `seconds` is the time over which rates are made."""
    expression = re.sub(r"\$__(rate_interval|range|interval)\b", f"{seconds}s", expression)
    return re.sub(r"\$\{?([a-z]\w*)\}?", lambda found: (CHOSEN | chosen).get(found[1], ALL), expression)


def expressions(board):
    """Title and expression of each query of its panels, then of its variables."""
    found = [(panel["title"], target["expr"]) for panel in panels(board) for target in panel["targets"]]
    lists = [(one["name"], one["query"]["query"]) for one in board["templating"]["list"] if one["type"] == "query"]
    return found, lists


def panel(title):
    """The one panel of that title."""
    (found,) = [one for board in boards() for one in panels(board) if one["title"] == title]
    return found

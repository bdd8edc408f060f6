#!/usr/bin/env python3
"""Reads dashboards/ and deploy/monitoring/ without running them.

The dashboards are what dashboards/generate.py makes, fit Grafana's published schema (@grafana/schema
of the very version that deploy/monitoring runs), and ask for metrics that there are; the rules pass
promtool, and each has a test in which it has a result; what `kubectl kustomize` renders fits the
OpenAPI schemas of Kubernetes, and runs with the least of privileges.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import deploytools
from boards import FILES as BOARDS, expressions, panel as panel_of, panels
from labcheck import PROMETHEUS, ROOT, node

RULES = sorted(glob.glob(os.path.join(ROOT, "dashboards/rules/*.yaml")))
MONITORING = os.path.join(ROOT, "deploy/monitoring")
PLUGINS = {"heatmap": "HeatmapPanelCfg", "timeseries": "TimeSeriesPanelCfg", "stat": "StatPanelCfg", "table": "TablePanelCfg"}
# What Prometheus' plugin reads of an annotation, which Grafana's own schema does not have.
PROMETHEUS_OWN = {"expr", "step", "useValueForTime", "titleFormat", "textFormat", "tagKeys"}
# What Prometheus itself and our rules say, besides what docs/metrics.md lists.
OTHERS = {"up", "ALERTS"}


def run(what, *words, **options):
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{what}:\n{done.stdout}{done.stderr}")
    return done.stdout


def schema(version):
    """TypeScript's compiler holds every dashboard against the types of @grafana/schema."""
    folder = os.path.join(ROOT, "target/grafana-schema")
    own, npm = node()
    os.makedirs(folder, exist_ok=True)
    wanted = {"@grafana/schema": version, "typescript": "5.9.3"}
    manifest = os.path.join(folder, "package.json")
    if not os.path.exists(manifest) or json.load(open(manifest)).get("dependencies") != wanted:
        packages = [f"{name}@{number}" for name, number in wanted.items()]
        run("npm", *npm, "install", "--silent", "--no-audit", "--no-fund", "--save-exact", "--prefix", folder, *packages)
    types = "@grafana/schema/dist/types/raw/composable"
    text = ["import type { Dashboard } from '@grafana/schema';"]
    text += [f"import type * as {plugin} from './node_modules/{types}/{plugin}/panelcfg/x/{folder_name}_types.gen';"
             for plugin, folder_name in sorted(PLUGINS.items())]
    # JSON has the values of string enums, not their names.
    text.append("type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[] : "
                "T extends object ? { [K in keyof T]: Json<T[K]> } : T;")
    for path in BOARDS:
        board = json.load(open(path))
        for each in board["annotations"]["list"]:
            for key in PROMETHEUS_OWN:
                del each[key]
        text.append(f"(): Json<Dashboard> => ({json.dumps(board)});")
        for panel in panels(board):
            assert panel["type"] in PLUGINS, panel["type"]
            text.append(f"(): Json<{panel['type']}.Options> => ({json.dumps(panel['options'])});")
            if panel["type"] not in ("stat", "heatmap"):
                custom = panel["fieldConfig"]["defaults"]["custom"]
                text.append(f"(): Json<{panel['type']}.FieldConfig> => ({json.dumps(custom)});")
    with open(os.path.join(folder, "check.ts"), "w") as file:
        file.write("\n".join(text))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    run("a dashboard does not fit Grafana's schema", *own, "node_modules/typescript/bin/tsc", *options, "check.ts", cwd=folder)


def metrics():
    """Every metric that a dashboard or rule asks for is one that the agent or a rule makes."""
    page = open(os.path.join(ROOT, "docs/metrics.md")).read()
    known = set(re.findall(r"^\| `(\w+)`", page, re.M)) | OTHERS
    text = "".join(open(path).read() for path in RULES)
    recorded = set(re.findall(r"record: (\S+)", text))
    asked = set()
    for path in BOARDS:
        found, lists = expressions(json.load(open(path)))
        asked |= {name for _, one in found + lists for name in re.findall(r"\b(?:weir|hubble|process)_\w+|\bup\b", one)}
    asked |= set(re.findall(r"\b(?:weir|hubble|process)_\w+\b", text))
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name for name in asked}
    missing = bare - known
    assert not missing, f"no such metric: {missing}"
    return recorded


def rules(recorded):
    """promtool takes the rules, their tests pass, and each rule has a result in one."""
    promtool = os.path.join(PROMETHEUS, "promtool")
    run("promtool check rules", promtool, "check", "rules", *RULES)
    tests = sorted(glob.glob(os.path.join(ROOT, "dashboards/rules/tests/*.yaml")))
    run("promtool test rules", promtool, "test", "rules", *tests)
    shown = set()
    for path in tests:
        for one in re.split(r"\n\s+- (?=\{?expr)", open(path).read())[1:]:
            if "exp_samples: []" not in one and "value:" in one:
                shown |= set(re.findall(r'weir:\w+(?::\w+)?|(?<=alertname=")\w+', one.split("exp_samples")[0]))
    alerts = set(re.findall(r"alert: (\S+)", "".join(open(path).read() for path in RULES)))
    missing = (alerts | recorded) - shown
    assert not missing, f"no test shows a result of {missing}"
    runbooks(alerts)


def runbooks(alerts):
    """Each alert leads to a section of its own that says what to look at and what to do, and no other has one."""
    import yaml

    page = open(os.path.join(ROOT, "docs/runbooks.md")).read()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    assert sections.keys() == alerts, f"docs/runbooks.md and the alerts differ: {sections.keys() ^ alerts}"
    for name, text in sections.items():
        parts = re.findall(r"^\*\*(\w+)\.\*\* .{20}", text, re.M)
        assert parts == ["Traffic", "Look", "Do"], f"docs/runbooks.md, {name}: {parts}"
    for group in yaml.safe_load(open(os.path.join(ROOT, "dashboards/rules/alerts.yaml")))["groups"]:
        for rule in group["rules"]:
            url = f"docs/runbooks.md#{rule['alert'].lower()}"
            assert rule["annotations"]["runbook_url"] == url, f"{rule['alert']}: no link to {url}"


def said():
    """Every panel and variable says what it is, every query is of the chosen clusters and nodes, every board
    marks changes of policies, and what is denied leads to the map."""
    links = 0
    for path in BOARDS:
        board = json.load(open(path))
        (mark,) = board["annotations"]["list"]
        assert "weir_policies_changed_timestamp_seconds" in mark["expr"] and mark["useValueForTime"], path
        chosen = {one["name"] for one in board["templating"]["list"]}
        assert chosen >= {"datasource", "cluster", "node", "map"}, f"{path}: {chosen}"
        for one in [*panels(board), *board["templating"]["list"]]:
            name = one.get("title") or one["name"]
            assert len(one.get("description") or "") >= 20, f"{path}: nothing says what {name} is"
        found, _ = expressions(board)
        for title, expression in found:
            selectors = re.findall(r"(?:weir|hubble|process)_\w+(\{[^}]*\})?|\bup(\{[^}]*\})", expression)
            assert all('cluster=~"$cluster",node=~"$node"' in "".join(one) for one in selectors), f"{path}: {title}: {expression}"
        for panel in panels(board):
            of = panel["fieldConfig"]["defaults"].get("links", [])
            links += len(of)
            assert all(one["url"].startswith("${map}/#") for one in of), of
            assert bool(of) == panel["title"].startswith("Denials"), f"{path}: {panel['title']}: {of}"
    assert links >= 3, f"{links} links to the map"
    for title, worst in (("Success rate", "red"), ("p99", "red"), ("Fill of the maps", "red")):
        steps = panel_of(title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert len(steps) == 3 and worst in (step["color"] for step in steps), f"{title}: {steps}"


def containers(rendered):
    """No container can more than it needs; nothing secret is in the tree."""
    for thing in rendered:
        assert thing["kind"] != "Secret", "a secret in the tree"
        if thing["kind"] != "Deployment":
            continue
        pod = thing["spec"]["template"]["spec"]
        name = thing["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        for one in pod["containers"]:
            context = one["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert set(one["resources"]["limits"]) >= {"memory"} and one["resources"]["requests"], name
            assert re.search(r":v?\d+\.\d+\.\d+$", one["image"]), f"{one['image']} is not pinned"


def kustomize():
    """What one `kubectl apply -k` would apply."""
    kubernetes_validate = deploytools.schemas()
    text = run("kubectl kustomize deploy/monitoring", deploytools.binary("kubectl"), "kustomize", MONITORING)
    rendered = deploytools.objects(text)
    for thing in rendered:
        for version in deploytools.VERSIONS:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                sys.exit(f"{thing['kind']} {thing['metadata']['name']}, Kubernetes {version}: {error}")
        size = len(json.dumps(thing))
        assert size < 200_000, f"{thing['metadata']['name']}: {size} bytes do not fit beside their copy in an annotation"
    containers(rendered)
    data: dict[str, str] = {}
    for thing in rendered:
        data |= thing.get("data") or {}
    for path in BOARDS + RULES:
        assert data[os.path.basename(path)] == open(path).read(), path
    return rendered, data


def prometheus_config(data):
    """Debian's Prometheus is built without Kubernetes: checks/dashboards.py plays its part."""
    import yaml

    config = yaml.safe_load(data["prometheus.yml"])
    for job in config["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs"), "no pods are looked for"
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(config, file)
        file.flush()
        run("promtool check config", os.path.join(PROMETHEUS, "promtool"), "check", "config", "--syntax-only", file.name)


def main():
    run("dashboards/generate.py --check", os.path.join(ROOT, "dashboards/generate.py"), "--check")
    deploytools.schemas()
    rules(metrics())
    said()
    rendered, data = kustomize()
    prometheus_config(data)
    images = [one["image"] for thing in rendered if thing["kind"] == "Deployment"
              for one in thing["spec"]["template"]["spec"]["containers"]]
    grafana = next(image for image in images if "/grafana:" in image)
    schema(grafana.rsplit(":", 1)[1])
    print(f"{len(BOARDS)} dashboards, {len(RULES)} files of rules and deploy/monitoring read well")


main()

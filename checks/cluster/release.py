"""Weir on the test cluster: the chart, bridged for Kubernetes 1.20; what its agents may; what it leaves."""
import collections
import json
import os
import shutil

import nodes
from images import WEIR
from settings import LOGS, NODES, STATE, deploytools, fail, helm, kubectl, run, step, wait

SPACE = deploytools.NAMESPACE
# Empty folders may stay, and the flow log.
LEFT = r"""
find /sys/fs/bpf/weir /run/weir -mindepth 1 2>/dev/null
ls /run/netns /opt/cni/bin | grep weir
grep -l weir /etc/cni/net.d/*
ip -o link | grep weir
ip rule | grep -v 'lookup local\|lookup main\|lookup default'
nft list ruleset 2>/dev/null | grep weir
pidof weir >/dev/null && for pid in $(pidof weir); do tr '\0' ' ' </proc/$pid/cmdline | grep '^/weir agent\|^/weir proxy'; done
true
"""


def chart():
    """A copy that installs on 1.20: its least version, and the version of PodDisruptionBudgets."""
    copy = os.path.join(STATE, "chart")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(deploytools.CHART, copy)
    for path, old, new in (
        ("Chart.yaml", 'kubeVersion: ">=1.28.0-0"', 'kubeVersion: ">=1.20.0-0"'),
        ("templates/relay.yaml", "apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
        ("templates/webhook.yaml", "apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
    ):
        with open(os.path.join(copy, path)) as file:
            text = file.read()
        if old not in text:
            fail(f"the chart's {path} has no {old!r} to bridge")
        with open(os.path.join(copy, path), "w") as file:
            file.write(text.replace(old, new))
    return copy


def start(*options):
    repository = WEIR.rsplit(":", 1)[0]
    helm("upgrade", "--install", "weir", chart(), "--namespace", SPACE, "--create-namespace",
         "--set", f"image.repository={repository}", *options)  # fmt: skip


def install(*options):
    start(*options)
    kubectl("-n", SPACE, "rollout", "status", "daemonset/weir", "--timeout=180s")
    for name in kubectl("-n", SPACE, "get", "deployments", "-o", "name").stdout.split():
        kubectl("-n", SPACE, "rollout", "status", name, "--timeout=90s")


def agents():
    """Node: pod, of the pods that are no longer being replaced."""
    items = json.loads(kubectl("-n", SPACE, "get", "pods", "-l", "app.kubernetes.io/component=agent", "-o", "json").stdout)["items"]
    return {each["spec"]["nodeName"]: each["metadata"]["name"] for each in items if "deletionTimestamp" not in each["metadata"]}


def restarts():
    """Of each agent's container."""
    path = '{.items[*].status.containerStatuses[?(@.name=="agent")].restartCount}'
    found = kubectl("-n", SPACE, "get", "pods", "-l", "app.kubernetes.io/component=agent", "-o", f"jsonpath={path}").stdout.split()
    return [int(each) for each in found] if len(found) == len(NODES) else [0]


def check_status(when):
    """`weir status` of every node: all is well, and kernel and rules agree."""
    def well():
        said = {node: kubectl("-n", SPACE, "exec", pod, "-c", "agent", "--", "/weir", "status", ok=False) for node, pod in agents().items()}
        return len(said) == len(NODES) and all(each.returncode == 0 and "0 differ" in each.stdout for each in said.values())

    wait(f"{when}: weir status is well on both nodes", well, 90, 0.5)


def check_rights():
    """What the API server answered the agents: nothing was refused, and no right is unused."""
    used: collections.Counter[tuple[str, str]] = collections.Counter()
    refused = []
    with open(os.path.join(LOGS, "audit.log")) as file:
        for line in file:
            event = json.loads(line)
            of = event.get("objectRef", {})
            used[of.get("resource"), event["verb"]] += 1
            if event["responseStatus"].get("code") in (401, 403):
                refused.append(event["requestURI"])
    if refused:
        fail(f"the API server refused the agents: {refused}")
    for wanted in (("pods", "watch"), ("endpointslices", "watch"), ("ciliumnetworkpolicies", "patch"), ("events", "create")):
        if not used[wanted]:
            fail(f"the agents never asked for {wanted}")
    step(f"RBAC: {sum(used.values())} requests of the agents, none refused")


def kill(what):
    """Ends every node's agent or proxy without a word, as a crash does."""
    for name in NODES:
        script = f"for p in $(pidof weir); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^/weir {what} ' && kill -9 $p; done; true"
        run(*nodes.inside(name), "sh", "-c", script)


def uninstall():
    """Both steps of docs/install.md; then nothing of Weir may be on the nodes."""
    helm("upgrade", "weir", chart(), "--namespace", SPACE, "--reuse-values", "--set", "uninstall=true")
    kubectl("-n", SPACE, "rollout", "status", "daemonset/weir", "--timeout=120s")
    helm("uninstall", "weir", "--namespace", SPACE)
    for name in NODES:
        left = run(*nodes.inside(name), "sh", "-c", LEFT).stdout
        if left.strip():
            fail(f"left on {name} after the uninstall:\n{left}")
    step("uninstall: nothing is left on the nodes")

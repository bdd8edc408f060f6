#!/usr/bin/env python3
"""Installs Weir on a real Kubernetes cluster of two nodes, and uses it as its users do.

    checks/cluster/check.py              makes the cluster, checks, removes it
    checks/cluster/check.py --keep       leaves the cluster there (cluster.py down removes it)
    checks/cluster/check.py --present    checks on the cluster that is there
"""
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import plane
import release
import scenario
import traffic
from settings import PLANE, STATE, end, fail, kubectl, netns, step, wait

import cluster

POLICY = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}}}
spec:
  endpointSelector: {{matchLabels: {{app: nobody}}}}
  ingress:
    - fromEndpoints: [{peer}]
    - toPorts: [{{ports: [{{port: "{port}", protocol: TCP}}], rules: {{http: [{{path: "{path}"}}]}}}}]
"""
# A part that cannot be in force beside one that can.
HALF = {"name": "half", "peer": "{matchLabels: {app: sleep}}", "port": "80", "path": "/head(ers"}


def check_policies():
    """Good, bad and half bad policies: their conditions, their columns, their events."""
    good = {"name": "good", "peer": "{matchLabels: {app: sleep}}", "port": "80", "path": "/headers"}
    bad = {**good, "name": "bad", "port": "99999"}
    expected = {"good": ("True", "The policy is in force as written."), "bad": ("False", "`99999` is not a port"), "half": ("False", "is not a regular expression")}
    for each in (good, bad, HALF):
        cluster.apply(POLICY.format(**each))

    def said():
        items = json.loads(kubectl("get", "cnp", "-o", "json").stdout)["items"]
        found = {}
        for each in items:
            status = each.get("status", {})
            valid = next((one for one in status.get("conditions", []) if one["type"] == "Valid"), None)
            if valid and status.get("weir", {}).get("enforced") == "2/2":
                found[each["metadata"]["name"]] = (valid["status"], valid["message"])
        return found if found.keys() >= expected.keys() else None

    for name, (status, message) in wait("a status of every policy from both nodes", said, 30).items():
        if status != expected[name][0] or expected[name][1] not in message:
            fail(f"policy {name}: Valid is {status}: {message}")
    lines = kubectl("get", "cnp").stdout.splitlines()
    if not any(line.split()[:3] == ["half", "False", "2/2"] for line in lines):
        fail(f"kubectl get cnp: {lines}")
    wait("an event for the bad policy", lambda: "PolicyRefused" in kubectl("get", "events", "--field-selector", "involvedObject.name=bad").stdout, 30)
    kubectl("delete", "cnp", "--all")
    step("policies: conditions, columns and events, from both nodes")


def check_relay():
    """One denial on each node, seen through the relay by name."""
    there = traffic.pods()
    addresses = {node: there["server", node][1] for node in ("node1", "node2")}
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        data = json.loads(kubectl("-n", "weir-system", "get", "secret", "weir-observe-tls", "-o", "json").stdout)["data"]
        for name, value in data.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(base64.b64decode(value))
        words = ["port-forward", "service/weir-relay", "4245"]
        forward = subprocess.Popen([*scenario.kubectl_words(), "-n", "weir-system", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            tls = [f"--{option}={os.path.join(folder, name)}" for option, name in (("tls-ca-cert-file", "ca.crt"), ("tls-client-cert-file", "tls.crt"), ("tls-client-key-file", "tls.key"))]

            def seen():
                done = subprocess.run([*netns(PLANE), os.path.join(STATE, "weir"), "observe", "--server", "localhost:4245", *tls,
                                       "--verdict", "DROPPED", "--type", "l7", "--last", "200", "-o", "json"], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
                return all(address in done.stdout for address in addresses.values())

            wait("the relay tells of denials on both nodes", seen, 60, 0.5)
        finally:
            forward.terminate()
            forward.wait()
    step("relay: denied requests of both nodes, through kubectl port-forward, with TLS")


def check_api_away():
    """Policies stay in force while the API server is away, also when the agents end meanwhile."""
    there, by = traffic.pods(), traffic.containers()
    end("kube-apiserver")
    try:
        for when in ("while the API server is away", "while it is away, and the agents are killed"):
            if wrong := traffic.matrix(there, by):
                fail(f"{when}: {wrong}")
            release.kill("agent")
    finally:
        plane.apiserver()
    wait("the API server is back", lambda: kubectl("get", "--raw", "/readyz", ok=False).returncode == 0, 90, 0.5)
    release.check_status("the API server is back")


def check_webhook():
    release.install("--reuse-values", "--set", "webhook.enabled=true")
    bad = POLICY.format(**HALF)
    done = subprocess.run([*scenario.kubectl_words(), "apply", "-f", "-"], check=False, input=bad, capture_output=True, text=True)
    if done.returncode == 0 or "is not a regular expression" not in done.stderr:
        fail(f"the webhook let a bad policy pass: {done.stdout}{done.stderr}")
    step("webhook: a bad policy is refused by admission, with the field")


def restart():
    kubectl("-n", release.SPACE, "rollout", "restart", "daemonset/weir")
    kubectl("-n", release.SPACE, "rollout", "status", "daemonset/weir", "--timeout=240s")


def broken_then_mended():
    """Agents that end at once, their proxies waiting; then a release that works takes over from them."""
    release.start("--set", "agent.extraArgs={--no-such-option}")
    wait("agents end at once", lambda: all(count > 0 for count in release.restarts()), 60, 0.5)
    release.install("--set", "relay.enabled=true", "--set-json", "agent.extraArgs=[]")
    step("installed over a release whose agents end at once")


def check():
    broken_then_mended()
    check_policies()
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        steps, expectations = scenario.play("s4", folder)
    step(f"workshop S4: {steps} steps, {expectations} expectations, all as in the lab")
    traffic.up(cluster.apply)
    traffic.check_matrix("installed")
    release.check_status("installed")
    check_relay()
    traffic.check_fresh(cluster.apply)
    traffic.under_load("a rolling update of the DaemonSet", restart)

    def crash():
        release.kill("agent")
        release.check_status("agents killed")

    traffic.under_load("every agent killed", crash)
    check_api_away()
    restarts = traffic.check_matrix("the API server was away")
    if restarts != "0 0":
        fail(f"the kubelet restarted servers, so that its probes were denied: {restarts}")
    check_webhook()
    release.check_rights()
    release.uninstall()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("cluster: told to end"))
    began = time.monotonic()
    if "--present" not in sys.argv:
        cluster.up()
    try:
        check()
    finally:
        if "--present" not in sys.argv and "--keep" not in sys.argv:
            cluster.down()
    step(f"done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

"""Plays a scenario of the lab on the cluster: the same steps and the same expectations, by kubectl."""
import os
import re
import subprocess
import time

from settings import ADMIN, PLANE, deploytools, fail, kubectl, netns, run, scenarios

# How long an expectation may take to come true after what was done.
SETTLE = 15


def kubectl_words():
    return [*netns(PLANE), deploytools.binary("kubectl"), "--kubeconfig", ADMIN]


def command(pod, words):
    """The words of a command in a pod: `[NS/]deploy/NAME` or `[NS/]NAME`."""
    parts = pod.split("/")
    kinds = ("deploy", "pod")
    namespace = parts.pop(0) if len(parts) > 1 and parts[0] not in kinds else "default"
    return [*kubectl_words(), "-n", namespace, "exec", "/".join(parts), "--", *words]


def curl(pod, words):
    """What a client sees of one request: `HTTP 200`, `times out`, `no such name`; and the answer."""
    done = run(*command(pod, ["curl", "-sS", "-w", "\n%{http_code}", *words]), ok=False)
    body, _, code = done.stdout.rpartition("\n")
    # A DNS server that does not answer is asked for longer than the request may take.
    if "Resolving timed out" in done.stderr:
        return "no such name", body
    match = re.search(r"exit code (\d+)", done.stderr)
    known = {"0": f"HTTP {code}", "28": "times out", "6": "no such name", "7": "refused"}
    return known.get(match[1] if match else "0", f"curl: {done.stderr.strip()}"), body


class Background:
    """A loop of requests in a pod, until the scenario ends."""

    def __init__(self, folder, name, pod, text):
        self.path = os.path.join(folder, f"{name}.log")
        self.file = open(self.path, "w")
        self.process = subprocess.Popen(command(pod, ["sh", "-c", text]), stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.STDOUT)

    def last(self):
        with open(self.path) as file:
            return (file.read().split() or [""])[-1]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.file.close()


def settled(check):
    """Asks until it is as expected, for a while: a change needs a moment to reach the nodes."""
    until = time.monotonic() + SETTLE
    while True:
        wrong = check()
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(0.2)


def play(name, folder):
    """Every step of a scenario, with what did not come as expected."""
    told = scenarios.Scenario(name)
    kubectl("apply", *told.manifests())
    ready()
    running, count = {}, 0
    try:
        for step in told.steps:
            for words in told.commands(step):
                if "-n" in words:
                    kubectl("create", "namespace", words[words.index("-n") + 1], ok=False)
                kubectl(*words)
            if "do" in step:
                ready()
            for loop in step.get("background", []):
                running[loop["as"]] = Background(folder, loop["as"], loop["from"], loop["run"])
            for check in step["check"]:
                wrong = settled(lambda: judge(check, running))
                if wrong:
                    fail(f"{name}: {step['name']}: {check}\n{wrong}")
                count += 1
    finally:
        for loop in running.values():
            loop.stop()
    return len(told.steps), count


def judge(check, running):
    """What differs from what the step expects; nothing where all is as it says."""
    if "log" in check:
        last = running[check["log"]].last()
        return None if check["says"] in last else f"the last line of {check['log']} is {last}"
    words = check["run"].split()[1:]
    for name in re.findall(r"{service (\S+)}", check["run"]):
        address = kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}").stdout
        words = check["run"].replace(f"{{service {name}}}", address).split()[1:]
    came, body = curl(check["from"], words)
    if came != check["expect"]:
        return f"{came}, not {check['expect']}: {body[:200]}"
    if check.get("says", "") not in body:
        return f"it does not say {check['says']}: {body[:200]}"
    return None


def ready():
    """Every pod of a user runs."""
    for namespace in ("default", "sleep"):
        if kubectl("get", "pods", "-n", namespace, "-o", "name", ok=False).stdout:
            kubectl("wait", "-n", namespace, "--for=condition=Ready", "pods", "--all", "--timeout=60s")

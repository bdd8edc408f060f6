"""Where things of the test cluster are, and how its parts are called. One cluster a machine."""
import os
import signal
import subprocess
import sys
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import deploytools
import labcheck
import scenarios  # noqa: F401 (for the other modules, which find it here)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = labcheck.ROOT
CACHE = deploytools.CACHE
BINARIES = os.path.join(CACHE, "kubernetes/1.20.2/bin")
PACKAGES = os.path.join(CACHE, "kubernetes/packages")
# Everything of a running cluster: certificates, logs, images, the nodes' disks. Not in /run or /tmp,
# which may be memory: containers' files lie here.
STATE = os.environ.get("WEIR_CLUSTER", "/var/tmp/weir-cluster")
LOGS = os.path.join(STATE, "logs")
PKI = os.path.join(STATE, "pki")
ADMIN = os.path.join(STATE, "admin.kubeconfig")
ZONE = os.path.join(STATE, "zone/names.json")

# Names of network namespaces and cgroups: `down` removes all of them by their prefix.
PREFIX = "weirk"
PLANE = f"{PREFIX}-plane"
PLANE_ADDRESS = "172.30.0.1"
API = f"https://{PLANE_ADDRESS}:6443"
REGISTRY = f"{PLANE_ADDRESS}:5000"
SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
# Each node has a CNI plugin of its own kind.
NODES = {
    "node1": {"address": "172.30.0.11", "pods": "10.244.1.0/24", "cni": "bridge"},
    "node2": {"address": "172.30.0.12", "pods": "10.244.2.0/24", "cni": "ptp"},
}


def step(text):
    print(f"\033[1m==>\033[0m {text}", flush=True)


def fail(text):
    sys.exit(f"cluster: {text}")


def run(*words, ok=True, **more):
    done = subprocess.run(words, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    if ok and done.returncode:
        fail(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done


def wait(what, found, seconds=60, pause=0.1):
    return labcheck.wait(f"cluster: {what}", found, seconds, pause)


def netns(name):
    """The words before a command that runs in this network namespace, and sees the machine's files."""
    return ["nsenter", f"--net=/run/netns/{name}"]


def tool(package, path):
    return os.path.join(PACKAGES, package, path)


def spawn(name, words, **more):
    """Starts a process of the control plane with its log; `down` ends what stands in its file."""
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, f"{name}.log"), "ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **more)
    with open(os.path.join(STATE, f"{name}.pid"), "w") as file:
        file.write(f"{process.pid} {started(process.pid)}")
    return process


def started(pid):
    """When a process started: with its number, a name for it that is never given again."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def gone(pid, when, seconds):
    until = time.monotonic() + seconds
    while started(pid) == when:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def end(name, signals=(signal.SIGTERM, signal.SIGKILL)):
    """Ends what was started under this name, if it is still that process."""
    file = os.path.join(STATE, f"{name}.pid")
    try:
        with open(file) as opened:
            pid, when = opened.read().split()
    except OSError:
        return
    for number in signals:
        if started(int(pid)) == when:
            os.kill(int(pid), number)
            gone(int(pid), when, 10)
    os.unlink(file)


def kubectl(*words, ok=True, **more):
    return run(*netns(PLANE), deploytools.binary("kubectl"), "--kubeconfig", ADMIN, *words, ok=ok, **more)


def helm(*words, ok=True):
    # No answers of other clusters, and no plugins of whoever runs this.
    own = {name: os.path.join(STATE, "helm") for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    return run(*netns(PLANE), deploytools.binary("helm"), "--kubeconfig", ADMIN, *words, ok=ok, env={**os.environ, **own})

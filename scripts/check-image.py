#!/usr/bin/env python3
"""Runs the image as the DaemonSet says, and asks for what must come.

    scripts/check-image.py                  build the image, then check it
    scripts/check-image.py --no-build       check target/container/weir.tar as it is

Agent and proxy run in containers of crun, with the security settings, mounts and namespaces of the
rendered chart (scripts/ocicontainer.py says what a kubelet would add). A lab plays the node and its
pods. There is no API server: the agent reads the lab's manifests in place of `--cluster`.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import deploytools as tools
from ocicontainer import Container, capabilities, configuration, unpack

LAB = "testimage"
INSTANCE = f"weir-lab-{LAB}"
WEIR = os.path.join(tools.ROOT, "target/debug/weir")
ARCHIVE = os.path.join(tools.ROOT, "target/container/weir.tar")
SCENARIO = os.path.join(tools.ROOT, "lab/scenarios/s4")
LARGEST = 40_000_000
NETNS = f"/run/netns/{INSTANCE}-node"


def weir(*words, ok=True):
    return tools.run(WEIR, *words, ok=ok)


def wait(what, found, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        result = found()
        if result:
            return result
        time.sleep(0.02)
    return tools.fail(f"{what}: not after {seconds} s") if what else None


def status_of(path):
    """What a request of the pod `sleep` to `httpbin` gets: a code, or 0 for none."""
    done = weir("lab", "exec", "--name", LAB, "deploy/sleep", "--", "curl", "-4", "-s", "-m", "5", "-o", "/dev/null",
                "-w", "%{http_code}", f"httpbin:8000{path}", ok=False)  # fmt: skip
    return int(done.stdout.strip() or 0)


class Node:
    """Containers of the DaemonSet on the lab's node."""

    def __init__(self, folder, rootfs):
        self.folder, self.rootfs = folder, rootfs
        self.pod = self.spec()
        self.cleanup = self.spec("--set", "uninstall=true")
        self.running = []
        self.volumes = {}
        # Nothing of this machine is touched that is not the lab's.
        for name in ("log", "cni-bin", "cni-conf"):
            self.volumes[name] = os.path.join(folder, name)
            os.makedirs(self.volumes[name], exist_ok=True)
        self.volumes["token"] = None

    @staticmethod
    def spec(*options):
        return next(each for each in tools.helm(*options) if each["kind"] == "DaemonSet")["spec"]["template"]["spec"]

    @staticmethod
    def part(pod, name):
        return next(each for each in pod["containers"] + pod.get("initContainers", []) if each["name"] == name)

    def arguments(self, container):
        """The container's own, but for where objects come from and the instance's name."""
        words = container["command"] + container["args"]
        kept, index = [], 0
        while index < len(words):
            word = words[index]
            if word == "--cluster":
                kept += ["--manifests", f"/run/weir/labs/{LAB}/manifests"]
            elif word == "--node-name":
                kept += ["--node", "lab-node"]
                index += 1
            elif word.startswith("--cni-"):
                index += 1  # only with `--cluster`
            else:
                kept.append(word)
            index += 1
        return [*kept, "--name", INSTANCE]

    def start(self, name, part, pod=None, without=None):
        pod = pod or self.pod
        spec = json.loads(json.dumps(self.part(pod, part)))
        if without:
            spec["securityContext"]["capabilities"]["add"].remove(without)
        config = configuration(self.rootfs, pod, spec, self.arguments(spec), NETNS, self.volumes)
        container = Container(name, self.folder, config)
        self.running.append(container)
        return container

    def remove(self, container):
        container.remove()
        self.running.remove(container)

    def stop_all(self):
        for container in list(self.running):
            self.remove(container)


def agent_says(command):
    """An answer of the agent that is in charge; None where there is none."""
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(f"/run/weir/{INSTANCE}/agent.sock")
            link.sendall(json.dumps({"command": command}).encode() + b"\n")
            return json.loads(link.makefile().readline())
    except (OSError, ValueError):
        return None


def in_force(agent, proxy, seconds=60):
    """Whether both come up: a revision in force that the proxy has acknowledged."""
    def ended_or_ready():
        ended = not (agent.alive() and proxy.alive())
        return "ended" if ended else (agent_says("sync") or {}).get("proxy")

    return wait(None, ended_or_ready, seconds) is True


def need(good, what, *containers):
    if not good:
        logs = "\n".join(f"--- {each.name}\n{each.log()[-2500:]}" for each in containers)
        tools.fail(f"{what}\n{logs}")


def check_files(rootfs, config, size):
    files = sorted(os.path.relpath(os.path.join(path, name), rootfs) for path, _, names in os.walk(rootfs) for name in names)
    need(files == ["licenses/LICENSE", "licenses/LICENSE-ebpf", "licenses/NOTICE", "sbom/weir.cdx.json", "weir"], f"files of the image: {files}")
    need(config["config"]["Entrypoint"] == ["/weir"], f"entry point: {config['config']}")
    unpacked = sum(os.path.getsize(os.path.join(rootfs, name)) for name in files)
    need(unpacked < LARGEST, f"{unpacked} bytes, more than {LARGEST}")
    with open(os.path.join(rootfs, "sbom/weir.cdx.json")) as file:
        parts = {each["name"] for each in json.load(file)["components"]}
    need({"glibc", "aya", "aya-ebpf", "rustls", "tokio", "weir-proxy", "preact"} <= parts, "the SBOM lacks parts")
    need(not parts & {"windows-sys", "proptest", "rcgen", "vite"}, "the SBOM lists what is not in it")
    print(f"image: {unpacked / 1e6:.1f} MB, packed {size / 1e6:.1f} MB, {len(parts)} parts in its SBOM")


def check_privileges(node, agent, proxy):
    """What the kernel says of the two processes."""
    def bits(names):
        known = {"SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18,
                 "SYS_PTRACE": 19, "SYS_ADMIN": 21}  # fmt: skip
        return f"{sum(1 << known[name.removeprefix('CAP_')] for name in names):016x}"

    seen = agent.status()
    granted = bits(capabilities(Node.part(node.pod, "agent")))
    for field, expected in (("CapEff", granted), ("CapBnd", granted), ("CapInh", bits([])), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        need(seen[field] == expected, f"agent: {field} is {seen[field]}, not {expected}")
    seen = proxy.status()
    expected = {"CapEff": bits(["NET_RAW"]), "CapBnd": bits([]), "CapInh": bits([]), "NoNewPrivs": "1", "Seccomp": "2"}
    for field, value in expected.items():
        need(seen[field] == value, f"proxy: {field} is {seen[field]}, not {value}")
    need(seen["Uid"].split() == ["65534"] * 4, f"proxy: it runs as {seen['Uid']}")
    print("privileges of agent and proxy: as the chart says; the proxy kept NET_RAW only")


def check_probes(node):
    """The pod's own probes, asked where a kubelet asks them."""
    spec = Node.part(node.pod, "agent")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = spec[kind]["httpGet"]
        url = f"http://{probe['host']}:{probe['port']}{probe['path']}"
        words = ["lab", "exec", "--name", LAB, "@node", "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url]
        wait(f"{kind}: {url} answers 200", lambda: weir(*words, ok=False).stdout == "200")
    print("probes of the agent: answered")


def check_requests():
    need(status_of("/headers") == 200, "GET /headers is not allowed")
    need(status_of("/ip") == 403, "GET /ip is not denied by the HTTP rule")
    socket = f"unix:///run/weir/{INSTANCE}/hubble.sock"

    def denied():
        said = weir("observe", "--server", socket, "--verdict", "DROPPED", "--type", "l7", "--last", "1", ok=False).stdout
        return said.strip() if "/ip" in said else None

    print(f"S4: GET /headers 200, GET /ip 403: {wait('the observer tells of the denial', denied)}")


# What a client in a pod does until a file appears: GET /headers again and again, on kept connections
# or on a new one each time. It repeats what every HTTP client repeats: a request on a kept connection
# that the other side closed before it answered (RFC 9110, 9.2.2). Anything else ends it with an error.
CLIENT = """
import http.client, os, sys, time
kind, stop, counted = sys.argv[1:]
count, connection, used = 0, None, 0
while not os.path.exists(stop):
    if connection is None:
        connection, used = http.client.HTTPConnection("httpbin", 8000, timeout=5), 0
        connection.connect()
        connection.auto_open = 0
    try:
        connection.request("GET", "/headers")
        answer = connection.getresponse()
    except (ConnectionError, http.client.RemoteDisconnected):
        if not used:
            raise
        connection = None
        continue
    answer.read()
    if answer.status != 200:
        sys.exit(f"HTTP {answer.status} after {count} good answers")
    count, used = count + 1, used + 1
    if kind == "new" or answer.will_close:
        connection.close()
        connection = None
    open(counted, "w").write(str(count))
    time.sleep(0.005)
"""


class Client:
    """A client in the pod `sleep`."""

    def __init__(self, folder, kind):
        self.stop, self.counted = os.path.join(folder, f"{kind}.stop"), os.path.join(folder, f"{kind}.count")
        words = ["lab", "exec", "--name", LAB, "deploy/sleep", "--", "python3", "-c", CLIENT, kind, self.stop, self.counted]
        self.kind = kind
        self.process = subprocess.Popen([WEIR, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def count(self):
        try:
            with open(self.counted) as file:
                return int(file.read() or 0)
        except OSError:
            return 0

    def more(self, wanted):
        """Waits for so many good answers from now on."""
        until = self.count() + wanted
        wait(f"{wanted} answers for the client `{self.kind}`", lambda: self.process.poll() is not None or self.count() >= until)

    def end(self):
        open(self.stop, "w").close()
        said, _ = self.process.communicate(timeout=30)
        return None if self.process.returncode == 0 else f"client `{self.kind}`, after {self.count()} answers: {said}"


def check_rollout(node, agent, proxy):
    """A second pod beside the first, which then ends, under requests that are allowed."""
    clients = [Client(node.folder, "keep"), Client(node.folder, "new")]
    try:
        for client in clients:
            client.more(20)
        second_agent, second_proxy = node.start("agent2", "agent"), node.start("proxy2", "proxy")
        wait("the second agent stands by", lambda: "standing by" in second_agent.log())
        wait("the second proxy is linked", lambda: "linked to the agent" in second_proxy.log())
        wait("the second proxy is in charge", lambda: (agent_says("sync") or {}).get("proxy"))
        for old in (agent, proxy):
            old.signal(signal.SIGTERM)
        wait("the first agent ends", lambda: not agent.alive())
        need(in_force(second_agent, second_proxy), "the second pod does not take over", second_agent, second_proxy)
        for client in clients:
            client.more(200)
    finally:
        failed = [said for said in (client.end() for client in clients) if said]
    need(not failed, f"allowed requests failed while the pod was replaced: {failed}", second_agent, second_proxy)
    wait("the first proxy ends", lambda: not proxy.alive())
    counts = ", ".join(f"{client.count()} on {'kept' if client.kind == 'keep' else 'new'} connections" for client in clients)
    print(f"rollout with surge: {counts}, none failed")
    for old in (agent, proxy):
        node.remove(old)
    return second_agent, second_proxy


def check_names(node):
    """The static binary asks the DNS server that the kubelet writes into /etc/resolv.conf."""
    with open(os.path.join(node.folder, "resolv.conf"), "w") as file:
        file.write("nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
    spec = json.loads(json.dumps(Node.part(node.pod, "proxy")))
    netns = subprocess.run(["sh", "-c", f"ls -d /run/netns/{INSTANCE}-default-sleep-*"], capture_output=True, text=True).stdout.strip()
    said = {}
    for name in ("httpbin", "nobody"):
        config = configuration(node.rootfs, node.pod, spec, ["/weir", "observe", "--server", f"{name}:8000", "--last", "1"], netns, node.volumes)
        config["mounts"].append({"destination": "/etc/resolv.conf", "type": "bind", "source": os.path.join(node.folder, "resolv.conf"), "options": ["bind", "ro"]})
        container = Container(f"names-{name}", node.folder, config)
        wait("it ends", lambda: not container.alive())
        said[name] = container.log()
        container.remove()
    unknown = ("lookup", "resolve", "Name or service", "name resolution")
    need(any(word in said["nobody"] for word in unknown), f"a name that nobody has: {said['nobody']}")
    need(not any(word in said["httpbin"] for word in unknown), f"a name of the cluster: {said['httpbin']}")
    print("names of the cluster: resolved inside the image")


def check_each(node):
    """Every capability of both containers is needed: without it they do not come up."""
    for part in ("agent", "proxy"):
        for name in Node.part(node.pod, part)["securityContext"]["capabilities"]["add"]:
            spared = {"agent": None, "proxy": None, part: name}
            agent = node.start("agent", "agent", without=spared["agent"])
            proxy = node.start("proxy", "proxy", without=spared["proxy"])
            good = in_force(agent, proxy, 20) and status_of("/headers") == 200 and status_of("/ip") == 403
            said = (agent if part == "agent" else proxy).log().strip().splitlines() or ["nothing"]
            need(not good, f"{part} works without {name}: the chart must not give it")
            print(f"{part} without {name}: {said[-1][:160]}", flush=True)
            node.stop_all()
            weir("cleanup", "--name", INSTANCE)


def left_behind():
    left = [f"/sys/fs/bpf/weir/{INSTANCE}", f"/run/weir/{INSTANCE}", f"/run/netns/{INSTANCE}-ingress", f"/run/netns/{INSTANCE}-egress"]
    return [path for path in left if os.path.exists(path)]


def check_uninstall(node):
    node.stop_all()
    need(len(left_behind()) == 4, f"the pins do not outlive the containers: {left_behind()}")
    cleanup = node.start("cleanup", "cleanup", node.cleanup)
    wait("cleanup ends", lambda: not cleanup.alive())
    need(cleanup.process.returncode == 0, "cleanup failed", cleanup)
    hold = node.start("hold", "hold", node.cleanup)
    wait("it says so", lambda: "is left on this node" in hold.log())
    need(hold.alive(), "the container that waits has ended", hold)
    hold.signal(signal.SIGTERM)
    wait("it ends when told to", lambda: not hold.alive())
    need(not left_behind(), f"left on the node: {left_behind()}", cleanup)
    need(status_of("/ip") == 200, "traffic is still judged")
    print("uninstall: nothing is left on the node")


def main():
    tools.schemas()
    if "--no-build" not in sys.argv:
        subprocess.run([os.path.join(tools.ROOT, "deploy/build-image.sh")], check=True)
    with tempfile.TemporaryDirectory(prefix="weir-image-") as folder:
        rootfs = os.path.join(folder, "rootfs")
        config, size = unpack(ARCHIVE, rootfs)
        check_files(rootfs, config, size)
        node = Node(folder, rootfs)
        weir("lab", "down", "--name", LAB)
        try:
            weir("lab", "up", "--no-agent", "--name", LAB, "-f", f"{SCENARIO}/sleep.yaml", "-f", f"{SCENARIO}/httpbin.yaml")
            need(status_of("/ip") == 200, "the lab itself does not work")
            weir("lab", "apply", "--name", LAB, "-f", f"{SCENARIO}/policies/allow-get-headers.yaml")
            check_names(node)
            check_each(node)
            agent, proxy = node.start("agent", "agent"), node.start("proxy", "proxy")
            need(in_force(agent, proxy), "agent and proxy do not come up", agent, proxy)
            check_privileges(node, agent, proxy)
            check_probes(node)
            check_requests()
            check_rollout(node, agent, proxy)
            check_requests()
            check_uninstall(node)
        finally:
            node.stop_all()
            weir("lab", "down", "--name", LAB, ok=False)


if __name__ == "__main__":
    main()

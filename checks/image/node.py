"""The node on which the image runs: a lab that plays it, and containers of the rendered chart."""
import json
import os
import socket

import deploytools as tools
import labcheck
from image.container import Container, configuration

LAB = "testimage"
INSTANCE = f"weir-lab-{LAB}"
NODE = "lab-node"
NETNS = f"{INSTANCE}-node"
WEIR = os.path.join(tools.ROOT, "target/debug/weir")
SCENARIO = os.path.join(tools.ROOT, "lab/scenarios/s4")
# The API server is on the node's own loopback: that is what every container of the host's network
# reaches. The rest is what a cluster has that wants to see everything.
VALUES = ["--set", "apiServer.host=127.0.0.1,apiServer.port=6443,relay.enabled=true,ui.enabled=true,webhook.enabled=true"]


def weir(*words, ok=True):
    return tools.run(WEIR, *words, ok=ok)


def on_node(*words, ok=True, **more):
    """Runs something in the node's network."""
    return tools.run("ip", "netns", "exec", NETNS, *words, ok=ok, **more)


def wait(what, found, seconds=60):
    return labcheck.wait(what, found, seconds)


def need(good, what, *containers):
    if not good:
        logs = "\n".join(f"--- {each.name}\n{each.log()[-2500:]}" for each in containers)
        tools.fail(f"{what}\n{logs}")


def status_of(path):
    """What a request of the pod `sleep` to `httpbin` gets: a code, or 0 for none."""
    done = weir("lab", "exec", "--name", LAB, "deploy/sleep", "--", "curl", "-4", "-s", "-m", "5", "-o", "/dev/null",
                "-w", "%{http_code}", f"httpbin:8000{path}", ok=False)  # fmt: skip
    return int(done.stdout.strip() or 0)


def agent_says(command):
    """An answer of the agent that is in charge; None where there is none."""
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

    return labcheck.poll(ended_or_ready, seconds) is True


class Node:
    """Containers of the chart on the lab's node."""

    def __init__(self, folder, rootfs):
        self.folder, self.rootfs = folder, rootfs
        self.objects = tools.helm(*VALUES)
        self.pod = self.template("DaemonSet", "weir")
        removing = tools.helm(*VALUES, "--set", "uninstall=true")
        self.cleanup = self.template("DaemonSet", "weir", removing)
        self.running = []
        self.volumes = {}
        # Nothing of this machine is touched that is not the lab's.
        for name in ("log", "cni-bin", "cni-conf", "relay"):
            self.volumes[name] = os.path.join(folder, name)
            os.makedirs(self.volumes[name], exist_ok=True)
        # What a kubelet does for a volume of its own and an unprivileged user.
        os.chown(self.volumes["relay"], 65534, 65534)

    def object(self, kind, name, objects=None):
        chosen = (each for each in objects or self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
        return next(chosen)

    def template(self, kind, name, objects=None):
        return self.object(kind, name, objects)["spec"]["template"]["spec"]

    @staticmethod
    def part(pod, name):
        return next(each for each in pod["containers"] + pod.get("initContainers", []) if each["name"] == name)

    @staticmethod
    def arguments(container):
        """The container's own, with the instance's name where there is one."""
        words = [word.replace("$(NODE_NAME)", NODE) for word in container["command"] + container["args"]]
        return words + ["--name", INSTANCE] if words[1] in ("agent", "proxy", "cleanup", "status") else words

    def start(self, name, part, pod=None, without=None, more=(), volumes=None):
        """Starts a container. `without`: a capability that it does not get. `more`: mounts."""
        pod = pod or self.pod
        spec = json.loads(json.dumps(self.part(pod, part)))
        if without:
            spec["securityContext"]["capabilities"]["add"].remove(without)
        told = {"NODE_NAME": NODE, "POD_NAME": name, "POD_NAMESPACE": tools.NAMESPACE}
        config = configuration(self.rootfs, pod, spec, self.arguments(spec), f"/run/netns/{NETNS}", {**self.volumes, **(volumes or {})}, told)
        config["mounts"] += more
        container = Container(name, self.folder, config)
        self.running.append(container)
        return container

    def remove(self, container):
        container.remove()
        self.running.remove(container)

    def stop_all(self):
        for container in list(self.running):
            self.remove(container)

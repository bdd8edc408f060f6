"""A pod that starts by the node's CNI plugins, as a container runtime would start it."""
import glob
import json
import os
import shutil
import subprocess

import deploytools as tools
from image.node import INSTANCE, NODE, need, on_node, wait

NAME = "late"
PLUGINS = "/usr/lib/cni"


class NewPod:
    """The pod `late`: the API knows it, and has no address of it yet."""

    def __init__(self, node, cluster):
        self.configs, self.programs = node.volumes["cni-conf"], node.volumes["cni-bin"]
        self.netns = f"{INSTANCE}-{NAME}"
        self.result = None
        cluster.apply({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": "default", "labels": {"app": "sleep"}},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
        })  # fmt: skip
        self.uid = cluster.get("pods", NAME)["metadata"]["uid"]

    @staticmethod
    def configure(node):
        """The node's own CNI: one plugin, ptp."""
        ipam = {"type": "host-local", "dataDir": os.path.join(node.folder, "ipam"), "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{"subnet": "10.99.0.0/24"}]]}  # fmt: skip
        with open(os.path.join(node.volumes["cni-conf"], "10-ptp.conflist"), "w") as file:
            json.dump({"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": ipam}]}, file)

    def chain(self):
        """The list that a runtime takes: the first."""
        with open(min(glob.glob(f"{self.configs}/*.conflist"))) as file:
            return json.load(file)

    def call(self, command):
        environment = {
            **os.environ, "CNI_COMMAND": command, "CNI_CONTAINERID": "late-sandbox", "CNI_IFNAME": "eth0",
            "CNI_NETNS": f"/run/netns/{self.netns}", "CNI_PATH": f"{PLUGINS}:{self.programs}",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={NAME};K8S_POD_UID={self.uid}",
        }  # fmt: skip
        conf = self.chain()
        for plugin in conf["plugins"] if command == "ADD" else reversed(conf["plugins"]):
            config = {**plugin, "cniVersion": conf["cniVersion"], "name": conf["name"]}
            if self.result:
                config["prevResult"] = self.result
            path = shutil.which(plugin["type"], path=environment["CNI_PATH"])
            done = on_node(path, ok=False, env=environment, input=json.dumps(config))
            need(done.returncode == 0, f"{plugin['type']} {command}: {done.stdout}{done.stderr}")
            if command == "ADD":
                self.result = json.loads(done.stdout)

    def status_of(self, url):
        words = ["ip", "netns", "exec", self.netns, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url]
        return subprocess.run(words, check=False, capture_output=True, text=True).stdout

    def start(self):
        wait("weir-cni in the chain", lambda: [each["type"] for each in self.chain()["plugins"]] == ["ptp", "weir-cni"])
        tools.run("ip", "netns", "add", self.netns)
        self.call("ADD")

    def stop(self):
        self.call("DEL")
        self.drop()

    def drop(self):
        subprocess.run(["ip", "netns", "del", self.netns], check=False, capture_output=True)


def check_new_pod(node, cluster):
    """The very first requests of a pod are judged, before the API has its address."""
    server = next(each for each in cluster.get("pods")["items"] if each["metadata"]["name"].startswith("httpbin"))
    url = f"http://{server['status']['podIP']}"
    pod = NewPod(node, cluster)
    try:
        pod.start()
        said = [pod.status_of(f"{url}/ip"), pod.status_of(f"{url}/headers")]
        need(said == ["403", "200"], f"the first requests of a new pod: {said}")
        pod.stop()
    finally:
        pod.drop()
    print("CNI: weir-cni in the chain; a new pod's first requests: GET /ip 403, GET /headers 200")

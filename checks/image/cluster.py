"""The cluster around the node: the API server of the tests (cluster/examples/api_double.rs) held to
the chart's own role, its objects, and what a kubelet mounts for a pod."""
import base64
import glob
import json
import os
import subprocess

import deploytools as tools
from image.node import LAB, NETNS, NODE, SCENARIO, on_node, wait

DOUBLE = os.path.join(tools.ROOT, "target/debug/examples/api_double")
URL = "https://127.0.0.1:6443"
ADMIN, TOKEN = "the-administrator", "the-agent"


class Cluster:
    def __init__(self, node):
        self.node = node
        self.folder = os.path.join(node.folder, "cluster")
        os.makedirs(self.folder)
        self.kubeconfig = os.path.join(self.folder, "kubeconfig")
        self.certificate()
        self.mount_account()
        for secret in ("weir-observe-tls", "weir-webhook-tls", "weir-ui-token"):
            self.mount_secret(secret)
        role = os.path.join(self.folder, "role.json")
        with open(role, "w") as file:
            json.dump(node.object("ClusterRole", "weir"), file)
        words = [DOUBLE, "127.0.0.1:6443", self.path("server.crt"), self.path("server.key"), role, ADMIN, TOKEN]
        # Without streaming lists both verbs are needed: list, then watch.
        self.log = open(self.path("log"), "w+")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", NETNS, *words, "no-streaming-lists"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        wait("the API server", lambda: self.asked() is not None)

    def path(self, name):
        return os.path.join(self.folder, name)

    def certificate(self):
        """An authority, and the server's certificate."""
        def openssl(*words):
            tools.run("openssl", *words)

        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        openssl("req", "-x509", *new, "-subj", "/CN=ca", "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"))
        openssl("req", *new, "-subj", "/CN=api", "-keyout", self.path("server.key"), "-out", self.path("server.csr"))
        with open(self.path("names"), "w") as file:
            file.write("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", self.path("server.csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                "-CAcreateserial", "-days", "2", "-extfile", self.path("names"), "-out", self.path("server.crt"))  # fmt: skip
        user = {"name": "admin", "user": {"token": ADMIN}}
        cluster = {"name": "double", "cluster": {"server": URL, "certificate-authority": self.path("ca.crt")}}
        context = {"name": "double", "context": {"cluster": "double", "user": "admin"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "double"}
        with open(self.kubeconfig, "w") as file:
            json.dump({**config, "clusters": [cluster], "users": [user], "contexts": [context]}, file)

    def mount_account(self):
        """The projected volume `token`."""
        folder = self.path("token")
        os.makedirs(folder)
        with open(self.path("ca.crt")) as file:
            authority = file.read()
        for name, text in (("token", TOKEN), ("ca.crt", authority), ("namespace", tools.NAMESPACE)):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        self.node.volumes["token"] = folder

    def mount_secret(self, name):
        """The files of a secret of the chart, as an unprivileged container may read them."""
        folder = self.path(name)
        os.makedirs(folder)
        for key, value in self.node.object("Secret", name)["data"].items():
            path = os.path.join(folder, key)
            with open(path, "wb") as file:
                file.write(base64.b64decode(value))
            os.chmod(path, 0o440)
            os.chown(path, 0, 65534)
        self.node.volumes[{"weir-observe-tls": "observe-tls", "weir-webhook-tls": "tls", "weir-ui-token": "ui-token"}[name]] = folder

    def kubectl(self, *words, ok=True, **more):
        return on_node(tools.binary("kubectl"), "--kubeconfig", self.kubeconfig, *words, ok=ok, **more)

    def apply(self, *objects):
        self.kubectl("apply", "--validate=false", "-f", "-", input="\n---\n".join(json.dumps(each) for each in objects))

    def get(self, *words):
        done = self.kubectl("get", *words, "-o", "json", ok=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def asked(self):
        """What the agent used of its role, and what it was refused."""
        done = on_node("curl", "-s", "-m", "5", "--cacert", self.path("ca.crt"), "-H", f"Authorization: Bearer {ADMIN}",
                       f"{URL}/double/asked", ok=False)  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else None

    def fill(self):
        """The lab's pods and services, as an API would have them, and the workshop's policy."""
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        # Of a workload the lab writes its pods down, with their addresses.
        for kind in ("Namespace", "Pod", "Service", "EndpointSlice"):
            for path in glob.glob(f"/run/weir/labs/{LAB}/manifests/{kind}_*"):
                self.kubectl("apply", "--validate=false", "-f", path)
        self.kubectl("apply", "--validate=false", "-f", f"{SCENARIO}/policies/allow-get-headers.yaml")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

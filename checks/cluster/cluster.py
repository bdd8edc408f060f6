#!/usr/bin/env python3
"""A Kubernetes cluster of two nodes on this machine, without internet; needs root.

    checks/cluster/cluster.py up       control plane, images, nodes, DNS
    checks/cluster/cluster.py down     removes all of it
    checks/cluster/cluster.py kubectl ARGUMENTS
    checks/cluster/cluster.py node1 COMMAND       on the node itself
"""
import os
import shutil
import signal
import subprocess
import sys

import images
import nodes
import pki
import plane
from settings import ADMIN, DNS_SERVICE, HERE, NODES, PLANE, PREFIX, STATE, ZONE, deploytools, end, fail, kubectl, netns, run, step, wait

DNS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: coredns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{k8s-app: kube-dns}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-dns}}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - name: dns
          image: weir/dns
          ports: [{{name: dns, containerPort: 53, protocol: UDP}}, {{name: dns-tcp, containerPort: 53}}]
          volumeMounts: [{{name: zone, mountPath: /zone, readOnly: true}}]
      volumes: [{{name: zone, hostPath: {{path: {os.path.dirname(ZONE)}}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {DNS_SERVICE}
  selector: {{k8s-app: kube-dns}}
  ports: [{{name: dns, port: 53, targetPort: dns, protocol: UDP}}, {{name: dns-tcp, port: 53, targetPort: dns-tcp}}]
"""


def apply(text):
    done = subprocess.run([*netns(PLANE), deploytools.binary("kubectl"), "--kubeconfig", ADMIN, "apply", "-f", "-"], check=False, input=text, text=True, capture_output=True)
    if done.returncode:
        fail(f"kubectl apply: {done.stderr}")


def up():
    if os.geteuid() != 0:
        fail("it needs root: nodes are namespaces, and the kubelet makes cgroups")
    if os.path.exists(STATE):
        fail(f"there is a cluster already in {STATE}: `cluster.py down` removes it")
    step("building Kubernetes, where it is not built yet")
    subprocess.run([os.path.join(HERE, "build-kubernetes.sh")], check=True)
    os.makedirs(STATE, mode=0o755)
    try:
        step("certificates and images")
        pki.make()
        images.up()
        step("the control plane")
        plane.up()
        step("the nodes")
        nodes.up()
        apply(DNS)
        kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    except BaseException:
        if not os.environ.get("KEEP"):
            down()
        raise


def down():
    for name in NODES:
        end(name, [signal.SIGKILL])  # `unshare --kill-child` takes the node's first process along, and that all others
    for name in ("registry", "names", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
        end(name)
    for name in (*(f"{PREFIX}-{node}" for node in NODES), PLANE):
        if os.path.exists(f"/run/netns/{name}"):
            run("ip", "netns", "del", name)
    wait("the nodes' cgroups are empty", lambda: not nodes.left(), 30)
    if os.path.exists(STATE):
        shutil.rmtree(STATE)
    for path in nodes.PLACES:
        if os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("cluster: told to end"))
    match sys.argv[1:]:
        case ["up"]:
            up()
            print(kubectl("get", "nodes,pods", "-A", "-o", "wide").stdout, end="")
        case ["down"]:
            down()
        case ["kubectl", *words]:
            tool = deploytools.binary("kubectl")
            sys.exit(subprocess.run([*netns(PLANE), tool, "--kubeconfig", ADMIN, *words], check=False).returncode)
        case [name, *words] if name in NODES and words:
            sys.exit(subprocess.run([*nodes.inside(name), *words], check=False).returncode)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""The control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, in a network
namespace that is also the switch between the nodes."""
import os

import pki
from settings import API, BINARIES, HERE, LOGS, NODES, PLANE, PLANE_ADDRESS, PODS, REGISTRY, SERVICES, STATE, ZONE, kubectl, netns, run, spawn, tool, wait

# Every answer but "yes" is written down with who asked: the check counts what the agent was refused.
AUDIT = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
    userGroups: [system:serviceaccounts:weir-system]
  - level: None
"""


def network():
    """A bridge for the nodes' links; every pod address by way of its node."""
    inside = netns(PLANE)
    run("ip", "netns", "add", PLANE)
    for words in (
        "ip link set lo up",
        "sysctl -qw net.ipv4.ip_forward=1",
        "ip link add weirk0 type bridge",
        f"ip addr add {PLANE_ADDRESS}/24 dev weirk0",
        "ip link set weirk0 up",
        *(f"ip route add {node['pods']} via {node['address']}" for node in NODES.values()),
    ):
        run(*inside, *words.split())


def etcd():
    data = os.path.join(STATE, "etcd")
    url = "http://127.0.0.1:2379"
    # The data is worth nothing after the test: no waiting for the disk.
    words = ["--data-dir", data, "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:2380",
             "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380", "--unsafe-no-fsync"]  # fmt: skip
    spawn("etcd", [*netns(PLANE), tool("etcd-server", "usr/bin/etcd"), *words])


def apiserver():
    policy = os.path.join(STATE, "audit-policy.yaml")
    with open(policy, "w") as file:
        file.write(AUDIT)
    spawn(
        "kube-apiserver",
        [
            *netns(PLANE), os.path.join(BINARIES, "kube-apiserver"),
            f"--advertise-address={PLANE_ADDRESS}", f"--bind-address={PLANE_ADDRESS}", "--secure-port=6443",
            "--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={SERVICES}",
            # The build's DaemonSets have `maxSurge` in JSON only.
            "--storage-media-type=application/json",
            f"--client-ca-file={pki.path('ca.crt')}",
            f"--tls-cert-file={pki.path('apiserver.crt')}", f"--tls-private-key-file={pki.path('apiserver.key')}",
            f"--kubelet-certificate-authority={pki.path('ca.crt')}",
            f"--kubelet-client-certificate={pki.path('kubelet-client.crt')}", f"--kubelet-client-key={pki.path('kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki.path('ca.crt')}", "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki.path('front-proxy.crt')}", f"--proxy-client-key-file={pki.path('front-proxy.key')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.path('accounts.pub')}", f"--service-account-signing-key-file={pki.path('accounts.key')}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            "--anonymous-auth=false",
            # No kube-proxy runs beside it: webhooks are reached at their pods.
            "--enable-aggregator-routing=true",
            f"--audit-policy-file={policy}", f"--audit-log-path={os.path.join(LOGS, 'audit.log')}",
        ],
    )  # fmt: skip


def controllers():
    config = os.path.join(STATE, "controller-manager.kubeconfig")
    spawn(
        "kube-controller-manager",
        [
            *netns(PLANE), os.path.join(BINARIES, "kube-controller-manager"), f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1", "--port=0", "--use-service-account-credentials=true", "--leader-elect=false",
            f"--root-ca-file={pki.path('ca.crt')}", f"--service-account-private-key-file={pki.path('accounts.key')}",
            f"--cluster-cidr={PODS}", "--kube-api-content-type=application/json", "--controllers=*,bootstrapsigner,tokencleaner",
        ],
    )  # fmt: skip
    config = os.path.join(STATE, "scheduler.kubeconfig")
    spawn(
        "kube-scheduler",
        [
            *netns(PLANE), os.path.join(BINARIES, "kube-scheduler"), f"--kubeconfig={config}", "--bind-address=127.0.0.1", "--port=0",
            f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}", "--leader-elect=false",
        ],
    )  # fmt: skip


def up():
    network()
    etcd()
    apiserver()
    wait("the API server is ready", lambda: kubectl("get", "--raw", "/readyz", ok=False).returncode == 0, 120, 0.5)
    controllers()
    wait("the account of namespace default", lambda: kubectl("get", "serviceaccount", "default", ok=False).returncode == 0)
    kubectl("create", "clusterrolebinding", "nodes-proxy", "--clusterrole=system:node-proxier", "--user=system:kube-proxy", ok=False)
    os.makedirs(os.path.dirname(ZONE), exist_ok=True)
    spawn("names", [*netns(PLANE), "python3", os.path.join(HERE, "names.py"), API, pki.path("ca.crt"), pki.path("admin.crt"), pki.path("admin.key"), ZONE])
    spawn("registry", [*netns(PLANE), "python3", os.path.join(HERE, "registry.py"), REGISTRY, os.path.join(STATE, "images")])

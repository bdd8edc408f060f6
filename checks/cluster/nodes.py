"""The nodes: each has a network namespace, a mount namespace, a process namespace, a host name, cgroups
and a disk of its own, with containerd, kubelet and kube-proxy. The kernel is the machine's."""
import json
import os
import shutil
import subprocess

import pki
from settings import BINARIES, DNS_SERVICE, HERE, LOGS, NODES, PACKAGES, PLANE, PLANE_ADDRESS, PODS, PREFIX, REGISTRY, STATE, kubectl, netns, run, started, wait

CGROUPS = "/sys/fs/cgroup"
CNI = "/usr/lib/cni"
# Where node-init.sh mounts what is a node's own; the machine may lack them.
PLACES = ["/opt/cni", "/etc/cni", "/var/lib/cni", "/var/lib/kubelet", "/var/lib/containerd"]


def controllers():
    return [name for name in os.listdir(CGROUPS) if os.path.isdir(os.path.join(CGROUPS, name)) and not os.path.islink(os.path.join(CGROUPS, name))]


def network(name):
    node, space, link = NODES[name], f"{PREFIX}-{name}", f"{PREFIX}-{name}"
    run("ip", "netns", "add", space)
    run(*netns(PLANE), "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
    run(*netns(PLANE), "ip", "link", "set", link, "master", "weirk0", "up")
    for words in (
        "ip link set lo up",
        "sysctl -qw net.ipv4.ip_forward=1",
        f"ip addr add {node['address']}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {PLANE_ADDRESS}",
        *(f"ip route add {other['pods']} via {other['address']}" for key, other in NODES.items() if key != name),
    ):
        run(*netns(space), *words.split())


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text if isinstance(text, str) else json.dumps(text, indent=1))


def files(name):
    node, disk = NODES[name], os.path.join(STATE, name)
    etc = os.path.join(disk, "etc")
    write(f"{etc}/address", node["address"])
    write(f"{etc}/resolv.conf", "nameserver 192.0.2.1\n")
    plugins = os.path.join(disk, "opt-cni/bin")
    os.makedirs(plugins, exist_ok=True)
    for plugin in ("bridge", "ptp", "host-local", "loopback", "portmap"):
        shutil.copy(os.path.join(CNI, plugin), plugins)
    ipam = {"type": "host-local", "ranges": [[{"subnet": node["pods"]}]], "routes": [{"dst": "0.0.0.0/0"}]}
    kinds: dict[str, dict[str, object]] = {"bridge": {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True}, "ptp": {"type": "ptp"}}
    network_list = {"cniVersion": "0.4.0", "name": f"test-{node['cni']}", "plugins": [{**kinds[node["cni"]], "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]}
    write(f"{disk}/etc-cni/net.d/10-test.conflist", network_list)
    write(f"{etc}/certs.d/_default/hosts.toml", f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n')
    write(
        f"{etc}/containerd.toml",
        f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  # Where this machine may not lower it (no CAP_SYS_RESOURCE), containers would not start.
  restrict_oom_score_adj = true
  sandbox_image = "registry.k8s.io/pause:3.2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{etc}/certs.d"
""",
    )
    write(
        f"{etc}/kubelet.yaml",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": pki.path("ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki.path(f"{name}.crt"), "tlsPrivateKeyFile": pki.path(f"{name}.key"),
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{PREFIX}/{name}", "failSwapOn": False,
            "clusterDNS": [DNS_SERVICE], "clusterDomain": "cluster.local", "resolvConf": f"{etc}/resolv.conf",
            # The disk is the machine's, and its other users fill it.
            "evictionHard": {"memory.available": "100Mi"}, "imageGCHighThresholdPercent": 100,
            "syncFrequency": "10s", "fileCheckFrequency": "1h0m0s",
        },
    )  # fmt: skip
    write(
        f"{etc}/kube-proxy.yaml",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "clientConnection": {"kubeconfig": os.path.join(STATE, "kube-proxy.kubeconfig")}, "clusterCIDR": PODS, "hostnameOverride": name,
            # These would be the whole machine's.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
    )  # fmt: skip


def start(name):
    for controller in controllers():
        os.makedirs(os.path.join(CGROUPS, controller, PREFIX, name), exist_ok=True)
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, f"{name}-init.log"), "ab") as log:
        process = subprocess.Popen(
            [*netns(f"{PREFIX}-{name}"), "unshare", "--mount", "--propagation", "private", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
             os.path.join(HERE, "node-init.sh"), name, STATE, BINARIES, PACKAGES],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    write(os.path.join(STATE, f"{name}.pid"), f"{process.pid} {started(process.pid)}")


def inside(name):
    """The words before a command that runs on the node itself."""
    with open(os.path.join(STATE, f"{name}.pid")) as file:
        outer = file.read().split()[0]
    first = wait(f"{name}'s first process", lambda: run("ps", "--no-headers", "-o", "pid", "--ppid", outer, ok=False).stdout.split())[0]
    return ["nsenter", "-t", first, "-m", "-u", "-n", "-p", "-i"]


def ready(name):
    said = kubectl("get", "node", name, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}", ok=False).stdout
    return said == "True"


def up():
    for name in NODES:
        network(name)
        files(name)
        start(name)
    for name in NODES:
        wait(f"{name} is ready", lambda: ready(name), 120, 0.5)


def left():
    """Removes the nodes' cgroups from the bottom up; whether any could not be removed yet."""
    still = False
    for controller in controllers():
        for path, _, _ in os.walk(os.path.join(CGROUPS, controller, PREFIX), topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                still = True
    return still

#!/usr/bin/env python3
"""Runs the image as the chart says, and asks for what must come.

    checks/image/check.py                  build the image, then check it
    checks/image/check.py --no-build       check target/container/weir.tar as it is

Every container of the rendered chart runs in crun, with its security settings, mounts, volumes and
namespaces (checks/image/container.py says what a kubelet would add). A lab plays the node and its
pods; the API server is the tests' own, and holds the agent to the role that the chart gives it.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import deploytools as tools
from image.clients import Client
from image.cluster import Cluster
from image.container import capabilities, unpack
from image.newpod import NewPod, check_new_pod
from image.node import INSTANCE, LAB, SCENARIO, Node, agent_says, in_force, need, status_of, wait, weir
from image.services import check_names, check_relay, check_test, check_webhook

ARCHIVE = os.path.join(tools.ROOT, "target/container/weir.tar")
LARGEST = 40_000_000


def check_files(rootfs, config, size):
    files = sorted(os.path.relpath(os.path.join(path, name), rootfs) for path, _, names in os.walk(rootfs) for name in names)
    need(files == ["licenses/LICENSE", "licenses/LICENSE-ebpf", "licenses/NOTICE", "sbom/weir.cdx.json", "weir"], f"files of the image: {files}")
    need(config["config"]["Entrypoint"] == ["/weir"], f"entry point: {config['config']}")
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["config"]["Labels"].items()}
    wanted = {"title", "description", "licenses", "vendor", "version", "revision", "created", "ref.name"}
    need(wanted <= labels.keys() and all(labels.values()), f"labels: {labels}")
    need(labels["created"][:19] == config["created"][:19], f"labels: created {labels['created']}, the image {config['created']}")
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
    need(seen["Uid"].split() == ["65523"] * 4, f"proxy: it runs as {seen['Uid']}")
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


def check_rollout(node, agent, proxy):
    """A second pod beside the first, which then ends, under requests that are allowed."""
    clients = [Client(node.folder, "keep"), Client(node.folder, "new")]
    try:
        for client in clients:
            client.more(20)
        second_agent, second_proxy = node.start("agent2", "agent"), node.start("proxy2", "proxy")
        wait("the second agent stands by", lambda: "standing by" in second_agent.log())

        def in_charge():
            return ((agent_says("status") or {}).get("proxy") or {}).get("pid") == second_proxy.pid()

        wait("the second proxy is in charge", in_charge)
        for old in (agent, proxy):
            old.signal(signal.SIGTERM)
        wait("the first agent ends", lambda: not agent.alive())
        need(in_force(second_agent, second_proxy), "the second pod does not take over", second_agent, second_proxy)
        need(in_charge(), "the second agent steers to the first proxy", second_agent, second_proxy)
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
    chained = [json.load(open(each.path))["plugins"] for each in os.scandir(node.volumes["cni-conf"])]
    need(any(plugin["type"] == "weir-cni" for plugins in chained for plugin in plugins), f"the chain is gone: {chained}")
    unchain = node.start("cni", "cni", node.cleanup)
    wait("the chain's removal ends", lambda: not unchain.alive())
    need(unchain.process.returncode == 0, "the chain is not removed", unchain)
    files = [each.path for each in os.scandir(node.volumes["cni-conf"])] + os.listdir(node.volumes["cni-bin"])
    need(len(files) == 1 and "weir-cni" not in open(files[0]).read(), f"left of the chain: {files}", unchain)
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


def check_role(cluster):
    """The agent used all of its role, and asked for nothing else."""
    broken = {"apiVersion": "cilium.io/v2", "spec": {"endpointSelector": {"matchLabels": 1}}}
    for kind, metadata in (("CiliumNetworkPolicy", {"namespace": "default"}), ("CiliumClusterwideNetworkPolicy", {})):
        cluster.apply({**broken, "kind": kind, "metadata": {"name": "broken", **metadata}})

    def told():
        found = cluster.get("ciliumclusterwidenetworkpolicies", "broken")
        conditions = (found or {}).get("status", {}).get("conditions", [{}])
        return conditions[0].get("status") == "False" and "endpointSelector" in conditions[0]["message"]

    wait("what is wrong with the policy, in its status", told)
    role = cluster.node.object("ClusterRole", "weir")["rules"]
    granted = {f"{verb} {resource}" for rule in role for resource in rule["resources"] for verb in rule["verbs"]}
    wait("an event about it", lambda: "create events" in cluster.asked()["used"])
    asked = cluster.asked()
    need(not asked["refused"], f"the role lacks {asked['refused']}")
    need(set(asked["used"]) == granted, f"nobody needs {granted - set(asked['used'])} of the role")
    for kind in ("ciliumnetworkpolicy", "ciliumclusterwidenetworkpolicy"):
        cluster.kubectl("delete", "--wait=false", kind, "broken")
    wait("they are gone", lambda: not (agent_says("status") or {"refused": 1})["refused"])
    enforced = cluster.get("ciliumnetworkpolicies", "allow-get-headers")["status"]["weir"]["enforced"]
    print(f"role: all {len(granted)} verbs used, none missing; the policy's status: enforced {enforced}")


def main():
    tools.schemas()
    if "--no-build" not in sys.argv:
        subprocess.run([os.path.join(tools.ROOT, "deploy/build-image.sh")], check=True)
    with tempfile.TemporaryDirectory(prefix="weir-image-") as folder:
        rootfs = os.path.join(folder, "rootfs")
        config, size = unpack(ARCHIVE, rootfs)
        check_files(rootfs, config, size)
        node, cluster = Node(folder, rootfs), None
        weir("lab", "down", "--name", LAB)
        try:
            weir("lab", "up", "--no-agent", "--name", LAB, "-f", f"{SCENARIO}/sleep.yaml", "-f", f"{SCENARIO}/httpbin.yaml")
            need(status_of("/ip") == 200, "the lab itself does not work")
            cluster = Cluster(node)
            cluster.fill()
            NewPod.configure(node)
            check_names(node)
            check_each(node)
            agent, proxy = node.start("agent", "agent"), node.start("proxy", "proxy")
            need(in_force(agent, proxy), "agent and proxy do not come up", agent, proxy)
            check_privileges(node, agent, proxy)
            check_probes(node)
            check_test(node, "weir-test-agent", "status")
            check_requests()
            check_new_pod(node, cluster)
            check_role(cluster)
            check_relay(node, cluster)
            check_webhook(node, cluster)
            check_rollout(node, agent, proxy)
            check_requests()
            check_uninstall(node)
        finally:
            node.stop_all()
            if cluster:
                cluster.stop()
            weir("lab", "down", "--name", LAB, ok=False)


if __name__ == "__main__":
    main()

"""The chart's other containers: relay, page and webhook, each as an unprivileged user."""
import base64
import json
import os
import subprocess

import deploytools as tools
from image.container import Container, configuration
from image.node import NETNS, SCENARIO, WEIR, need, on_node, wait

# A DNS server for some names, which lead to this node. Every other name does not exist.
DNS = """
import socket, struct, sys
questions = [b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + bytes(1) for name in sys.argv[1:]]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("127.0.0.53", 53))
while True:
    asked, client = link.recvfrom(512)
    end = asked.index(bytes(1), 12) + 1
    known, kind = asked[12:end].lower() in questions, struct.unpack("!H", asked[end:end + 2])[0]
    answer = struct.pack("!HHHLH4s", 0xc00c, 1, 1, 5, 4, bytes([127, 0, 0, 1])) if known and kind == 1 else b""
    head = asked[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, bool(answer), 0, 0)
    link.sendto(head + asked[12:end + 4] + answer, client)
"""


def resolver(node, text, name="resolv.conf"):
    """The mount of a pod's /etc/resolv.conf, as a kubelet writes it."""
    path = os.path.join(node.folder, name)
    with open(path, "w") as file:
        file.write(text)
    return {"destination": "/etc/resolv.conf", "type": "bind", "source": path, "options": ["bind", "ro"]}


def check_test(node, pod, part, *mounts):
    """A pod that `helm test` starts ends well."""
    test = node.start(pod, part, node.object("Pod", pod)["spec"], more=mounts)
    wait(f"{pod} ends", lambda: not test.alive())
    need(test.process.returncode == 0 and test.log().strip(), f"helm test: {pod} fails", test)
    node.remove(test)
    print(f"helm test: {pod} ends well")


def check_relay(node, cluster):
    """Flows of the agent by the relay, which finds it by the name of the headless service."""
    names = [f"{name}.{tools.NAMESPACE}.svc.cluster.local" for name in ("weir-observers", "weir-relay")]
    dns = subprocess.Popen(["ip", "netns", "exec", NETNS, "python3", "-c", DNS, *names], stdin=subprocess.DEVNULL)
    try:
        mount = resolver(node, "nameserver 127.0.0.53\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
        pod, volumes = node.template("Deployment", "weir-relay"), {"run": node.volumes["relay"]}
        relay = node.start("relay", "relay", pod, more=[mount], volumes=volumes)
        page = node.start("ui", "ui", pod, volumes=volumes)
        keys = node.volumes["observe-tls"]
        asked = [WEIR, "observe", "--server", "localhost:4245", "--tls-ca-cert-file", f"{keys}/ca.crt",
                 "--tls-client-cert-file", f"{keys}/tls.crt", "--tls-client-key-file", f"{keys}/tls.key",
                 "--verdict", "DROPPED", "--type", "l7", "--last", "1"]  # fmt: skip

        def denied():
            need(relay.alive(), "the relay has ended", relay)
            return "/ip" in on_node(*asked, ok=False).stdout

        wait("the relay tells of the denial", denied)
        check_test(node, "weir-test-relay", "observe", mount)
        stranger = on_node(*asked[:6], "--last", "1", ok=False)
        need(stranger.returncode != 0, f"the relay answers a client without a certificate: {stranger.stdout}", relay)
        with open(os.path.join(node.volumes["ui-token"], "token")) as file:
            token = file.read().strip()

        def page_status(*words):
            done = on_node("curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *words, "http://127.0.0.1:12000/api/status", ok=False)
            return done.stdout

        wait("the page with its token", lambda: page_status("-H", f"Authorization: Bearer {token}") == "200")
        need(page_status() == "401", f"the page without its token: {page_status()}", page)
        for container in (page, relay):
            need(container.status()["Uid"].split() == ["65534"] * 4, f"{container.name} runs as {container.status()['Uid']}")
            need(container.status()["CapEff"] == "0" * 16, f"{container.name} has {container.status()['CapEff']}")
            node.remove(container)
    finally:
        dns.terminate()
        dns.wait()
    print("relay: the agent found by the service's name, flows with certificates only; page: with its token only")


def check_webhook(node, cluster):
    """What an API server asks the webhook, with the authority of the configuration."""
    webhook = node.start("webhook", "webhook", node.template("Deployment", "weir-webhook"))
    config = node.object("ValidatingWebhookConfiguration", "weir")["webhooks"][0]["clientConfig"]
    authority = cluster.path("webhook-ca.crt")
    with open(authority, "wb") as file:
        file.write(base64.b64decode(config["caBundle"]))
    name = f"{config['service']['name']}.{config['service']['namespace']}.svc"
    url = f"https://{name}:9443{config['service']['path']}"

    def review(policy):
        schema = {"kind": {"group": "cilium.io", "version": "v2", "kind": policy["kind"]}, "operation": "CREATE"}
        asked = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", **schema, "object": policy}}
        done = on_node("curl", "-s", "-m", "5", "--cacert", authority, "--resolve", f"{name}:9443:127.0.0.1",
                       "-H", "Content-Type: application/json", "-d", "@-", url, ok=False, input=json.dumps(asked))  # fmt: skip
        return json.loads(done.stdout)["response"] if done.returncode == 0 else None

    with open(f"{SCENARIO}/policies/allow-get-headers.yaml") as example:
        policy = tools.objects(example.read())[0]
    need(wait("the webhook answers", lambda: review(policy))["allowed"] is True, "a good policy is refused", webhook)
    policy["spec"]["ingress"][0]["toPorts"][0]["ports"][0]["port"] = "99999"
    refused = review(policy)
    need(not refused["allowed"] and "toPorts[0].ports[0].port" in refused["status"]["message"], f"a bad policy: {refused}", webhook)
    node.remove(webhook)
    print(f"webhook: a good policy allowed, a bad one refused: {refused['status']['message'][:90]}")


def check_names(node):
    """The static binary asks the DNS server that the kubelet writes into /etc/resolv.conf."""
    mount = resolver(node, "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", "names.conf")
    spec = json.loads(json.dumps(node.part(node.pod, "proxy")))
    netns = subprocess.run(["sh", "-c", f"ls -d /run/netns/{NETNS.removesuffix('node')}default-sleep-*"], check=False, capture_output=True, text=True).stdout.strip()
    said = {}
    for name in ("httpbin", "nobody"):
        words = ["/weir", "observe", "--server", f"{name}:8000", "--last", "1"]
        config = configuration(node.rootfs, node.pod, spec, words, netns, node.volumes, {})
        config["mounts"].append(mount)
        container = Container(f"names-{name}", node.folder, config)
        wait("it ends", lambda: not container.alive())
        said[name] = container.log()
        container.remove()
    unknown = ("lookup", "resolve", "Name or service", "name resolution")
    need(any(word in said["nobody"] for word in unknown), f"a name that nobody has: {said['nobody']}")
    need(not any(word in said["httpbin"] for word in unknown), f"a name of the cluster: {said['httpbin']}")
    print("names of the cluster: resolved inside the image")

#!/usr/bin/env python3
"""Asks a lab's observer as another make of client would, and has a real Prometheus scrape it.

The client is gRPC's own for Python, with messages made of the public API's numbers (hubble_api.py),
not of our text; our text is compared with these numbers. It asks the agent, and a relay before it. The
traffic is the workshop's, before and after its HTTP policy.
"""
import os
import subprocess
import sys
import tempfile

import hubble_api
from labcheck import PROMETHEUS, ROOT, WEIR, Prometheus, python_packages, wait, weir
from workshop import HTTP, S4, play

LAB = "testobserver"
ROUNDS = 4


def curl(*words):
    weir("lab", "exec", "--name", LAB, "deploy/sleep", "--", "curl", "-4", "-s", "-m", "5", "-o", "/dev/null", *words)


def traffic():
    for _ in range(ROUNDS):
        for method, url in S4.load():
            curl("-X", method, url)


def same_numbers(library):
    """Our text, compiled by protoc's own parser, has the numbers of the public one."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    proto = os.path.join(ROOT, "observe/proto")
    well_known = os.path.join(library, "grpc_tools/_proto")
    files = ["flow/flow.proto", "observer/observer.proto", "relay/relay.proto", "peer/peer.proto", "weir/why.proto"]
    with tempfile.NamedTemporaryFile(prefix="weir-observer-") as out:
        if protoc.main(["protoc", f"-I{proto}", f"-I{well_known}", f"--descriptor_set_out={out.name}", *files]):
            sys.exit("protoc does not take the API's text")
        wrong = hubble_api.compare(descriptor_pb2.FileDescriptorSet.FromString(out.read()))
    if wrong:
        sys.exit("observe/proto is not the public API:\n" + "\n".join(wrong))


class Client:
    """Calls by name; messages as attributes: client.GetNodes(), client.FlowFilter(...)."""

    def __init__(self, target):
        import grpc

        # Without this option gRPC's C core names the socket's path as authority, which HTTP/2
        # forbids; the Go clients, hubble among them, say localhost.
        self.channel = grpc.insecure_channel(target, options=[("grpc.default_authority", "localhost")])
        self.messages = hubble_api.classes()

    def message(self, name, **values):
        return self.messages[name](**values)

    def call(self, method, timeout=None, **values):
        asked, answer = hubble_api.METHODS[method]
        make = self.channel.unary_stream if method in hubble_api.STREAMS else self.channel.unary_unary
        stub = make("/" + method, self.messages[asked].SerializeToString, self.messages[answer].FromString)
        return stub(self.message(asked, **values), timeout=timeout)

    def flows(self, number=0, **filters):
        wanted = self.message("flow.FlowFilter", **filters)
        answers = self.call("observer.Observer/GetFlows", number=number, whitelist=[wanted])
        return [answer.flow for answer in answers if answer.HasField("flow")]

    def one(self, method):
        return self.call("observer.Observer/" + method)


def ask():
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    client = Client(f"unix:///run/weir/weir-lab-{LAB}/hubble.sock")
    health = health_pb2_grpc.HealthStub(client.channel).Check(health_pb2.HealthCheckRequest(service="hubble.server.Observer"))
    assert health.status == health_pb2.HealthCheckResponse.SERVING, health
    flows = client.flows
    status = client.one("ServerStatus")
    assert status.num_flows > 0 and status.max_flows > status.num_flows, status
    assert [node.name for node in client.one("GetNodes").nodes] == ["lab-node"]
    spaces = client.one("GetNamespaces").namespaces
    assert {space.namespace for space in spaces} >= {"default", "kube-system"}, spaces

    denied = wait("denied requests", lambda: [f for f in [flows(verdict=[2], protocol=["http"])] if len(f) >= 2 * ROUNDS])[0]
    assert len(denied) == 2 * ROUNDS, len(denied)
    one = denied[-1]
    assert one.source.pod_name.startswith("sleep-") and one.destination.namespace == "default", one
    assert one.ingress_denied_by[0].name == "allow-get-headers" and one.policy_log, one
    # What Weir says beyond the API comes as a field that this client does not know.
    assert b"allow-get-headers" in one.SerializeToString()
    assert len(flows(http_status_code=["403"])) == 2 * ROUNDS
    assert len(flows(http_status_code=["2+"])) == ROUNDS
    assert len(flows(number=3, http_method=["POST"])) == 3
    assert not flows(source_pod=["default/nobody"])
    try:
        flows(source_ip=["nonsense"])
        sys.exit("an address that is none was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    dropped = flows(experimental={"cel_expression": ["_flow.verdict == Verdict.DROPPED && has(_flow.l7.http)"]})
    assert [flow.uuid for flow in dropped] == [flow.uuid for flow in denied], len(dropped)
    peers = client.call("peer.Peer/Notify", timeout=60)
    assert next(peers).name == "lab-node"
    peers.cancel()
    for method in ("GetAgentEvents", "GetDebugEvents"):
        try:
            list(client.channel.unary_stream("/observer.Observer/" + method)(b""))
            sys.exit(f"{method} was answered")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED and "tell of flows" in error.details(), error
    masked = client.call("observer.Observer/GetFlows", number=1, field_mask={"paths": ["verdict", "source.namespace"]})
    flow = [answer.flow for answer in masked if answer.HasField("flow")][0]
    assert flow.verdict and not flow.uuid and not flow.HasField("destination"), flow

    path = client.message("flow.FlowFilter", http_path=["^/anything$"])
    follower = client.call("observer.Observer/GetFlows", timeout=60, follow=True, whitelist=[path])
    # The first answer comes at once or with the flow: either way one request is enough.
    follower.initial_metadata()
    curl("httpbin:8000/anything")
    assert next(follower).flow.l7.http.url.endswith("/anything")
    follower.cancel()
    return client


def ask_relay(agent):
    """The same from a relay, which has one node more that never answers."""
    with tempfile.TemporaryDirectory(prefix="weir-relay-") as folder:
        path = f"{folder}/relay.sock"
        words = ["relay", "--lab", LAB, "--peer", f"unix://{folder}/nobody.sock", "--listen", "127.0.0.1:0", "--socket", path]
        relay = subprocess.Popen([WEIR, *words], stderr=subprocess.DEVNULL)
        try:
            wait("the relay's socket", lambda: os.path.exists(path))
            client = Client(f"unix://{path}")
            status = client.one("ServerStatus")
            assert (status.num_connected_nodes.value, status.num_unavailable_nodes.value) == (1, 1), status
            states = {node.name: node.state for node in client.one("GetNodes").nodes}
            assert states == {"lab-node": 1, f"unix://{folder}/nobody.sock": 2}, states
            assert client.one("GetNamespaces").SerializeToString() == agent.one("GetNamespaces").SerializeToString()
            answers = list(client.call("observer.Observer/GetFlows", number=5))
            told = [(answer.node_status.state_change, *answer.node_status.node_names) for answer in answers if answer.HasField("node_status")]
            assert told == [(1, "lab-node"), (2, f"unix://{folder}/nobody.sock")], told
            assert [answer.flow.uuid for answer in answers if answer.HasField("flow")] == [flow.uuid for flow in agent.flows(number=5)]
            peers = client.call("peer.Peer/Notify", timeout=60)
            assert {next(peers).name, next(peers).name} == set(states)
            peers.cancel()
        finally:
            relay.terminate()
            assert relay.wait() == 0, "the relay did not end well"


def prometheus():
    """Requests by status, as a real Prometheus has them, equal what was sent."""
    text = weir("lab", "exec", "--name", LAB, "@node", "--", "curl", "-s", "http://127.0.0.1:9965/metrics")
    checked = subprocess.run([f"{PROMETHEUS}/promtool", "check", "metrics"], check=False, input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    job = {"job_name": "weir", "static_configs": [{"targets": ["127.0.0.1:9965"]}]}
    with Prometheus(LAB, [job]) as server:
        requests = "hubble_http_requests_total{source_workload='sleep',destination_workload='httpbin'}"
        found = wait("a scrape", lambda: server.counts(f"sum by (method, status) ({requests})", "method", "status"))
        expected = {("GET", "200"): ROUNDS, ("GET", "403"): ROUNDS + 1, ("POST", "403"): ROUNDS}
        assert found == expected, found


def main():
    same_numbers(python_packages("observer-client", "grpcio", "grpcio-tools", "grpcio-health-checking"))
    weir("lab", "down", "--name", LAB)
    weir("lab", "up", "--name", LAB, *S4.manifests())
    try:
        traffic()
        play(HTTP, LAB)
        traffic()
        ask_relay(ask())
        prometheus()
    finally:
        weir("lab", "down", "--name", LAB, check=False)
    print("observer and relay answer a client of another make, and Prometheus counts what was sent")


main()

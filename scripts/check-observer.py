#!/usr/bin/env python3
"""Asks a lab's observer as another make of client would, and has a real Prometheus scrape it.

The client is gRPC's own for Python, with the API's text compiled by protoc's own parser; the traffic
is the workshop's: GET /headers, GET /ip and POST /post, before and after the HTTP policy.
"""
import os
import subprocess
import sys
import tempfile

from labcheck import PROMETHEUS, ROOT, Prometheus, python_packages, wait, weir

LAB = "testobserver"
ROUNDS = 4


def curl(*words):
    weir("lab", "exec", "--name", LAB, "deploy/sleep", "--", "curl", "-4", "-s", "-m", "5", "-o", "/dev/null", *words)


def traffic():
    for _ in range(ROUNDS):
        curl("httpbin:8000/headers")
        curl("httpbin:8000/ip")
        curl("-X", "POST", "httpbin:8000/post")


def libraries():
    """The client, from PyPI, beside what is built."""
    library = python_packages("observer-client", "grpcio", "grpcio-tools", "grpcio-health-checking")
    from grpc_tools import protoc

    proto = os.path.join(ROOT, "observe/proto")
    well_known = os.path.join(library, "grpc_tools/_proto")
    out = tempfile.mkdtemp(prefix="weir-observer-")
    files = ["flow/flow.proto", "observer/observer.proto", "relay/relay.proto", "weir/why.proto"]
    if protoc.main(["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]):
        sys.exit("protoc does not take the API's text")
    sys.path.insert(0, out)


def ask():
    import grpc
    from flow import flow_pb2
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from observer import observer_pb2, observer_pb2_grpc

    # Without this option gRPC's C core names the socket's path as authority, which HTTP/2 forbids;
    # the Go clients, hubble among them, say localhost.
    options = [("grpc.default_authority", "localhost")]
    channel = grpc.insecure_channel(f"unix:///run/weir/weir-lab-{LAB}/hubble.sock", options=options)
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="hubble.server.Observer"))
    assert health.status == health_pb2.HealthCheckResponse.SERVING, health
    stub = observer_pb2_grpc.ObserverStub(channel)

    def flows(number=0, **filters):
        request = observer_pb2.GetFlowsRequest(number=number, whitelist=[flow_pb2.FlowFilter(**filters)])
        return [answer.flow for answer in stub.GetFlows(request) if answer.HasField("flow")]

    status = stub.ServerStatus(observer_pb2.ServerStatusRequest())
    assert status.num_flows > 0 and status.max_flows > status.num_flows, status
    nodes = stub.GetNodes(observer_pb2.GetNodesRequest()).nodes
    assert [node.name for node in nodes] == ["lab-node"], nodes
    spaces = stub.GetNamespaces(observer_pb2.GetNamespacesRequest()).namespaces
    assert {space.namespace for space in spaces} >= {"default", "kube-system"}, spaces

    denied = wait("denied requests", lambda: [f for f in [flows(verdict=["DROPPED"], protocol=["http"])] if len(f) >= 2 * ROUNDS])[0]
    assert len(denied) == 2 * ROUNDS, len(denied)
    one = denied[-1]
    assert one.source.pod_name.startswith("sleep-") and one.destination.namespace == "default", one
    assert one.ingress_denied_by[0].name == "allow-get-headers", one
    assert one.weir.reason and one.policy_log, one
    assert len(flows(http_status_code=["403"])) == 2 * ROUNDS
    assert len(flows(http_status_code=["2+"])) == ROUNDS
    assert len(flows(number=3, http_method=["POST"])) == 3
    assert not flows(source_pod=["default/nobody"])
    try:
        flows(source_ip=["nonsense"])
        sys.exit("an address that is none was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error

    follower = stub.GetFlows(observer_pb2.GetFlowsRequest(follow=True, whitelist=[flow_pb2.FlowFilter(http_path=["^/anything$"])]), timeout=60)
    # The first answer comes at once or with the flow: either way one request is enough.
    follower.initial_metadata()
    curl("httpbin:8000/anything")
    assert next(follower).flow.l7.http.url.endswith("/anything")
    follower.cancel()


def prometheus():
    """Requests by status, as a real Prometheus has them, equal what was sent."""
    text = weir("lab", "exec", "--name", LAB, "@node", "--", "curl", "-s", "http://127.0.0.1:9965/metrics")
    checked = subprocess.run([f"{PROMETHEUS}/promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    job = {"job_name": "weir", "static_configs": [{"targets": ["127.0.0.1:9965"]}]}
    with Prometheus(LAB, [job]) as server:
        requests = "hubble_http_requests_total{source_workload='sleep',destination_workload='httpbin'}"
        found = wait("a scrape", lambda: server.counts(f"sum by (method, status) ({requests})", "method", "status"))
        expected = {("GET", "200"): ROUNDS, ("GET", "403"): ROUNDS + 1, ("POST", "403"): ROUNDS}
        assert found == expected, found


def main():
    libraries()
    weir("lab", "down", "--name", LAB)
    scenario = os.path.join(ROOT, "lab/scenarios/s4")
    weir("lab", "up", "--name", LAB, "-f", f"{scenario}/sleep.yaml", "-f", f"{scenario}/httpbin.yaml")
    try:
        traffic()
        weir("lab", "apply", "--name", LAB, "-f", f"{scenario}/policies/allow-get-headers.yaml")
        traffic()
        ask()
        prometheus()
    finally:
        weir("lab", "down", "--name", LAB, check=False)
    print("the observer answers a client of another make, and Prometheus counts what was sent")


main()

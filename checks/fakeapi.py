"""As much of an API server as `helm template --dry-run=server` asks: versions, and whether a
CustomResourceDefinition is there."""
import contextlib
import http.server
import json
import tempfile
import threading

GROUP = "apiextensions.k8s.io"
KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{name: fake, cluster: {server: "http://127.0.0.1:%d"}}]
contexts: [{name: fake, context: {cluster: fake, user: fake}}]
users: [{name: fake, user: {}}]
current-context: fake
"""


# What the chart makes: group, version, and kinds with their resources and whether they are namespaced.
KINDS = {
    ("", "v1"): {"ServiceAccount": ("serviceaccounts", True), "Service": ("services", True)},
    ("apps", "v1"): {"DaemonSet": ("daemonsets", True)},
    ("rbac.authorization.k8s.io", "v1"): {
        "ClusterRole": ("clusterroles", False),
        "ClusterRoleBinding": ("clusterrolebindings", False),
    },
    (GROUP, "v1"): {"CustomResourceDefinition": ("customresourcedefinitions", False)},
}


def answers(definition):
    """What is answered at which path."""
    groups: list[dict[str, object]] = []
    found = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": groups},
    }
    for (group, version), kinds in KINDS.items():
        named = f"{group}/{version}" if group else version
        resources = [
            {"name": name, "kind": kind, "namespaced": namespaced, "verbs": ["get"]}
            for kind, (name, namespaced) in kinds.items()
        ]
        path = f"/apis/{named}" if group else "/api/v1"
        found[path] = {"kind": "APIResourceList", "groupVersion": named, "resources": resources}
        if group:
            served = {"groupVersion": named, "version": version}
            groups.append({"name": group, "versions": [served], "preferredVersion": served})
    if definition:
        found[f"/apis/{GROUP}/v1/customresourcedefinitions/{definition['metadata']['name']}"] = definition
    return found


@contextlib.contextmanager
def serving(definition):
    """Serves on loopback as long as the block lasts; gives the path of a kubeconfig."""
    known = answers(definition)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = known.get(self.path.split("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            data = json.dumps(body or missing).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(KUBECONFIG % server.server_address[1])
        file.flush()
        try:
            yield file.name
        finally:
            server.shutdown()
            server.server_close()

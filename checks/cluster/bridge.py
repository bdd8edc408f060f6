"""Adds to the source of Kubernetes 1.20, in the current folder, what Weir needs of newer versions:

- `discovery.k8s.io/v1` EndpointSlices (1.21): served beside v1beta1, whose shape they have;
- `maxSurge` of DaemonSets' rolling updates (1.22), in JSON only: its protobuf stays as it was, so the
  cluster stores JSON and its controllers ask for JSON.

    bridge.py surge.go
"""
import glob
import os
import re
import shutil
import sys


def edit(path, change):
    with open(path) as file:
        text = file.read()
    new = change(text)
    if new == text:
        sys.exit(f"bridge.py: nothing to change in {path}: this is not the source it is for")
    with open(path, "w") as file:
        file.write(new)


def replace(path, old, new):
    edit(path, lambda text: text.replace(old, new, 1))


def before(path, start, marker, new):
    """Puts text before the first marker that follows the start."""
    def change(text):
        index = text.index(marker, text.index(start))
        return text[:index] + new + text[index:]

    edit(path, change)


def slices():
    """EndpointSlices of v1: what v1beta1 is, under another name, with `topology` as v1 calls it."""
    for folder in ("staging/src/k8s.io/api/discovery", "pkg/apis/discovery"):
        shutil.copytree(f"{folder}/v1beta1", f"{folder}/v1")
        for path in glob.glob(f"{folder}/v1/*"):
            if path.endswith(("_test.go", "BUILD", "prerelease-lifecycle.go", ".proto")):
                os.remove(path)
                continue
            with open(path) as file:
                text = file.read()
            # The core API is called v1 in there.
            text = re.sub(r'\bv1 "k8s.io/api/core/v1"', 'corev1 "k8s.io/api/core/v1"', text)
            text = re.sub(r"(?<![\w.])v1\.(?=[A-Z])", "corev1.", text)
            with open(path, "w") as file:
                file.write(text.replace("v1beta1", "v1").replace('json:"topology,omitempty"', 'json:"deprecatedTopology,omitempty"'))

    path = "pkg/apis/discovery/install/install.go"
    replace(path, '\t"k8s.io/kubernetes/pkg/apis/discovery/v1alpha1"\n', '\t"k8s.io/kubernetes/pkg/apis/discovery/v1"\n\t"k8s.io/kubernetes/pkg/apis/discovery/v1alpha1"\n')
    replace(path, "\tutilruntime.Must(v1beta1.Add", "\tutilruntime.Must(v1.AddToScheme(scheme))\n\tutilruntime.Must(v1beta1.Add")
    replace(path, "(v1beta1.SchemeGroupVersion, v1alpha1", "(v1beta1.SchemeGroupVersion, v1.SchemeGroupVersion, v1alpha1")

    path = "pkg/registry/discovery/rest/storage_discovery.go"
    named = '\tdiscoveryv1 "k8s.io/api/discovery/v1"\n\tdiscoveryv1beta1 "'
    replace(path, '\tdiscoveryv1beta1 "', named)

    def served_too(text):
        start, end = text.index("\tif apiResourceConfigSource.VersionEnabled(discoveryv1beta1"), text.index("\treturn apiGroupInfo, true, nil")
        block = text[start:end].replace("discoveryv1beta1", "discoveryv1")
        return text[:end] + block + text[end:]

    edit(path, served_too)
    path = "pkg/controlplane/instance.go"
    replace(path, '\tdiscoveryv1beta1 "', named)
    replace(path, "\t\tdiscoveryv1beta1.SchemeGroupVersion,", "\t\tdiscoveryv1.SchemeGroupVersion,\n\t\tdiscoveryv1beta1.SchemeGroupVersion,")
    version = '\t{Group: "discovery.k8s.io", Version: '
    replace("cmd/kube-apiserver/app/aggregator.go", f'{version}"v1beta1"}}', f'{version}"v1"}}: {{group: 16200, version: 15}},\n{version}"v1beta1"}}')
    path = "staging/src/k8s.io/client-go/kubernetes/scheme/register.go"
    replace(path, '\tdiscoveryv1alpha1 "', '\tdiscoveryv1 "k8s.io/api/discovery/v1"\n\tdiscoveryv1alpha1 "')
    replace(path, "\tdiscoveryv1alpha1.Add", "\tdiscoveryv1.AddToScheme,\n\tdiscoveryv1alpha1.Add")


def surge(source):
    """`maxSurge`: a field of both types, its conversion and validation, and what the controller does."""
    api = "staging/src/k8s.io/api/apps/v1"
    kind = "type RollingUpdateDaemonSet struct"
    field = '\t// How many nodes may run the new pod beside the old one during the update.\n\t// +optional\n\tMaxSurge *intstr.IntOrString `json:"maxSurge,omitempty" protobuf:"bytes,2,opt,name=maxSurge"`\n'
    before(f"{api}/types.go", kind, "}\n", field)
    copied = "\tif in.MaxSurge != nil {\n\t\tin, out := &in.MaxSurge, &out.MaxSurge\n\t\t*out = new(intstr.IntOrString)\n\t\t**out = **in\n\t}\n"
    before(f"{api}/zz_generated.deepcopy.go", "func (in *RollingUpdateDaemonSet) DeepCopyInto", "\treturn\n}", copied)
    before("pkg/apis/apps/types.go", kind, "}\n", "\t// How many nodes may run the new pod beside the old one.\n\tMaxSurge intstr.IntOrString\n")
    plain, pointer = "intstr_IntOrString", "Pointer_intstr_IntOrString"
    for name, convert in (
        ("v1_RollingUpdateDaemonSet_To_apps_RollingUpdateDaemonSet", f"{pointer}_To_{plain}"),
        ("apps_RollingUpdateDaemonSet_To_v1_RollingUpdateDaemonSet", f"{plain}_To_{pointer}"),
    ):
        call = f"\tif err := metav1.Convert_{convert}(&in.MaxSurge, &out.MaxSurge, s); err != nil {{\n\t\treturn err\n\t}}\n"
        before("pkg/apis/apps/v1/zz_generated.conversion.go", f"func autoConvert_{name}(", "\treturn nil\n}", call)

    def validated(text):
        start = text.index("func ValidateRollingUpdateDaemonSet")
        rest = text[start:]
        rest = rest.replace(
            "\tif getIntOrPercentValue(rollingUpdate.MaxUnavailable) == 0 {\n",
            '\tallErrs = append(allErrs, ValidatePositiveIntOrPercent(rollingUpdate.MaxSurge, fldPath.Child("maxSurge"))...)\n'
            "\tif (getIntOrPercentValue(rollingUpdate.MaxUnavailable) == 0) == (getIntOrPercentValue(rollingUpdate.MaxSurge) == 0) {\n",
            1,
        )
        return text[:start] + rest.replace('"cannot be 0"', '"exactly one of maxUnavailable and maxSurge must be 0"', 1)

    edit("pkg/apis/apps/validation/validation.go", validated)
    controller = "pkg/controller/daemon"
    replace(f"{controller}/daemon_controller.go", "\t\tif len(daemonPodsRunning) > 1 {\n", "\t\tif len(daemonPodsRunning) > 1 && !surges(ds) {\n")
    replace(f"{controller}/update.go", "\t_, oldPods := dsc.getAllDaemonSetPods(ds", "\tif surges(ds) {\n\t\treturn dsc.surge(ds, nodeList, nodeToDaemonPods, hash)\n\t}\n\t_, oldPods := dsc.getAllDaemonSetPods(ds")
    shutil.copy(source, f"{controller}/surge.go")


slices()
surge(sys.argv[1])

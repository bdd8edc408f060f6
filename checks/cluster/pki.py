"""The cluster's certificates and kubeconfigs, made with openssl: everybody has a name of their own,
as on any cluster, so that RBAC and the node authorizer judge them as they would there."""
import base64
import os

from settings import ADMIN, API, API_SERVICE, NODES, PKI, PLANE_ADDRESS, STATE, run

# Name of the file: common name, organisation, names a server has.
PEOPLE = {
    "admin": ("admin", "system:masters", ""),
    "controller-manager": ("system:kube-controller-manager", "", ""),
    "scheduler": ("system:kube-scheduler", "", ""),
    "kube-proxy": ("system:kube-proxy", "", ""),
    "kubelet-client": ("kube-apiserver-kubelet-client", "system:masters", ""),
    "front-proxy": ("front-proxy-client", "", ""),
    "apiserver": (
        "kube-apiserver",
        "",
        f"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:{API_SERVICE},IP:{PLANE_ADDRESS}",
    ),
    **{name: (f"system:node:{name}", "system:nodes", f"DNS:{name},IP:{node['address']}") for name, node in NODES.items()},
}


def path(name):
    return os.path.join(PKI, name)


def openssl(*words):
    run("openssl", *words)


def make():
    os.makedirs(PKI, mode=0o700)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=weir-test-cluster", "-keyout", path("ca.key"), "-out", path("ca.crt"))
    for name, (common, organisation, names) in PEOPLE.items():
        subject = f"/CN={common}" + (f"/O={organisation}" if organisation else "")
        extensions = "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n" + (f"subjectAltName={names}\n" if names else "")
        with open(path(f"{name}.ext"), "w") as file:
            file.write(extensions)
        openssl("req", "-new", *key, "-subj", subject, "-keyout", path(f"{name}.key"), "-out", path(f"{name}.csr"))
        openssl("x509", "-req", "-in", path(f"{name}.csr"), "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial",
                "-days", "30", "-extfile", path(f"{name}.ext"), "-out", path(f"{name}.crt"))  # fmt: skip
    openssl("genrsa", "-out", path("accounts.key"), "2048")
    openssl("rsa", "-in", path("accounts.key"), "-pubout", "-out", path("accounts.pub"))
    for name in ("controller-manager", "scheduler", "kube-proxy", *NODES):
        kubeconfig(os.path.join(STATE, f"{name}.kubeconfig"), name)
    kubeconfig(ADMIN, "admin")


def encoded(name):
    with open(path(name), "rb") as file:
        return base64.b64encode(file.read()).decode()


def kubeconfig(target, name, token=None):
    """For a person with a certificate, or for a service account with its token."""
    user = f"token: {token}" if token else f"client-certificate-data: {encoded(f'{name}.crt')}, client-key-data: {encoded(f'{name}.key')}"
    with open(target, "w") as file:
        os.chmod(target, 0o600)
        file.write(
            f"""apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: {API}, certificate-authority-data: {encoded("ca.crt")}}}}}]
users: [{{name: {name}, user: {{{user}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: {name}}}}}]
current-context: test
"""
        )
    return target

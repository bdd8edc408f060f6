"""The images that the cluster pulls: made from what is on this machine, put where registry.py finds
them under the names that the manifests have.

Weir's own comes from deploy/build-image.sh, as on any cluster. What plays httpbin and the DNS is
`weir lab workload`; curl is Debian's with its libraries; the pause program is Kubernetes' own.
"""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile

from settings import BINARIES, ROOT, STATE, fail, run

FOLDER = os.path.join(STATE, "images")
ARCHIVE = os.environ.get("WEIR_IMAGE", os.path.join(ROOT, "target/container/weir.tar"))
WEIR = "registry.example/weir:0.1.0"


def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(os.path.join(FOLDER, "blobs"), exist_ok=True)
    with open(os.path.join(FOLDER, "blobs", digest), "wb") as file:
        file.write(data)
    return f"sha256:{digest}"


def manifest(name, data):
    """Under a name without the registry's host, as mirrors are asked for it."""
    repository, tag = name.rsplit(":", 1)
    folder = os.path.join(FOLDER, repository.split("/", 1)[1], tag)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "manifest.json"), "wb") as file:
        file.write(data)
    blob(data)


def make(name, files, **config):
    """An image of one layer: {path in the image: path here, bytes, or a link's target after `->`}."""
    tarball = io.BytesIO()
    with tarfile.open(fileobj=tarball, mode="w") as tar:
        for folder in ("tmp", "etc", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, source in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.mode = 0o755
            if isinstance(source, str) and source.startswith("->"):
                entry.type, entry.linkname = tarfile.SYMTYPE, source[2:]
                tar.addfile(entry)
                continue
            if isinstance(source, str):
                with open(source, "rb") as file:
                    source = file.read()
            entry.size = len(source)
            tar.addfile(entry, io.BytesIO(source))
    plain = tarball.getvalue()
    packed = gzip.compress(plain, 1, mtime=0)
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob(packed), "size": len(packed)}
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]}
    told = json.dumps({"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs}).encode()
    settings = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(told), "size": len(told)}
    manifest(name, json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": settings, "layers": [layer]}).encode())


def from_archive(name):
    """Weir's image as deploy/build-image.sh made it; the path of its program here."""
    if not os.path.exists(ARCHIVE):
        fail(f"{ARCHIVE} is missing: deploy/build-image.sh makes it")
    with tarfile.open(ARCHIVE) as tar:
        def read(digest):
            return tar.extractfile(f"blobs/{digest.replace(':', '/')}").read()

        digest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
        data = read(digest)
        told = json.loads(data)
        layers = [read(each["digest"]) for each in told["layers"]]
        for each in (read(told["config"]["digest"]), *layers):
            blob(each)
    manifest(name, data)
    program = os.path.join(STATE, "weir")
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as files:
            if "weir" in files.getnames():
                with open(program, "wb") as out:
                    shutil.copyfileobj(files.extractfile("weir"), out)
    os.chmod(program, 0o755)
    return program


def with_libraries(*programs):
    """Programs of this machine with all they load, each at its own path."""
    files = {}
    for program in programs:
        program = shutil.which(program) or fail(f"{program} is missing")
        files[program] = os.path.realpath(program)
        for line in run("ldd", program).stdout.splitlines():
            path = next((word for word in line.split() if word.startswith("/")), None)
            if path:
                files[path] = os.path.realpath(path)
    return files


def up():
    program = from_archive(WEIR)
    pause = os.path.join(BINARIES, "pause")
    make("registry.k8s.io/pause:3.2", {"/pause": pause}, Entrypoint=["/pause"])
    served = {"/weir": program}
    make("docker.io/kennethreitz/httpbin:latest", served, Entrypoint=["/weir", "lab", "workload", "httpbin", "--pod", "default/httpbin", "--tcp", "80"])
    make("docker.io/weir/dns:latest", served, Entrypoint=["/weir", "lab", "workload", "dns", "--pod", "kube-system/dns", "--udp", "53", "--tcp", "53", "--zone", "/zone/names.json"])
    shell = with_libraries("sh", "sleep", "curl", "cat")
    make("docker.io/curlimages/curl:latest", shell, Env=["PATH=/usr/local/bin:/usr/bin:/bin"], Cmd=["sh"])


def build_pause(source):
    subprocess.run(["gcc", "-Os", "-static", "-DVERSION=3.2", "-o", os.path.join(BINARIES, "pause"), source], check=True)

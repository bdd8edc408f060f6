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
import tarfile

from settings import BINARIES, ROOT, STATE, fail, labcheck, run

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
    """Weir's image as deploy/build-image.sh made it: its manifest and its configuration."""
    if not os.path.exists(ARCHIVE):
        fail(f"{ARCHIVE} is missing: deploy/build-image.sh makes it")
    with tarfile.open(ARCHIVE) as tar:
        def read(digest):
            return labcheck.member(tar, f"blobs/{digest.replace(':', '/')}")

        data = read(json.loads(labcheck.member(tar, "index.json"))["manifests"][0]["digest"])
        told = json.loads(data)
        for each in (told["config"], *told["layers"]):
            blob(read(each["digest"]))
        # The same program asks from outside.
        for each in told["layers"]:
            with tarfile.open(fileobj=io.BytesIO(read(each["digest"]))) as files:
                if "weir" in files.getnames():
                    files.extract("weir", STATE, filter="tar")
        manifest(name, data)
        return told, json.loads(read(told["config"]["digest"]))


def same_files(name, of, **config):
    """An image of another image's layers that starts something else."""
    told, settings = (json.loads(json.dumps(each)) for each in of)
    settings["config"] = config
    data = json.dumps(settings).encode()
    told["config"].update(digest=blob(data), size=len(data))
    manifest(name, json.dumps(told).encode())


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
    weir = from_archive(WEIR)
    make("registry.k8s.io/pause:3.2", {"/pause": os.path.join(BINARIES, "pause")}, Entrypoint=["/pause"])
    play = ["/weir", "lab", "workload"]
    same_files("docker.io/kennethreitz/httpbin:latest", weir, Entrypoint=[*play, "httpbin", "--pod", "default/httpbin", "--tcp", "80"])
    zone = ["--udp", "53", "--tcp", "53", "--zone", "/zone/names.json"]
    same_files("docker.io/weir/dns:latest", weir, Entrypoint=[*play, "dns", "--pod", "kube-system/dns", *zone])
    shell = {"/bin": "->usr/bin", **with_libraries("sh", "sleep", "curl", "cat")}
    make("docker.io/curlimages/curl:latest", shell, Env=["PATH=/usr/local/bin:/usr/bin:/bin"], Cmd=["sh"])

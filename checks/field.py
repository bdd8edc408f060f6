#!/usr/bin/env python3
"""What others' tools take from this tree, taken by these tools: the GitHub Action's steps run as a
runner would, the hooks run by the real pre-commit, Argo CD's health check run as Lua 5.1.

    checks/field.py
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import deploytools as tools

S4 = os.path.join(tools.ROOT, "lab/scenarios/s4")
PACKAGES = ["check-jsonschema==0.39.0", "pre-commit==4.5.1", "lupa==2.8", "pyyaml"]
# Stands for Docker's: it tells what it was asked, and runs the image's program on this machine.
DOCKER = '#!/bin/bash\nprintf "%s\\n" "$*" >>"$DOCKER_LOG"\nwhile [ "$1" != registry.example/weir:1 ]; do shift; done\nshift\nexec weir "$@"\n'
BROKEN = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}, ingres: []}\n"
FAILING = "manifests: [good]\ntests: [{name: no, from: deploy/sleep, to: svc/httpbin, port: 8000, http: GET /ip, expect: allow}]\n"
PASSING = FAILING.replace("expect: allow", "expect: 403")
HEALTH = "resource.customizations.health.cilium.io_"


def python():
    """Installs the tools that read and run, once."""
    folder, stamp = os.path.join(tools.TOOLS, "field"), " ".join(PACKAGES)
    known = os.path.join(folder, ".installed")
    if not os.path.exists(known) or open(known).read() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        tools.pip("install", "--root-user-action", "ignore", "--target", folder, *PACKAGES)
        with open(known, "w") as file:
            file.write(stamp)
    sys.path.insert(0, folder)


def ran(*words, folder, **more):
    environment = {**os.environ, "PATH": f"{tools.ROOT}/target/debug:{os.environ['PATH']}", "PYTHONPATH": os.path.join(tools.TOOLS, "field")}
    return subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder, env={**environment, **more})


def need(good, what, done=None):
    if not good:
        tools.fail(what + (f"\n{done.stdout}{done.stderr}" if done else ""))


def repository(folder):
    """A repository of manifests, with one that is broken."""
    os.makedirs(os.path.join(folder, "good one"))
    for name in ("sleep", "httpbin", "policies/allow-get-headers"):
        shutil.copy(os.path.join(S4, f"{name}.yaml"), os.path.join(folder, "good one"))
    os.symlink("good one", os.path.join(folder, "good"))
    for name, text in (("broken.yaml", BROKEN), ("failing.yaml", FAILING), ("passing.yaml", PASSING)):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "."], check=True)


def action(folder):
    """Runs the action's steps with these inputs; what it left and its outputs."""
    import yaml

    described = yaml.safe_load(open(os.path.join(tools.ROOT, "action.yml")))
    (step,) = described["runs"]["steps"]

    def run(expected, more=None, **inputs):
        inputs = {key.replace("_", "-"): value for key, value in inputs.items()}
        known = {key: each.get("default", "") for key, each in described["inputs"].items()}
        need(inputs.keys() <= known.keys(), f"no such inputs: {inputs.keys() - known.keys()}")
        values = {f"${{{{ inputs.{key} }}}}": value for key, value in {**known, **inputs}.items()}
        output = os.path.join(folder, ".output")
        open(output, "w").close()
        done = ran("bash", "-e", "-c", step["run"], folder=folder, GITHUB_ACTION_PATH=tools.ROOT, GITHUB_OUTPUT=output,
                   **{key: values[value] for key, value in step["env"].items()}, **(more or {}))  # fmt: skip
        need(done.returncode == expected, f"the action with {inputs} ended with {done.returncode}, not {expected}", done)
        told = dict(line.split("=", 1) for line in open(output).read().splitlines())
        need(told.keys() == described["outputs"].keys(), f"outputs: {told}")
        return done, told

    return run


def check_action(folder):
    run = action(folder)
    done, told = run(0, paths=" good one \n", tests="passing.yaml", junit="junit.xml")
    need("W015" in done.stdout and "1 test ok" in done.stdout, "the log does not tell of findings and tests", done)
    sarif = json.load(open(os.path.join(folder, told["sarif"])))
    need(len(sarif["runs"][0]["results"]) == int(told["findings"]) == 2, f"findings: {told}")
    need(os.path.exists(os.path.join(folder, "junit.xml")), "no JUnit")
    run(1, paths="good one\nbroken.yaml")
    run(1, paths="good one", fail_on="note")
    run(1, paths="good one", tests="failing.yaml")
    done, _ = run(1, paths="$(touch made)\n; touch made")
    need(not os.path.exists(os.path.join(folder, "made")), "an input was read as a command")
    programs, log = os.path.join(folder, ".programs"), os.path.join(folder, ".docker")
    os.makedirs(programs)
    with open(os.path.join(programs, "docker"), "w") as file:
        file.write(DOCKER)
    os.chmod(file.name, 0o755)
    path = f"{programs}:{tools.ROOT}/target/debug:{os.environ['PATH']}"
    run(0, {"PATH": path, "DOCKER_LOG": log}, paths="good one", weir="registry.example/weir:1")
    asked = open(log).read().splitlines()
    need(all(f"--volume {folder}:/work" in line for line in asked) and len(asked) == 2, f"docker was asked: {asked}")
    print("action: findings, tests, outputs, an image; inputs are never commands")


def check_hooks(folder):
    # pre-commit clones the repository of the hooks: one with nothing but them is quick.
    hooks, manifest = os.path.join(folder, ".hooks"), os.path.join(tools.ROOT, ".pre-commit-hooks.yaml")
    subprocess.run(["git", "init", "--quiet", hooks], check=True)
    shutil.copy(manifest, hooks)
    somebody = ["-c", "user.name=check", "-c", "user.email=check@example.org"]
    for words in (["add", "."], [*somebody, "commit", "--quiet", "--message", "hooks"]):
        subprocess.run(["git", "-C", hooks, *words], check=True)

    head = subprocess.run(["git", "-C", hooks, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    def hook(name, *files, args=()):
        config = os.path.join(folder, ".pre-commit-config.yaml")
        with open(config, "w") as file:
            json.dump({"repos": [{"repo": hooks, "rev": head, "hooks": [{"id": name, **({"args": args} if args else {})}]}]}, file)
        subprocess.run(["git", "-C", folder, "add", config], check=True)
        return ran(sys.executable, "-m", "pre_commit", "run", name, "--verbose", "--files", *files,
                   folder=folder, PRE_COMMIT_HOME=os.path.join(folder, ".pre-commit"))  # fmt: skip

    done = ran(sys.executable, "-m", "pre_commit", "validate-manifest", manifest, folder=folder)
    need(done.returncode == 0, ".pre-commit-hooks.yaml", done)
    good = ["good one/sleep.yaml", "good one/httpbin.yaml", "good one/allow-get-headers.yaml"]
    done = hook("weir-lint", *good)
    need(done.returncode == 0 and "W015" in done.stdout, "the hook weir-lint on good files", done)
    done = hook("weir-lint", *good, "broken.yaml")
    need(done.returncode != 0 and "W001" in done.stdout, "the hook weir-lint on a broken file", done)
    for name, args, fails in (
        ("weir-lint-all", ["good one"], False),
        ("weir-lint-all", ["good one", "broken.yaml"], True),
        ("weir-test", ["passing.yaml"], False),
        ("weir-test", ["failing.yaml"], True),
    ):
        done = hook(name, *good, args=args)
        need(bool(done.returncode) == fails and "hook id" in done.stdout, f"the hook {name} with {args}", done)
    print("hooks: pre-commit takes the manifest; each passes what is good and tells of what is not")


def check_argocd():
    import lupa.lua51
    import yaml

    patch = yaml.safe_load(open(os.path.join(tools.ROOT, "deploy/argocd/argocd-cm.yaml")))["data"]
    need(patch.keys() == {HEALTH + "CiliumNetworkPolicy", HEALTH + "CiliumClusterwideNetworkPolicy"}, "kinds of argocd-cm")
    valid = {"type": "Valid", "status": "True", "observedGeneration": 2}
    bad = {**valid, "status": "False", "message": "spec.ingress[0]: no"}
    everywhere = {"revision": 2, "nodesEnforced": 2, "nodesTotal": 2, "enforced": "2/2"}
    for status, expected in (
        (None, ("Progressing", "no agent")),
        ({"conditions": [valid], "weir": everywhere}, ("Healthy", "2/2")),
        ({"conditions": [valid], "weir": {**everywhere, "nodesEnforced": 1, "enforced": "1/2"}}, ("Progressing", "1/2")),
        ({"conditions": [valid], "weir": {**everywhere, "revision": 1}}, ("Progressing", "this version")),
        ({"conditions": [bad], "weir": everywhere}, ("Degraded", "spec.ingress[0]: no")),
        ({"conditions": [{**bad, "observedGeneration": 1}], "weir": everywhere}, ("Healthy", "2/2")),
    ):
        for key, text in patch.items():
            lua = lupa.lua51.LuaRuntime()
            thing = {"metadata": {"generation": 2}, **({"status": status} if status else {})}
            lua.globals().obj = lua.table_from(thing, recursive=True)
            said = lua.execute(text)
            need(said.status == expected[0] and expected[1] in said.message, f"{key}: {dict(said)} of {status}")
    print("argocd: healthy, progressing and degraded as the status says, by Lua 5.1")


def main():
    python()
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml"]
    done = ran(*checker, folder=tools.ROOT)
    need(done.returncode == 0, "action.yml", done)
    check_argocd()
    with tempfile.TemporaryDirectory(prefix="weir-field-") as folder:
        repository(folder)
        check_action(folder)
        check_hooks(folder)


if __name__ == "__main__":
    main()

"""The lab's scenarios, as `weir lab run` plays them, for those that play them elsewhere."""

import os
import re
import shlex

import deploytools


class Scenario:
    """What a `scenario.yaml` says; files of its commands are given with their whole path."""

    def __init__(self, name):
        deploytools.schemas()
        import yaml

        self.folder = os.path.join(deploytools.ROOT, "lab/scenarios", name)
        with open(os.path.join(self.folder, "scenario.yaml")) as file:
            self.told = yaml.safe_load(file)
        self.steps = self.told["steps"]

    def manifests(self):
        """What is there at the start, as options of `weir lab up`."""
        return [word for each in self.told["manifests"] for word in ("-f", os.path.join(self.folder, each))]

    def step(self, name):
        return next(step for step in self.steps if step["name"] == name)

    def commands(self, step):
        """The words of each command of a step, from the verb on: `apply`, `-f`, a file."""
        told = step.get("do", [])
        for command in [told] if isinstance(told, str) else told:
            yield [os.path.join(self.folder, word) if word.endswith(".yaml") else word for word in command.split()]

    def load(self):
        """What its loops ask for, over and over: method and URL of each request."""
        loops = [loop["run"] for step in self.steps for loop in step.get("background", [])]
        requests = [shlex.split(request) for run in loops for request in re.findall(r"curl [^;]*", run)]
        return [(words[words.index("-X") + 1] if "-X" in words else "GET", words[-1]) for words in requests]

"""Clients in a pod of the lab that ask while something changes."""
import os
import subprocess

from image.node import LAB, WEIR, wait

# What a client in a pod does until a file appears: GET /headers again and again, on kept connections
# or on a new one each time. It repeats what every HTTP client repeats: a request on a kept connection
# that the other side closed before it answered (RFC 9110, 9.2.2). Anything else ends it with an error.
CLIENT = """
import http.client, os, sys, time
kind, stop, counted = sys.argv[1:]
count, connection, used = 0, None, 0
while not os.path.exists(stop):
    if connection is None:
        connection, used = http.client.HTTPConnection("httpbin", 8000, timeout=5), 0
        connection.connect()
        connection.auto_open = 0
    try:
        connection.request("GET", "/headers")
        answer = connection.getresponse()
    except (ConnectionError, http.client.RemoteDisconnected):
        if not used:
            raise
        connection = None
        continue
    answer.read()
    if answer.status != 200:
        sys.exit(f"HTTP {answer.status} after {count} good answers")
    count, used = count + 1, used + 1
    if kind == "new" or answer.will_close:
        connection.close()
        connection = None
    open(counted, "w").write(str(count))
    time.sleep(0.005)
"""


class Client:
    """A client in the pod `sleep`."""

    def __init__(self, folder, kind):
        self.stop, self.counted = os.path.join(folder, f"{kind}.stop"), os.path.join(folder, f"{kind}.count")
        words = ["lab", "exec", "--name", LAB, "deploy/sleep", "--", "python3", "-c", CLIENT, kind, self.stop, self.counted]
        self.kind = kind
        self.process = subprocess.Popen([WEIR, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def count(self):
        try:
            with open(self.counted) as file:
                return int(file.read() or 0)
        except OSError:
            return 0

    def more(self, wanted):
        """Waits for so many good answers from now on."""
        until = self.count() + wanted
        wait(f"{wanted} answers for the client `{self.kind}`", lambda: self.process.poll() is not None or self.count() >= until)

    def end(self):
        open(self.stop, "w").close()
        said, _ = self.process.communicate(timeout=30)
        return None if self.process.returncode == 0 else f"client `{self.kind}`, after {self.count()} answers: {said}"

"""A registry to pull from: the images of a folder (images.py makes them), over plain HTTP.

    registry.py ADDRESS:PORT FOLDER

A container runtime asks for names without a host: `kennethreitz/httpbin` is what it asks a mirror of
docker.io for. Each image is a folder NAME with `manifest.json`, and its blobs beside it.
"""
import hashlib
import http.server
import os
import re
import sys

address, folder = sys.argv[1:]
MANIFEST = re.compile(r"^/v2/(?P<name>[a-z0-9/._-]+)/manifests/(?P<reference>[A-Za-z0-9:._-]+)")
BLOB = re.compile(r"^/v2/[a-z0-9/._-]+/blobs/sha256:(?P<digest>[0-9a-f]{64})")


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.split("?")[0] in ("/v2", "/v2/"):
            return self.answer(b"{}", "application/json")
        if match := MANIFEST.match(self.path):
            reference = match["reference"]
            tag = os.path.join(folder, match["name"], reference, "manifest.json")
            path = tag if not reference.startswith("sha256:") else self.blob(reference[7:])
            return self.file(path, "application/vnd.oci.image.manifest.v1+json")
        if match := BLOB.match(self.path):
            return self.file(self.blob(match["digest"]), "application/octet-stream")
        return self.send_error(404)

    do_HEAD = do_GET

    @staticmethod
    def blob(digest):
        return os.path.join(folder, "blobs", digest)

    def file(self, path, kind):
        try:
            with open(path, "rb") as file:
                self.answer(file.read(), kind)
        except OSError:
            self.send_error(404)

    def answer(self, data, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(data).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


host, port = address.rsplit(":", 1)
http.server.ThreadingHTTPServer((host, int(port)), Registry).serve_forever()

#!/usr/bin/env python3
"""Makes what krew installs as `kubectl weir`: an archive for each architecture, and weir.yaml.

    deploy/krew/package.py --version 0.2.0 --url https://downloads.example/v0.2.0 \\
        --homepage https://weir.example --output target/krew amd64=target/container/root/weir

`--url` is the folder that the archives are downloaded from. The same files make the same archives.
"""
import argparse
import gzip
import hashlib
import io
import os
import pathlib
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
ARCHITECTURES = ("amd64", "arm64")
PLATFORM = """\
    - selector:
        matchLabels:
          os: linux
          arch: {arch}
      uri: {url}/{archive}
      sha256: {digest}
      bin: kubectl-weir
      files:
        - from: kubectl-weir
          to: .
        - from: LICENSE
          to: .
"""


def archive(binary, output):
    """A tar of the binary by its name as a plugin, and the licence; returns its SHA-256."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, path, mode in (("kubectl-weir", binary, 0o755), ("LICENSE", ROOT / "LICENSE", 0o644)):
            data = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    output.write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", nargs="+", metavar="ARCH=BINARY", help="amd64=PATH, arm64=PATH")
    parser.add_argument("--version", required=True, help="as in Cargo.toml")
    parser.add_argument("--url", required=True, help="the folder that the archives are downloaded from")
    parser.add_argument("--homepage", required=True, help="where people read about Weir")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="the folder that the files go into")
    given = parser.parse_args()
    platforms = []
    os.makedirs(given.output, exist_ok=True)
    for word in given.binaries:
        arch, _, path = word.partition("=")
        if arch not in ARCHITECTURES or not path:
            sys.exit(f"package.py: {word!r} is not ARCH=BINARY with ARCH one of {', '.join(ARCHITECTURES)}")
        name = f"weir-linux-{arch}.tar.gz"
        try:
            digest = archive(pathlib.Path(path), given.output / name)
        except OSError as error:
            sys.exit(f"package.py: {error}")
        platforms.append(PLATFORM.format(arch=arch, url=given.url.rstrip("/"), archive=name, digest=digest))
    text = (HERE / "plugin.yaml").read_text()
    text = text.replace("VERSION", given.version).replace("HOMEPAGE", given.homepage)
    (given.output / "weir.yaml").write_text(text + "".join(platforms))


if __name__ == "__main__":
    main()

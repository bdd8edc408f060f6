"""Keeps the file that the cluster's DNS answers from: names of services from the API server, as
CoreDNS has them. Debian has no CoreDNS; the server itself is `weir lab workload dns` in a pod.

    names.py API CA CERTIFICATE KEY FILE
"""
import json
import os
import ssl
import sys
import time
import urllib.request

api, authority, certificate, key, target = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.load_cert_chain(certificate, key)


def objects(path):
    with urllib.request.urlopen(f"{api}{path}", context=context, timeout=10) as answer:
        return json.load(answer)["items"]


def names():
    # A name of the world: policy keeps pods from it before anything asks where it is.
    found = {"www.google.com": ["192.0.2.80"]}
    addresses: dict[tuple[str, str], list[str]] = {}
    for each in objects("/api/v1/endpoints"):
        of = addresses.setdefault((each["metadata"]["namespace"], each["metadata"]["name"]), [])
        for subset in each.get("subsets") or []:
            of += [address["ip"] for address in subset.get("addresses") or []]
    for each in objects("/api/v1/services"):
        key = (each["metadata"]["namespace"], each["metadata"]["name"])
        own = each["spec"].get("clusterIP")
        found[f"{key[1]}.{key[0]}.svc.cluster.local"] = sorted(set(addresses.get(key, []) if own == "None" else [own] if own else []))
    return found


last = None
while True:
    try:
        now = names()
        if now != last:
            with open(f"{target}.new", "w") as file:
                json.dump({"names": now}, file, sort_keys=True)
            os.rename(f"{target}.new", target)
            last = now
    except OSError as error:
        print(f"{api}: {error}", flush=True)
    time.sleep(0.5)

// A record of a cluster of 200 workloads, the same at every run: what `weir observe -o json --why`
// would write of it.

import { writeFile } from "node:fs/promises";

const SIZES = {
  shop: 34,
  payments: 22,
  search: 26,
  identity: 16,
  media: 24,
  ops: 18,
  data: 30,
  edge: 12,
  lab: 18,
};
const NAMES = [
  "api",
  "web",
  "worker",
  "cache",
  "db",
  "queue",
  "auth",
  "index",
  "feed",
  "cart",
  "mail",
  "audit",
  "batch",
  "proxy",
  "sync",
];
const KINDS = ["Deployment", "Deployment", "Deployment", "StatefulSet", "DaemonSet", "Job"];
const PATHS = [
  "/",
  "/health",
  "/api/v1/items",
  "/api/v1/items/{id}",
  "/api/v1/orders",
  "/login",
  "/metrics",
  "/admin",
];
const OUTSIDE = ["api.example.com", "hooks.example.net", "storage.example.org"];

/** Numbers from 0 to 1, the same every time. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const next = random(7);
const below = (n) => Math.floor(next() * n);
const one = (list) => list[below(list.length)];

function workloads() {
  const all = [];
  for (const [namespace, size] of Object.entries(SIZES))
    for (let i = 0; i < size; i += 1) {
      const name = `${NAMES[i % NAMES.length]}${i < NAMES.length ? "" : `-${Math.floor(i / NAMES.length) + 1}`}`;
      all.push({
        namespace,
        name,
        kind: KINDS[(i * 5) % KINDS.length],
        address: `10.244.${all.length >> 6}.${(all.length & 63) + 2}`,
      });
    }
  return all;
}

const end = ({ namespace, name, kind }) => ({
  ID: 1,
  identity: 1000,
  labels: [`k8s:app=${name}`, `k8s:io.kubernetes.pod.namespace=${namespace}`],
  namespace,
  pod_name: `${name}-${(name.length * 7919).toString(36)}-x${name.length}`,
  workloads: [{ kind, name }],
});

/** So many flows over five minutes, the last one now. */
export function record(count, now = Date.now()) {
  const all = workloads();
  const pairs = [];
  for (const from of all)
    for (let i = 0; i < 1 + below(3); i += 1) {
      // Most talk within their namespace, towards what lies deeper.
      const near = all.filter(
        ({ namespace, name }) => namespace === from.namespace && name > from.name,
      );
      const to = next() < 0.72 && near.length ? one(near) : one(all);
      if (to !== from)
        pairs.push({ from, to, port: one([80, 8080, 5432, 6379, 9090]), denied: next() < 0.09 });
    }
  const lines = [];
  let made = 0;
  const put = (flow, time) => {
    made += 1;
    const stamp = new Date(time).toISOString();
    const uuid = `00000000-0000-4000-8000-${String(made).padStart(12, "0")}`;
    const whole = {
      flow: { ...flow, time: stamp, uuid, node_name: `node-${made % 5}` },
      node_name: `node-${made % 5}`,
      time: stamp,
    };
    lines.push(JSON.stringify(whole));
  };
  while (made < count) {
    const time = now - 300_000 + (made / count) * 300_000;
    const { from, to, port, denied } = one(pairs);
    const source_port = 32768 + below(20000);
    const base = {
      IP: { source: from.address, destination: to.address, ipVersion: "IPv4" },
      l4: { TCP: { source_port, destination_port: port, flags: { SYN: true } } },
      source: end(from),
      destination: end(to),
      is_reply: false,
      Type: "L3_L4",
      traffic_direction: "INGRESS",
      event_type: { type: 5 },
      Summary: "TCP Flags: SYN",
    };
    const http = port === 80 || port === 8080;
    const policy = `NetworkPolicy/${to.namespace}/allow-${to.name}`;
    if (next() < 0.03) {
      const name = one(OUTSIDE);
      const destination = { identity: 2, labels: ["reserved:world"] };
      put(
        {
          ...base,
          destination,
          destination_names: [name],
          verdict: "FORWARDED",
          traffic_direction: "EGRESS",
          weir: { reason: "no policy selects the endpoint for egress" },
        },
        time,
      );
    } else if (denied && !http) {
      const why = {
        policies: [policy],
        rules: [""],
        default_deny: true,
        reason: `default deny of ${policy}`,
        nearest_miss: `spec.ingress[0] of ${policy}: would but for peer: \`app=${from.name}\` is not selected`,
      };
      put(
        {
          ...base,
          verdict: "DROPPED",
          drop_reason_desc: "POLICY_DENIED",
          ingress_denied_by: [{ name: policy }],
          weir: why,
        },
        time,
      );
    } else if (http) {
      const method = one(["GET", "GET", "GET", "POST", "DELETE"]);
      const path = denied && next() < 0.6 ? "/admin" : one(PATHS);
      const refused = denied && path === "/admin";
      const status = refused ? 403 : next() < 0.02 ? 503 : next() < 0.05 ? 404 : 200;
      const why = {
        policies: [policy],
        rules: [""],
        application: "http",
        reason: refused
          ? `no HTTP rule matches; the nearest, spec.ingress[0].toPorts[0].rules.http[0] of ${policy}, would but for path: \`${path}\` is not fully matched by \`/api/.*\``
          : `allowed by ${policy} (spec.ingress[0])`,
      };
      const url = `http://${to.name}.${to.namespace}${path}`;
      const asked = {
        ...base,
        Type: "L7",
        event_type: { type: 129 },
        verdict: refused ? "DROPPED" : "FORWARDED",
        weir: why,
        Summary: `HTTP/1.1 ${method} ${url}`,
        l7: { type: "REQUEST", http: { method, url, protocol: "HTTP/1.1" } },
        ...(refused && {
          drop_reason_desc: "POLICY_DENIED",
          ingress_denied_by: [{ name: policy }],
        }),
      };
      put(asked, time);
      const latency = refused ? 1e5 : 1e6 + next() ** 4 * 3e8;
      const l7 = {
        type: "RESPONSE",
        latency_ns: String(Math.round(latency)),
        http: { method, url, protocol: "HTTP/1.1", code: status },
      };
      const IP = { source: to.address, destination: from.address, ipVersion: "IPv4" };
      const l4 = { TCP: { source_port: port, destination_port: source_port } };
      put(
        {
          ...asked,
          verdict: "FORWARDED",
          source: asked.destination,
          destination: asked.source,
          IP,
          l4,
          l7,
          is_reply: true,
          Summary: `HTTP/1.1 ${status} (${method} ${url})`,
        },
        time + latency / 1e6,
      );
    } else {
      put(
        {
          ...base,
          verdict: "FORWARDED",
          weir: {
            policies: [policy],
            rules: ["spec.ingress[0]"],
            reason: `allowed by ${policy} (spec.ingress[0])`,
          },
        },
        time,
      );
    }
  }
  return { lines, workloads: all.length };
}

/** Writes such a record into a file. */
export async function write(file, count) {
  const { lines, workloads: number } = record(count);
  await writeFile(file, `${lines.join("\n")}\n`);
  return { flows: lines.length, workloads: number };
}

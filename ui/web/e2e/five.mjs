// A record of five workloads that talk a lot with each other and with the outside: what a small shop has.

const PLACES = {
  web: ["shop", "Deployment", "10.244.1.2"],
  cart: ["shop", "Deployment", "10.244.1.3"],
  payments: ["money", "Deployment", "10.244.1.4"],
  "postgres-primary": ["money", "StatefulSet", "10.244.1.5"],
  coredns: ["kube-system", "Deployment", "10.244.1.6"],
};
const TALK = [
  ["web", "cart", 8080, "GET", "/api/v1/items"],
  ["web", "cart", 8080, "DELETE", "/api/v1/items", "denied"],
  ["web", "payments", 8443, "POST", "/api/v1/payments"],
  ["web", "payments", 8443, "GET", "/admin", "denied"],
  ["cart", "postgres-primary", 5432],
  ["cart", "payments", 8443, "GET", "/health"],
  ["payments", "postgres-primary", 5432],
  ["web", "postgres-primary", 5432, "", "", "denied"],
  ["web", "coredns", 53],
  ["cart", "coredns", 53],
  ["payments", "coredns", 53],
  ["payments", "203.0.113.7", 443],
];

function end(name) {
  const [namespace, kind, address] = PLACES[name] ?? ["", "", name];
  if (!namespace) return { address, end: { identity: 2, labels: ["reserved:world"] } };
  const labels = [`k8s:app=${name}`, `k8s:io.kubernetes.pod.namespace=${namespace}`];
  const pod = `${name}-5d-x1`;
  return { address, end: { namespace, pod_name: pod, labels, workloads: [{ kind, name }] } };
}

/** Lines as `weir observe -o jsonpb --why` writes them; both ends tell, and so do question and answer. */
export function five(now = Date.now()) {
  const lines = [];
  TALK.forEach(([from, to, port, method, path, denied], index) => {
    const [a, b] = [end(from), end(to)];
    const ports = { source_port: 40000 + index, destination_port: port };
    const policy = `CiliumNetworkPolicy/${b.end.namespace ?? "none"}/allow-${to}`;
    const base = {
      IP: { source: a.address, destination: b.address, ipVersion: "IPv4" },
      l4: { [port === 53 ? "UDP" : "TCP"]: ports },
      source: a.end,
      destination: b.end,
      is_reply: false,
      verdict: denied ? "DROPPED" : "FORWARDED",
      weir: {
        policies: [policy],
        rules: [denied ? "" : "spec.ingress[0]"],
        default_deny: !!denied,
      },
    };
    base.weir.reason = denied ? `default deny of ${policy}` : `allowed by ${policy}`;
    const put = (more, ms) => {
      const time = new Date(now - 60_000 + index * 1000 + ms).toISOString();
      const uuid = `00000000-0000-4000-8000-${String(lines.length).padStart(12, "0")}`;
      lines.push(JSON.stringify({ flow: { ...base, ...more, time, uuid, node_name: "node-0" } }));
    };
    const opens = { Type: "L3_L4", event_type: { type: 5 }, Summary: "TCP Flags: SYN" };
    if (!method) {
      put({ ...opens, traffic_direction: "EGRESS", verdict: "FORWARDED" }, 0);
      put({ ...opens, traffic_direction: "INGRESS" }, 1);
      return;
    }
    const asks = { Type: "L7", event_type: { type: 129 }, traffic_direction: "INGRESS" };
    const http = { method, url: `http://${to}${path}`, protocol: "HTTP/1.1" };
    put({ ...opens, traffic_direction: "INGRESS", verdict: "REDIRECTED" }, 0);
    put({ ...asks, Summary: `HTTP/1.1 ${method} ${http.url}`, l7: { type: "REQUEST", http } }, 2);
    const code = denied ? 403 : 200;
    const turned = {
      source: b.end,
      destination: a.end,
      IP: { source: b.address, destination: a.address },
      l4: { TCP: { source_port: port, destination_port: ports.source_port } },
      is_reply: true,
      verdict: "FORWARDED",
      ...(denied && { ingress_denied_by: [{ name: policy }] }),
    };
    const l7 = { type: "RESPONSE", latency_ns: "4200000", http: { ...http, code } };
    put({ ...asks, ...turned, Summary: `HTTP/1.1 ${code} (${method} ${http.url})`, l7 }, 6);
  });
  return lines;
}

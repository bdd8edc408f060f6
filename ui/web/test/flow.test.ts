import { describe, expect, it } from "vitest";
import { read } from "../src/model/flow";
import { flow, http, raw, recorded } from "./flows";

describe("a record", () => {
  it("of the lab is read: who asked whom, and why not", () => {
    const denied = recorded.find(({ flow }) => flow?.verdict === "DROPPED");
    const one = read(denied ?? {});
    expect(one).toMatchObject({
      kind: "request",
      outcome: "denied",
      direction: "ingress",
      protocol: "TCP",
      application: "http",
      http: { method: "GET", path: "/ip", status: 0 },
      service: "default/httpbin",
      from: { place: { id: "default/Deployment/sleep", namespace: "default", name: "sleep" } },
      to: { place: { id: "default/Deployment/httpbin" }, port: 80 },
      why: {
        policies: ["CiliumNetworkPolicy/default/allow-get-headers"],
        reason: "no HTTP rule matches",
      },
    });
    expect(one?.why.nearestMiss).toMatch(/^spec\.ingress\[0\].* would but for path/);
  });

  it("of an answer is turned round, and a refused one is no success", () => {
    const answers = recorded.filter(({ flow }) => flow?.is_reply);
    const [ok, refused] = answers.flatMap((answer) => read(answer) ?? []);
    expect(ok).toMatchObject({ kind: "answer", outcome: "allowed", http: { status: 200 } });
    expect(ok?.from.place.name).toBe("sleep");
    expect(ok?.to.port).toBe(80);
    expect(ok?.latency).toBeGreaterThan(0);
    expect(refused).toMatchObject({ outcome: "denied", http: { status: 403, path: "/ip" } });
  });

  it("of a dropped packet says nothing that its verdict has not said", () => {
    const drop = { verdict: "DROPPED", drop_reason_desc: "POLICY_DENIED" };
    expect(read(raw({ ...drop, event_type: { type: 5 } }))?.outcome).toBe("denied");
    expect(read(raw({ ...drop, event_type: { type: 1, sub_type: 133 } }))).toBeNull();
    const other = { verdict: "DROPPED", drop_reason_desc: "INVALID_PACKET_DROPPED" };
    expect(read(raw({ ...other, event_type: { type: 1 } }))?.outcome).toBe("denied");
    expect(read({})).toBeNull();
  });

  it("of an audited answer was not denied", () => {
    const audited = {
      ingress_denied_by: [{ name: "p" }],
      weir: { reason: "would be denied by p" },
    };
    expect(http("GET", "/", audited, 200).outcome).toBe("audited");
  });

  it("loses host and query of its URL", () => {
    expect(http("GET", "/a/b").http?.path).toBe("/a/b");
    const url = (url: string) =>
      flow({ Type: "L7", l7: { http: { method: "GET", url } } }).http?.path;
    expect(url("http://host")).toBe("/");
    expect(url("/x?y=z")).toBe("/x");
  });

  it("knows what is no workload", () => {
    const to = (labels: string[], names: string[] = []) =>
      flow({ destination: { labels }, destination_names: names, node_name: "n1" }).to.place;
    expect(to(["reserved:world"])).toMatchObject({ id: "world", kind: "world" });
    expect(to(["reserved:world"], ["example.com."])).toMatchObject({
      id: "name:example.com",
      kind: "name",
    });
    expect(to(["reserved:host"])).toMatchObject({ id: "node:n1", kind: "node" });
    expect(to(["reserved:remote-node"])).toMatchObject({ id: "node:remote-node" });
    expect(flow({ destination: { namespace: "a", pod_name: "p" } }).to.place.id).toBe("a/Pod/p");
  });
});

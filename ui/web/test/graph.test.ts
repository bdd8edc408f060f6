import { describe, expect, it } from "vitest";
import { graph, label } from "../src/model/graph";
import { flow, flows, http } from "./flows";

describe("the map", () => {
  it("of the lab has each request and connection once", () => {
    const { arrows, workloads, namespaces, totals } = graph(flows());
    const said = [...arrows.values()].map((arrow) => [arrow.id, arrow.count, label(arrow)]);
    expect(said).toEqual([
      ["default/Deployment/sleep→kube-system/Deployment/coredns#allowed", 5, "UDP 53"],
      ["default/Deployment/sleep→default/Deployment/httpbin#denied", 2, "GET /ip +1"],
      // One connection before there was a policy, and two requests under it.
      ["default/Deployment/sleep→default/Deployment/httpbin#allowed", 3, "GET /headers"],
      ["default/Deployment/sleep→world#allowed", 1, "TCP 80"],
    ]);
    expect(namespaces).toEqual(["default", "kube-system"]);
    expect(totals).toEqual({ allowed: 9, denied: 2, audited: 0, error: 0 });
    expect(workloads.get("default/Deployment/httpbin")).toMatchObject({
      pods: 1,
      in: { allowed: 3, denied: 2 },
      out: { allowed: 0, denied: 0 },
    });
  });

  it("tells why, with the policy and what came nearest", () => {
    const denied = graph(flows()).arrows.get(
      "default/Deployment/sleep→default/Deployment/httpbin#denied",
    );
    expect(denied?.channels[0]).toMatchObject({
      name: "TCP 80",
      application: "http",
      services: ["default/httpbin"],
      requests: [
        { method: "GET", path: "/ip", count: 1, statuses: [[403, 1]] },
        { method: "POST", path: "/post", count: 1, statuses: [[403, 1]] },
      ],
    });
    const reasons = denied?.reasons ?? [];
    expect(reasons.map(({ subjects }) => subjects)).toEqual([["GET /ip"], ["POST /post"]]);
    expect(reasons[0]?.why.policies).toEqual(["CiliumNetworkPolicy/default/allow-get-headers"]);
  });

  it("counts a connection once that both ends judged", () => {
    const both = [
      flow({ traffic_direction: "EGRESS" }),
      flow({ traffic_direction: "INGRESS" }),
      flow({ traffic_direction: "EGRESS" }),
      flow({ traffic_direction: "INGRESS", verdict: "DROPPED" }),
      flow({ traffic_direction: "EGRESS", verdict: "DROPPED" }),
    ];
    const { totals } = graph(both);
    expect(totals).toEqual({ allowed: 1, denied: 2, audited: 0, error: 0 });
  });

  it("tells what an arrow carried, once where both ends counted it", () => {
    const ended = (direction: string, bytes: string) =>
      flow({
        traffic_direction: direction,
        event_type: { type: 200, sub_type: 1 },
        weir: { ended: { sent: { packets: "2", bytes }, received: { packets: "1", bytes: "40" } } },
      });
    const passed = [flow({ traffic_direction: "EGRESS" }), flow({ traffic_direction: "INGRESS" })];
    const ends = [ended("EGRESS", "100"), ended("INGRESS", "100"), ended("INGRESS", "50")];
    const { arrows, totals } = graph([...passed, ...ends]);
    const [arrow] = arrows.values();
    expect(totals.allowed).toBe(1);
    expect(arrow?.carried).toEqual({
      sent: { packets: 4, bytes: 150 },
      received: { packets: 2, bytes: 80 },
    });
    expect(graph(passed).arrows.values().next().value?.carried).toBeNull();
  });

  it("tells a connection to the proxy by its requests, once there are any", () => {
    const redirected = flow({ verdict: "REDIRECTED" });
    expect(graph([redirected]).totals.allowed).toBe(1);
    expect(graph([redirected, http("GET", "/a"), http("GET", "/b")]).totals.allowed).toBe(2);
    const denied = graph([redirected, http("GET", "/a", { verdict: "DROPPED" })]).totals;
    expect(denied).toMatchObject({ allowed: 0, denied: 1 });
  });

  it("adds the packets that came again to a reason", () => {
    const weir = { reason: "default deny of p", repeats: "3" };
    const denied = flow({ verdict: "DROPPED", weir });
    const [arrow] = graph([denied, flow({ verdict: "DROPPED", weir })]).arrows.values();
    expect(arrow?.reasons).toHaveLength(1);
    expect(arrow?.reasons[0]?.count).toBe(8);
    expect(arrow?.count).toBe(2);
  });

  it("keeps verdicts apart", () => {
    const each = ["FORWARDED", "DROPPED", "AUDIT", "ERROR"].map((verdict) => flow({ verdict }));
    const outcomes = [...graph(each).arrows.values()].map(({ outcome }) => outcome);
    expect(outcomes.sort()).toEqual(["allowed", "audited", "denied", "error"]);
  });
});

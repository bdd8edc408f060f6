import { describe, expect, it } from "vitest";
import { chosenColumns } from "../src/model/columns";
import { exchanges } from "../src/model/exchange";
import type { RawFlow } from "../src/model/raw";
import { flow, flows, http } from "./flows";

const from = (port: number): RawFlow => ({
  l4: { TCP: { source_port: port, destination_port: 5432 } },
});
/** The answer to what came from this port. */
function answer(port: number, path: string, status: number) {
  const one = http("GET", path, {}, status, 4);
  return { ...one, from: { ...one.from, port } };
}

describe("what happened once", () => {
  it("is one row where both ends judged it", () => {
    const both = [
      flow({ ...from(1), traffic_direction: "EGRESS" }),
      flow({ ...from(1), traffic_direction: "INGRESS", verdict: "DROPPED" }),
      flow({ ...from(2), traffic_direction: "INGRESS" }),
    ];
    const found = exchanges(both);
    expect(found.map(({ flows }) => flows.length)).toEqual([2, 1]);
    expect(found[0]?.directions).toEqual(["egress", "ingress"]);
    // What was denied is what matters.
    expect(found[0]?.lead.outcome).toBe("denied");
  });

  it("is one row of connection, question and answer", () => {
    const found = exchanges([
      flow({ ...from(1), verdict: "REDIRECTED" }),
      http("GET", "/a", from(1)),
      answer(1, "/a", 200),
      http("GET", "/b", from(1)),
      answer(1, "/b", 403),
    ]);
    expect(found.map(({ flows }) => flows.length)).toEqual([3, 2]);
    expect(found.map(({ lead }) => lead.subject)).toEqual(["GET /a", "GET /b"]);
    expect(found.map(({ answer }) => answer?.http?.status)).toEqual([200, 403]);
  });

  it("is one row where the client's end judged the connection first", () => {
    const found = exchanges([
      flow({ ...from(1), traffic_direction: "EGRESS" }),
      flow({ ...from(1), traffic_direction: "INGRESS", verdict: "REDIRECTED" }),
      http("GET", "/a", from(1)),
      // Both are told at the same moment.
      flow({ ...from(1), event_type: { type: 200 }, weir: { ended: {} } }),
      answer(1, "/a", 403),
    ]);
    expect(found.map(({ flows }) => flows.length)).toEqual([5]);
    expect(found[0]?.lead.subject).toBe("GET /a");
  });

  it("is one row where the kernel's clock is behind the proxy's", () => {
    const at = (ms: number) => ({ time: new Date(2_000_000 + ms).toISOString() });
    const found = exchanges([
      flow({ ...from(1), ...at(0), traffic_direction: "EGRESS" }),
      http("GET", "/a", { ...from(1), ...at(1) }),
      flow({ ...from(1), ...at(2), verdict: "REDIRECTED" }),
    ]);
    expect(found.map(({ flows }) => flows.length)).toEqual([3]);
  });

  it("is two rows where the same is asked twice", () => {
    const twice = [1, 1].flatMap((port) => [
      http("GET", "/a", from(port)),
      answer(port, "/a", 200),
    ]);
    expect(exchanges(twice).map(({ flows }) => flows.length)).toEqual([2, 2]);
  });

  it("has the end of its connection, however late it comes", () => {
    const carried = {
      sent: { packets: "5", bytes: "700" },
      received: { packets: "4", bytes: "90" },
    };
    const end = { event_type: { type: 200, sub_type: 1 }, weir: { ended: carried } };
    const late = { time: new Date(9_000_000).toISOString() };
    const found = exchanges([
      flow({ ...from(1), traffic_direction: "EGRESS" }),
      flow({ ...from(1), traffic_direction: "INGRESS" }),
      flow({ ...from(1), ...end, traffic_direction: "EGRESS", ...late }),
      flow({ ...from(1), ...end, traffic_direction: "INGRESS", ...late }),
      flow({ ...from(2), ...end }),
      // The same ports again.
      flow({ ...from(1), ...late }),
    ]);
    expect(found.map(({ flows }) => flows.length)).toEqual([4, 1, 1]);
    expect(found.map(({ lead }) => lead.kind)).toEqual(["connection", "end", "connection"]);
    expect(found[0]?.carried).toEqual({
      sent: { packets: 5, bytes: 700 },
      received: { packets: 4, bytes: 90 },
    });
    expect(found[2]?.carried).toBeNull();
  });

  it("leaves no record out", () => {
    const all = flows();
    const found = exchanges(all);
    expect(found.flatMap((one) => one.flows).length).toBe(all.length);
    expect(found.length).toBeLessThan(all.length);
  });
});

describe("columns", () => {
  it("are those that were kept, and the usual ones where nothing right was", () => {
    expect(chosenColumns("what,time,nonsense")).toEqual(["time", "what"]);
    expect(chosenColumns("")).toEqual(chosenColumns(null));
    expect(chosenColumns(null)).toContain("judged");
  });
});

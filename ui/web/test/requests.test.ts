import { describe, expect, it } from "vitest";
import { percentile, requests } from "../src/model/requests";
import { flows, http } from "./flows";

describe("requests", () => {
  it("of the lab are counted by what was asked", () => {
    const rows = requests(flows()).map(({ method, path, count, statuses, outcomes }) => [
      `${method} ${path}`,
      count,
      statuses,
      outcomes.denied,
    ]);
    expect(rows).toEqual([
      ["GET /headers", 2, [[200, 2]], 0],
      ["GET /ip", 1, [[403, 1]], 1],
      ["POST /post", 1, [[403, 1]], 1],
    ]);
  });

  it("have the times of those that were let through", () => {
    const answers = Array.from({ length: 20 }, (_, index) => http("GET", "/", {}, 200, index + 1));
    const denied = { ingress_denied_by: [{ name: "p" }] };
    const [row] = requests([...answers, http("GET", "/", denied, 403, 0)]);
    expect(row).toMatchObject({
      count: 21,
      p50: 10,
      p95: 19,
      statuses: [
        [200, 20],
        [403, 1],
      ],
    });
  });

  it("judged at both ends are one", () => {
    const both = (["EGRESS", "INGRESS"] as const).flatMap((traffic_direction) => [
      http("GET", "/", { traffic_direction }),
      http("GET", "/", { traffic_direction }, 200, 5),
    ]);
    expect(requests(both)[0]).toMatchObject({ count: 1, statuses: [[200, 1]] });
  });

  it("are known by their answers where a filter shows only these", () => {
    const denied = { ingress_denied_by: [{ name: "p" }] };
    const [row] = requests([http("GET", "/", denied, 403), http("GET", "/", {}, 200)]);
    expect(row?.outcomes).toMatchObject({ allowed: 1, denied: 1 });
  });

  it("without answers have no times", () => {
    expect(requests([http("GET", "/")])[0]?.p50).toBeNaN();
    expect(percentile([3, 1, 2], 0.5)).toBe(2);
    expect(percentile([7], 0.95)).toBe(7);
  });
});

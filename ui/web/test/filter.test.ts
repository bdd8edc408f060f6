import { describe, expect, it } from "vitest";
import {
  EVERYTHING,
  fromHash,
  isEverything,
  isStatus,
  passes,
  query,
  toHash,
} from "../src/model/filter";
import { Store } from "../src/model/store";
import { flow, flows, raw } from "./flows";

describe("a filter", () => {
  it("is asked of the server as far as that knows it", () => {
    expect(query(EVERYTHING, 5, false)).toBe("since=5m");
    expect(query(EVERYTHING, 5, true)).toBe("last=0");
    const filter = {
      namespace: "shop",
      workload: "Deployment/web",
      outcomes: ["denied", "allowed"] as const,
      protocol: "http",
      status: "4+",
      text: "only here",
    };
    expect(query(filter, 1, false)).toBe(
      "since=1m&namespace=shop&workload=Deployment%2Fweb&verdict=DROPPED&verdict=FORWARDED&verdict=REDIRECTED&protocol=http&http-status=4%2B",
    );
  });

  it("finds words wherever they are, all of them", () => {
    const find = (text: string) => flows().filter(passes({ ...EVERYTHING, text })).length;
    expect(find("")).toBe(flows().length);
    expect(find("allow-get-headers /ip")).toBe(2);
    expect(find("COREDNS")).toBe(10);
    expect(find("nothing-like-it")).toBe(0);
  });

  it("goes by what a flow came to, not by its record's verdict", () => {
    const allowed = flows().filter(passes({ ...EVERYTHING, outcomes: ["allowed"] }));
    expect(allowed.some(({ http }) => http?.status === 403)).toBe(false);
    expect(allowed.some(({ http }) => http?.status === 200)).toBe(true);
  });

  it("is kept in the page's address", () => {
    const filter = { ...EVERYTHING, namespace: "a b", outcomes: ["denied"] as const, text: "x&y" };
    expect(fromHash(`#${toHash(filter, 15)}`)).toEqual({ filter, minutes: 15 });
    expect(fromHash("")).toEqual({ filter: EVERYTHING, minutes: 5 });
    expect(fromHash("#minutes=7&verdict=nonsense")).toEqual({ filter: EVERYTHING, minutes: 5 });
    expect(isEverything(fromHash("").filter)).toBe(true);
  });

  it("takes statuses and their beginnings", () => {
    expect(["403", "4+", "50+"].every(isStatus)).toBe(true);
    expect(["", "4", "teapot", "999", "4++"].some(isStatus)).toBe(false);
  });
});

describe("the store", () => {
  it("holds each flow once, in the order of time", () => {
    const store = new Store();
    const late = raw({ uuid: "late", time: "2026-01-01T00:00:02Z" });
    const early = raw({ uuid: "early", time: "2026-01-01T00:00:01Z" });
    expect([late, early, late].map((one) => store.add(one))).toEqual([true, true, false]);
    expect(store.all().map(({ id }) => id)).toEqual(["early", "late"]);
    store.prune(Date.parse("2026-01-01T00:00:02Z"));
    expect(store.all().map(({ id }) => id)).toEqual(["late"]);
    expect(store.add(early)).toBe(true);
    expect(store.dropped).toBe(0);
  });

  it("lets the oldest go where there are too many, and counts them", () => {
    const store = new Store(100);
    for (let index = 0; index < 250; index += 1) store.add(raw());
    expect(store.all().length).toBeLessThanOrEqual(110);
    expect(store.all().length + store.dropped).toBe(250);
    expect(store.all().at(-1)?.id).toBe(flowBefore());
  });
});

/** The number of the flow made last. */
function flowBefore(): string {
  return String(Number(flow().id) - 1);
}

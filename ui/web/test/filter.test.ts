import { describe, expect, it } from "vitest";
import {
  EVERYTHING,
  fromHash,
  isEverything,
  isStatus,
  type Kept,
  passes,
  query,
  toHash,
  type Wanted,
  without,
} from "../src/model/filter";
import { find, graph } from "../src/model/graph";
import { Store } from "../src/model/store";
import { flow, flows, raw } from "./flows";

describe("a filter", () => {
  it("is asked of the server as far as that knows it", () => {
    expect(query(EVERYTHING, 5, false)).toBe("since=5m");
    expect(query(EVERYTHING, 5, true)).toBe("last=0");
    const range = { from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 0, 2) };
    expect(query(EVERYTHING, 5, false, range)).toBe("since=2026-01-01T00%3A00%3A00.000Z");
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

  it("takes labels, words that must be missing, and whole names of ends", () => {
    const all = flows();
    const find = (text: string) => all.filter(passes({ ...EVERYTHING, text })).length;
    expect(find("app=httpbin")).toBeGreaterThan(0);
    expect(find("app=httpbin") + find("-app=httpbin")).toBe(all.length);
    expect(find("-")).toBe(all.length);
    const httpbin = all.find(({ to }) => to.place.name === "httpbin")?.to.place;
    if (!httpbin) throw new Error("no httpbin");
    const hidden = without(EVERYTHING, httpbin);
    expect(hidden.text).toBe("-at:default/httpbin");
    expect(all.filter(passes(hidden)).every(({ to }) => to.place !== httpbin)).toBe(true);
    // Not what only has the name in its own.
    expect(find("at:default/http")).toBe(0);
  });

  it("goes by what a flow came to, not by its record's verdict", () => {
    const allowed = flows().filter(passes({ ...EVERYTHING, outcomes: ["allowed"] }));
    expect(allowed.some(({ http }) => http?.status === 403)).toBe(false);
    expect(allowed.some(({ http }) => http?.status === 200)).toBe(true);
  });

  it("is kept in the page's address", () => {
    const filter = { ...EVERYTHING, namespace: "a b", outcomes: ["denied"] as const, text: "x&y" };
    const kept = { filter, minutes: 15, arrow: null, range: null };
    const nothing = { filter: EVERYTHING, minutes: 5, arrow: null, range: null };
    const back = (one: Kept) => expect(fromHash(`#${toHash(one)}`)).toEqual(one);
    back(kept);
    back({ ...kept, range: { from: 1_700_000_000_000, to: 1_700_000_060_000 } });
    expect(fromHash("")).toEqual(nothing);
    expect(toHash(nothing)).toBe("");
    const nonsense = fromHash("#minutes=7&verdict=nonsense&from=alone");
    expect(nonsense).toEqual(nothing);
    expect(fromHash("#since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z")).toEqual(nothing);
    expect(isEverything(fromHash("").filter)).toBe(true);
  });

  it("keeps the chosen arrow, which links of dashboards name without its kind", () => {
    const arrow = { from: "a/Deployment/b", to: "world", outcome: "denied" } as const;
    const kept = { filter: EVERYTHING, minutes: 5, range: null, arrow };
    expect(fromHash(`#${toHash(kept)}`).arrow).toEqual(arrow);
    const { arrows } = graph(flows());
    const linked = (hash: string) => find(arrows.values(), fromHash(hash).arrow as Wanted)?.id;
    const pair = "default/Deployment/sleep→default/Deployment/httpbin";
    expect(linked("#from=default/sleep&to=default/httpbin")).toBe(`${pair}#denied`);
    const allowed = "#from=default/sleep&to=default/Deployment/httpbin&arrow=allowed";
    expect(linked(allowed)).toBe(`${pair}#allowed`);
    expect(linked("#from=default/sleep&to=/world")).toBe("default/Deployment/sleep→world#allowed");
    expect(linked("#from=default/sleep&to=default/nobody")).toBeUndefined();
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

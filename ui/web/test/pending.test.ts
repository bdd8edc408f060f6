import { afterEach, describe, expect, it, vi } from "vitest";
import { read } from "../src/model/flow";
import { changed, foresee, kinds } from "../src/model/pending";
import { http, raw, recorded } from "./flows";

const held = recorded.flatMap((one) => read(one, JSON.stringify(one)) ?? []);

describe("a pending policy", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("is asked about once for flows that no policy tells apart", () => {
    const twice = [raw(), raw()].map((one) => read(one, JSON.stringify(one)));
    const [kind, ...more] = kinds(twice.flatMap((flow) => flow ?? []));
    expect(more).toEqual([]);
    expect(kind?.flows.length).toBe(2);
    expect(kind?.record).toContain('"uuid"');
    const subjects = kinds(held).flatMap(({ flows }) => (flows[0]?.http ? flows[0].subject : []));
    expect(new Set(subjects)).toEqual(new Set(["GET /headers", "GET /ip", "POST /post"]));
  });

  it("is not asked about for answers", () => {
    expect(kinds([http("GET", "/", {}, 200)])).toEqual([]);
  });

  it("changes the flows of the places that are named, the most frequent first", () => {
    const sent = kinds(held);
    const change = { from: "a", to: "b", flow: "c", before: "allow", after: "deny", reason: "" };
    const most = sent.reduce(
      (best, kind, at) => (kind.flows.length > (sent[best]?.flows.length ?? 0) ? at : best),
      0,
    );
    const least = most === 0 ? 1 : 0;
    const rows = changed(
      {
        judged: 2,
        not_judged: 0,
        problems: [],
        changes: [
          { ...change, places: [least] },
          { ...change, places: [most, 99_999] },
        ],
      },
      sent,
    );
    expect(rows.map(({ flows }) => flows.length)).toEqual(
      [most, least].map((at) => sent[at]?.flows.length),
    );
  });

  it("is refused in the server's words", async () => {
    const fetched = vi.fn(
      async (_path: string, _init: RequestInit) => new Response("no policy\n", { status: 400 }),
    );
    vi.stubGlobal("fetch", fetched);
    await expect(foresee("kind: X", kinds(held).slice(0, 1))).rejects.toThrow("no policy");
    const body = JSON.parse(String(fetched.mock.calls[0]?.[1].body));
    expect(body).toMatchObject({ policy: "kind: X" });
    expect(body.flows.length).toBe(1);
  });
});

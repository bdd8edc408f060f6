// Flows for the tests: the workshop's as a lab recorded them, and made ones.

import { type Flow, read } from "../src/model/flow";
import type { RawAnswer, RawFlow } from "../src/model/raw";
import s4 from "./s4.jsonl?raw";

export const recorded: RawAnswer[] = s4
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as RawAnswer);

export function flows(): Flow[] {
  return recorded.flatMap((raw) => read(raw) ?? []);
}

let made = 0;

/** From `web` to `db` in `shop`, judged at its ingress; `part` says what is different. */
export function raw(part: RawFlow = {}): RawAnswer {
  made += 1;
  const end = (name: string) => ({
    namespace: "shop",
    pod_name: `${name}-1`,
    workloads: [{ name, kind: "Deployment" }],
  });
  return {
    flow: {
      uuid: String(made),
      time: new Date(1_000_000 + made).toISOString(),
      verdict: "FORWARDED",
      Type: "L3_L4",
      IP: { source: "10.0.0.1", destination: "10.0.0.2" },
      l4: { TCP: { source_port: 40_000 + made, destination_port: 5432 } },
      source: end("web"),
      destination: end("db"),
      traffic_direction: "INGRESS",
      event_type: { type: 5 },
      is_reply: false,
      Summary: "TCP Flags: SYN",
      ...part,
    },
  };
}

export function flow(part: RawFlow = {}): Flow {
  const one = read(raw(part));
  if (!one) throw new Error("says nothing");
  return one;
}

/** A request; `status` makes it the answer, which comes from the one asked. */
export function http(method: string, path: string, part: RawFlow = {}, status = 0, ms = 0): Flow {
  const { source, destination, ...asked } = raw().flow as RawFlow;
  const l7 = { http: { method, url: `http://db:5432${path}?secret=1`, code: status } };
  if (!status) return flow({ Type: "L7", l7: { type: "REQUEST", ...l7 }, ...part });
  return flow({
    Type: "L7",
    l7: { type: "RESPONSE", latency_ns: String(ms * 1e6), ...l7 },
    ...part,
    is_reply: true,
    source: destination,
    destination: source,
    IP: { source: "10.0.0.2", destination: "10.0.0.1" },
    l4: { TCP: { source_port: 5432, destination_port: asked.l4?.TCP?.source_port } },
  });
}

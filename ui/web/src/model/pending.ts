// What a policy that is not in force yet would change for the flows that the page holds.

import type { Flow } from "./flow";

/** As the server judges: docs/ui.md, POST /api/pending. */
export interface Foreseen {
  judged: number;
  not_judged: number;
  changes: Change[];
  problems: string[];
}

export interface Change {
  /** Places among the records that were sent. */
  places: number[];
  from: string;
  to: string;
  flow: string;
  before: string;
  after: string;
  reason: string;
}

/** Flows that no policy tells apart. */
export interface Kind {
  /** The last of them stands for all. */
  record: string;
  flows: Flow[];
}

/** A change, with the flows of the page that it is about. */
export interface Changed {
  change: Change;
  flows: Flow[];
}

/** The flows by what policies judge: both ends, port and request. Answers are judged with questions. */
export function kinds(flows: readonly Flow[]): Kind[] {
  const found = new Map<string, Kind>();
  for (const flow of flows) {
    if (flow.kind === "answer" || !flow.text) continue;
    const ends = [flow.from, flow.to].map((end) => end.pod || end.address);
    const key = [...ends, flow.pair, flow.channel, flow.http ? flow.subject : ""].join("\n");
    const kind = found.get(key);
    if (kind) {
      kind.flows.push(flow);
      kind.record = flow.text;
    } else found.set(key, { record: flow.text, flows: [flow] });
  }
  return [...found.values()];
}

/** Each change with its flows, the most frequent first. */
export function changed(foreseen: Foreseen, sent: readonly Kind[]): Changed[] {
  return foreseen.changes
    .map((change) => ({
      change,
      flows: change.places.flatMap((place) => sent[place]?.flows ?? []),
    }))
    .sort((a, b) => b.flows.length - a.flows.length);
}

/** Asks the server. What it refuses is thrown as it says it. */
export async function foresee(policy: string, sent: readonly Kind[]): Promise<Foreseen> {
  const answer = await fetch("/api/pending", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ policy, flows: sent.map(({ record }) => record) }),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return (await answer.json()) as Foreseen;
}

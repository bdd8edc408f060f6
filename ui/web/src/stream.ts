// GET /api/flows, followed. The browser connects again by itself after a broken connection; after a
// refusal it does not, so that is done here.

import type { Hello, RawAnswer, RawLost, RawNode } from "./model/raw";

export interface Listener {
  hello(hello: Hello): void;
  /** A record, and its text as it came. */
  flow(answer: RawAnswer, text: string): void;
  lost(count: number): void;
  node(names: string[], away: boolean, message: string): void;
  /** The page's own server does not answer, or refuses. */
  broken(message: string): void;
  /** The record has ended. */
  ended(): void;
}

const RETRY = 2000;

/** Follows until the function that it returns is called. */
export function follow(query: string, listener: Listener): () => void {
  // What flows carried is told at their ends.
  const url = `/api/flows?ends=&${query}`;
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  const on = <T>(name: string, take: (data: T, text: string) => void) =>
    source?.addEventListener(name, (event) => {
      const text = (event as MessageEvent<string>).data;
      take(JSON.parse(text) as T, text);
    });

  const open = () => {
    source = new EventSource(url);
    on<Hello>("hello", (hello) => listener.hello(hello));
    on<RawAnswer>("flow", (answer, text) => listener.flow(answer, text));
    on<RawLost>("lost", ({ lost_events }) =>
      listener.lost(Number(lost_events?.num_events_lost ?? 0)),
    );
    on<RawNode>("node", ({ node_status }) => {
      const away = node_status?.state_change !== "NODE_CONNECTED";
      listener.node(node_status?.node_names ?? [], away, node_status?.message ?? "");
    });
    on<{ message: string }>("failed", ({ message }) => listener.broken(message));
    on("end", () => {
      source?.close();
      listener.ended();
    });
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) {
        listener.broken("the page's server does not answer");
        return;
      }
      void said(url).then((message) => {
        if (stopped) return;
        listener.broken(message);
        timer = setTimeout(open, RETRY);
      });
    };
  };
  open();
  return () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
}

/** Why it was refused: EventSource does not tell. */
async function said(url: string): Promise<string> {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { signal: stop.signal });
    return answer.ok ? "the connection broke" : (await answer.text()).trim();
  } catch {
    return "the page's server does not answer";
  } finally {
    stop.abort();
  }
}

// The columns of the list of flows: which there are, and which somebody wants to see.

export const COLUMNS = {
  time: { title: "Time", width: "100px" },
  verdict: { title: "Verdict", width: "92px" },
  from: { title: "From", width: "minmax(130px, 1fr)" },
  to: { title: "To", width: "minmax(130px, 1fr)" },
  port: { title: "Port", width: "84px" },
  judged: { title: "Judged at", width: "112px" },
  what: { title: "What", width: "minmax(150px, 1.5fr)" },
  why: { title: "Why", width: "minmax(160px, 2.2fr)" },
  carried: { title: "Carried", width: "96px" },
  node: { title: "Node", width: "120px" },
  service: { title: "Service", width: "minmax(110px, 1fr)" },
} as const;

export type Column = keyof typeof COLUMNS;

const KEY = "weir-columns";
const FIRST: Column[] = ["time", "verdict", "from", "to", "port", "judged", "what", "why"];

/** Those that were chosen the last time, in their order; at first the usual ones. */
export function chosenColumns(kept: string | null): Column[] {
  const names = kept?.split(",") ?? [];
  const known = (Object.keys(COLUMNS) as Column[]).filter((name) => names.includes(name));
  return known.length ? known : FIRST;
}

export function readColumns(): Column[] {
  return chosenColumns(localStorage.getItem(KEY));
}

export function keepColumns(columns: Column[]): void {
  localStorage.setItem(KEY, columns.join(","));
}

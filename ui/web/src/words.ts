// Numbers, times and verdicts in words.

import { bytesOf, type Carried, type Counted } from "./model/carried";
import type { End, Flow, Outcome, Place } from "./model/flow";
import type { Arrow } from "./model/graph";

export const NAMES: Record<Outcome, string> = {
  allowed: "Allowed",
  denied: "Denied",
  audited: "Audited",
  error: "Error",
};

export function count(number: number): string {
  if (number < 10_000) return number.toLocaleString("en");
  return number < 1e6 ? `${(number / 1e3).toFixed(0)}k` : `${(number / 1e6).toFixed(1)}M`;
}

export function plural(number: number, one: string, more = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : more}`;
}

/** What an arrow counts: requests where the proxy judged them, else connections. */
export function amount(arrow: Arrow): string {
  const asked = arrow.channels.filter(({ requests }) => requests.length > 0).length;
  if (asked === arrow.channels.length) return plural(arrow.count, "request");
  return plural(
    arrow.count,
    asked ? "connection or request" : "connection",
    asked ? "connections and requests" : undefined,
  );
}

/** 512 B, 1.4 KiB. */
export function bytes(number: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [number, 0];
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function carriedInAll(carried: Carried): string {
  return bytes(bytesOf(carried));
}

/** 12 packets, 1.4 KiB. */
export function counted(one: Counted): string {
  return `${plural(one.packets, "packet")}, ${bytes(one.bytes)}`;
}

/** 4.2 ms, 1.3 s; a dash for nothing. */
export function milliseconds(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

export function clock(time: number): string {
  const date = new Date(time);
  const two = (n: number) => String(n).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** 12 s ago. */
export function ago(time: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - time) / 1000));
  if (seconds < 2) return "now";
  return seconds < 90 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

/** default/sleep, world, example.com. */
export function placeName(place: Place): string {
  return place.namespace ? `${place.namespace}/${place.name}` : place.name;
}

/** The same of one end: of the world its address, which may be all that is known. */
export function endName({ place, address }: End): string {
  return place.kind === "world" && address ? `world ${address}` : placeName(place);
}

export function placeKind(place: Place): string {
  switch (place.kind) {
    case "workload":
      return place.workload;
    case "world":
      return "Outside the cluster";
    case "name":
      return "DNS name";
    case "node":
      return "Node";
  }
}

/** What a flow says, without what the table has columns for. */
export function said(flow: Flow): string {
  if (flow.http) {
    const status = flow.http.status ? ` · ${flow.http.status}` : "";
    return `${flow.http.method} ${flow.http.path}${status}`;
  }
  return flow.summary;
}

/** A policy's kind, namespace and name. */
export function policy(text: string): { kind: string; namespace: string; name: string } {
  const parts = text.split("/");
  const [kind = "", a = "", b] = parts;
  return b === undefined ? { kind, namespace: "", name: a } : { kind, namespace: a, name: b };
}

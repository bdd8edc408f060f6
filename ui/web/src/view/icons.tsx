// Small drawings, 16 by 16, in the colour of the text around them.

import type { Outcome, Place } from "../model/flow";

const PATHS = {
  Deployment:
    "M8 1.8l5.400 3.100v6.200L8 14.200l-5.400-3.100V4.900zM2.600 4.900L8 8l5.400-3.100M8 8v6.200",
  StatefulSet:
    "M3 4c0-1.300 2.200-2.200 5-2.200s5 .900 5 2.200-2.200 2.200-5 2.200S3 5.300 3 4zm0 0v8c0 1.300 2.200 2.200 5 2.200s5-.900 5-2.200V4M3 8c0 1.300 2.200 2.200 5 2.200s5-.900 5-2.200",
  DaemonSet:
    "M2.500 2.500h4.500v4.500H2.500zM9 2.500h4.500v4.500H9zM2.500 9h4.500v4.500H2.500zM9 9h4.500v4.500H9z",
  Job: "M8 14a6 6 0 100-12 6 6 0 000 12zM8 4.600V8l2.400 1.600",
  Pod: "M8 13.500a5.500 5.500 0 100-11 5.500 5.500 0 000 11zM8 10a2 2 0 100-4 2 2 0 000 4z",
  world:
    "M8 14A6 6 0 108 2a6 6 0 000 12zM2 8h12M8 2c2 1.800 2.700 3.900 2.700 6S10 12.200 8 14c-2-1.800-2.700-3.900-2.700-6S6 3.800 8 2z",
  name: "M10.600 8a2.600 2.600 0 11-5.200 0 2.600 2.600 0 015.200 0zm0 0v.800c0 2.400 3.200 2.300 3.200-.800A5.800 5.800 0 108 13.800c1.200 0 2.200-.300 3-.800",
  node: "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.010M5 11h.010M8 5h3M8 11h3",
  sun: "M8 10.800a2.800 2.800 0 100-5.600 2.800 2.800 0 000 5.600zM8 1.500v1.400M8 13.100v1.400M1.500 8h1.400M13.100 8h1.400M3.400 3.400l1 1M11.600 11.600l1 1M12.600 3.400l-1 1M4.400 11.600l-1 1",
  moon: "M13.200 9.400A5.600 5.600 0 016.600 2.800a5.600 5.600 0 106.600 6.600z",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M5 3.200v9.600L12.500 8z",
  close: "M4 4l8 8M12 4l-8 8",
  fit: "M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10",
  plus: "M8 3.500v9M3.500 8h9",
  minus: "M3.500 8h9",
  search: "M7 11.500a4.500 4.500 0 100-9 4.500 4.500 0 000 9zM10.300 10.300l3.200 3.200",
  down: "M4 6.500l4 4 4-4",
  up: "M4 9.500l4-4 4 4",
  save: "M8 2.500v7.500M4.800 7L8 10.200 11.200 7M3 13.500h10",
  columns: "M2.500 3h11v10h-11zM6.200 3v10M9.800 3v10",
  right: "M3 8h10M9.500 4.500L13 8l-3.500 3.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function iconPath(place: Place): string {
  if (place.kind !== "workload") return PATHS[place.kind];
  return place.workload in PATHS ? PATHS[place.workload as IconName] : PATHS.Pod;
}

export function Logo() {
  return (
    <svg class="logo" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <g>
        <path d="M6 11.500c3.300-3 6.700-3 10 0s6.700 3 10 0" />
        <path d="M6 18.500c3.300-3 6.700-3 10 0s6.700 3 10 0" opacity=".6" />
        <path d="M16 7v18" stroke-width="3.200" />
      </g>
    </svg>
  );
}

/** A sign for each verdict, 12 by 12: colour is never the only one. */
export const SIGNS: Record<Outcome, string> = {
  allowed: "M2 6.500l2.800 2.700L10 3.300",
  denied: "M2.800 2.800l6.400 6.400M9.200 2.800L2.800 9.200",
  audited:
    "M.8 6C2.300 3.500 4.100 2.300 6 2.300S9.700 3.500 11.200 6C9.700 8.500 7.900 9.700 6 9.700S2.300 8.500.8 6zM6 6.900a.9.9 0 100-1.800.9.9 0 000 1.800z",
  error: "M6 1.800L11 10.300H1zM6 4.900v2.300M6 8.600v.100",
};

export function Sign({ outcome }: { outcome: Outcome }) {
  return (
    <svg class={`sign ${outcome}`} width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
      <path d={SIGNS[outcome]} />
    </svg>
  );
}

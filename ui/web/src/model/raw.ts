// What the server sends: the observer's records as JSON (observe/proto), as far as the page reads them.

export interface RawEnd {
  namespace?: string;
  pod_name?: string;
  labels?: string[];
  workloads?: { name: string; kind: string }[];
}

export interface RawPorts {
  source_port?: number;
  destination_port?: number;
}

export interface RawFlow {
  uuid?: string;
  time?: string;
  verdict?: string;
  node_name?: string;
  Type?: string;
  Summary?: string;
  IP?: { source?: string; destination?: string };
  l4?: {
    TCP?: RawPorts & { flags?: Record<string, boolean> };
    UDP?: RawPorts;
    SCTP?: RawPorts;
    ICMPv4?: { type?: number };
    ICMPv6?: { type?: number };
  };
  l7?: {
    type?: string;
    latency_ns?: string;
    http?: { code?: number; method?: string; url?: string; protocol?: string };
    dns?: { query?: string; rcode?: number };
  };
  source?: RawEnd;
  destination?: RawEnd;
  source_names?: string[];
  destination_names?: string[];
  source_service?: { name?: string; namespace?: string };
  destination_service?: { name?: string; namespace?: string };
  event_type?: { type?: number; sub_type?: number };
  traffic_direction?: string;
  is_reply?: boolean | null;
  drop_reason_desc?: string;
  ingress_denied_by?: { name?: string }[];
  egress_denied_by?: { name?: string }[];
  weir?: RawWhy;
}

// observe/proto/weir/why.proto
export interface RawWhy {
  policies?: string[];
  rules?: string[];
  default_deny?: boolean;
  reason?: string;
  nearest_miss?: string;
  repeats?: string;
  application?: string;
  ended?: { sent?: RawCounted; received?: RawCounted };
}

export interface RawCounted {
  packets?: string;
  bytes?: string;
}

export interface RawAnswer {
  flow?: RawFlow;
  node_name?: string;
  time?: string;
}

export interface RawLost {
  lost_events?: { source?: string; num_events_lost?: string };
}

export interface RawNode {
  node_status?: { state_change?: string; node_names?: string[]; message?: string };
}

export interface Hello {
  source: string;
  recorded: boolean;
  /** Whether a pending policy can be judged. */
  foresees: boolean;
  time_ms: number;
}

export interface Status {
  source: string;
  recorded: boolean;
  version: string;
  flows: { held: number; capacity: number; seen: number; a_second: number };
  nodes: { name: string; state: string; version: string; uptime_s: number; seen: number }[];
  namespaces: string[];
  lost: number;
  browsers: number;
}

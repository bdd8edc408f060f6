// What is looked at: words, verdicts, protocol, status, workload.

import { useState } from "preact/hooks";
import { isEverything, isStatus } from "../model/filter";
import { OUTCOMES } from "../model/flow";
import { change, clear, filter, picture, selection, toggle } from "../state";
import { count, NAMES } from "../words";
import { Icon, Sign } from "./icons";

const PROTOCOLS = ["http", "dns", "tcp", "udp", "sctp", "icmp"];

export function FilterBar() {
  const { text, outcomes, protocol } = filter.value;
  const { totals } = picture.value.graph;
  return (
    <search class="filters">
      <label class="find">
        <Icon name="search" />
        <span class="hidden">Find in flows</span>
        <input
          id="find"
          type="search"
          placeholder="Find: pod, path, app=web, -not"
          value={text}
          onInput={(event) => change({ text: event.currentTarget.value })}
        />
        <kbd aria-hidden="true">/</kbd>
      </label>
      <fieldset class="verdicts" aria-label="Verdicts">
        {OUTCOMES.toReversed().map((outcome) => (
          <button
            key={outcome}
            type="button"
            class={`verdict ${outcome}`}
            aria-pressed={outcomes.includes(outcome)}
            onClick={() => toggle(outcome)}
          >
            <Sign outcome={outcome} /> {NAMES[outcome]} <span>{count(totals[outcome])}</span>
          </button>
        ))}
      </fieldset>
      <label class="field">
        <span>Protocol</span>
        <select
          id="protocol"
          value={protocol}
          onChange={(event) => change({ protocol: event.currentTarget.value })}
        >
          <option value="">Any</option>
          {PROTOCOLS.map((name) => (
            <option key={name} value={name}>
              {name.toUpperCase()}
            </option>
          ))}
        </select>
      </label>
      <Status />
      <Workloads />
      {!isEverything(filter.value) && (
        <button type="button" class="clear" onClick={clear}>
          <Icon name="close" size={13} /> Clear
        </button>
      )}
      <span class="stretch" />
      <NextDenied />
    </search>
  );
}

/** A status is asked for once it is one. */
function Status() {
  const [typed, type] = useState(filter.value.status);
  const known = filter.value.status;
  const shown = isStatus(typed) || typed !== "" ? typed : known;
  const wrong = shown !== "" && !isStatus(shown);
  return (
    <label class={`field${wrong ? " wrong" : ""}`}>
      <span>Status</span>
      <input
        id="status"
        size={5}
        placeholder="403, 5+"
        value={known === "" && isStatus(typed) ? "" : shown}
        aria-invalid={wrong}
        title="An HTTP status (403), or its beginning (4+)"
        onInput={(event) => {
          const text = event.currentTarget.value.trim();
          type(text);
          if (text === "" || isStatus(text)) change({ status: text });
        }}
      />
    </label>
  );
}

function Workloads() {
  const names = [...picture.value.graph.workloads.values()].flatMap(({ place }) =>
    place.kind === "workload" ? [place.name] : [],
  );
  return (
    <label class="field">
      <span>Workload</span>
      <input
        id="workload"
        size={12}
        list="workloads"
        placeholder="Any"
        value={filter.value.workload}
        onChange={(event) => change({ workload: event.currentTarget.value.trim() })}
      />
      <datalist id="workloads">
        {[...new Set(names)].sort().map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  );
}

/** Chooses one denied arrow after the other. */
export function nextDenied(): void {
  const denied = [...picture.value.graph.arrows.values()].filter((one) => one.outcome === "denied");
  const now = selection.value;
  const at = denied.findIndex((one) => now?.kind === "arrow" && one.id === now.id);
  const next = denied[(at + 1) % denied.length];
  if (next) selection.value = { kind: "arrow", id: next.id };
}

function NextDenied() {
  const { arrows } = picture.value.graph;
  const denied = [...arrows.values()].filter(({ outcome }) => outcome === "denied").length;
  if (denied === 0) return null;
  return (
    <button type="button" class="next" onClick={nextDenied} title="Next denied arrow (d)">
      Why denied? <kbd aria-hidden="true">d</kbd>
    </button>
  );
}

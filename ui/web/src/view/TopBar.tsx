// Above everything: whose flows, how the source is, namespace, window, pause.

import { useState } from "preact/hooks";
import { rangeOf } from "../model/filter";
import {
  change,
  crowded,
  filter,
  hello,
  help,
  lost,
  type Mood,
  minutes,
  mood,
  pause,
  paused,
  picture,
  range,
  status,
} from "../state";
import { theme, toggleTheme } from "../theme";
import { clock, count, plural } from "../words";
import { Icon, Logo } from "./icons";

const MOODS: Record<Mood, string> = {
  connecting: "Connecting",
  live: "Live",
  paused: "Paused",
  away: "Away",
  part: "Some nodes away",
  record: "Record",
};

export function TopBar() {
  const source = hello.value?.source ?? "";
  return (
    <header class="top">
      <div class="brand">
        <Logo />
        <h1>Weir</h1>
      </div>
      {source && (
        <span class="source" title="Whose flows these are">
          {source}
        </span>
      )}
      <Health />
      <span class="stretch" />
      <Namespaces />
      <Window />
      <Buttons />
    </header>
  );
}

function Health() {
  const said = mood.value;
  const { flows, nodes } = status.value ?? { flows: null, nodes: [] };
  const about = flows
    ? `${plural(nodes.length, "node")}, ${count(flows.seen)} flows seen, ${flows.a_second.toFixed(1)} a second`
    : "";
  const missing = lost.value + crowded.value;
  return (
    <>
      <span class={`mood ${said}`} role="status" title={about}>
        <i />
        {MOODS[said]}
        {paused.value && picture.value.waiting > 0 ? ` · ${count(picture.value.waiting)} new` : ""}
      </span>
      {missing > 0 && (
        <span
          class="lost"
          title={`${count(lost.value)} lost on the way (this page or a node was too slow), ${count(crowded.value)} let go here because there were too many`}
        >
          {plural(missing, "event")} lost
        </span>
      )}
    </>
  );
}

function Namespaces() {
  const { namespace } = filter.value;
  const names = new Set([...(status.value?.namespaces ?? []), ...picture.value.graph.namespaces]);
  if (namespace) names.add(namespace);
  return (
    <label class="field">
      <span>Namespace</span>
      <select
        id="namespace"
        value={namespace}
        onChange={(event) => change({ namespace: event.currentTarget.value })}
      >
        <option value="">All</option>
        {[...names].sort().map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Window() {
  return (
    <>
      <Minutes />
      <OwnRange />
    </>
  );
}

/** Between two times, as long as the observers hold their records. */
function OwnRange() {
  const now = range.value;
  const [since, setSince] = useState("");
  const [until, setUntil] = useState("");
  const local = (time: number) => {
    const date = new Date(time);
    return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  };
  const opened = () => {
    const { from, to } = range.value ?? picture.value;
    setSince(local(from));
    setUntil(local(to));
  };
  const wanted = rangeOf(since, until);
  return (
    <details class="menu below" onToggle={(event) => event.currentTarget.open && opened()}>
      <summary class={`own${now ? " on" : ""}`}>
        {now ? `${clock(now.from).slice(0, 8)} – ${clock(now.to).slice(0, 8)}` : "Own range"}
      </summary>
      <fieldset aria-label="Own time range">
        <label>
          <span>From</span>
          <input
            type="datetime-local"
            step="1"
            value={since}
            onInput={(event) => setSince(event.currentTarget.value)}
          />
        </label>
        <label>
          <span>To</span>
          <input
            type="datetime-local"
            step="1"
            value={until}
            onInput={(event) => setUntil(event.currentTarget.value)}
          />
        </label>
        <button
          type="button"
          class="primary"
          disabled={!wanted}
          onClick={(event) => {
            range.value = wanted;
            event.currentTarget.closest("details")?.removeAttribute("open");
          }}
        >
          Show
        </button>
      </fieldset>
    </details>
  );
}

function Minutes() {
  return (
    <fieldset class="segments" aria-label="Time window">
      {[1, 5, 15].map((each) => (
        <button
          key={each}
          type="button"
          aria-pressed={!range.value && minutes.value === each}
          onClick={() => {
            range.value = null;
            minutes.value = each;
          }}
        >
          {each} min
        </button>
      ))}
    </fieldset>
  );
}

function Buttons() {
  const stopped = paused.value > 0;
  return (
    <>
      <button
        type="button"
        class="tool"
        disabled={hello.value?.recorded}
        aria-pressed={stopped}
        aria-label={stopped ? "Go on" : "Pause"}
        title={stopped ? "Go on (p)" : "Pause (p)"}
        onClick={pause}
      >
        <Icon name={stopped ? "play" : "pause"} />
      </button>
      <button
        type="button"
        class="tool"
        aria-label={theme.value === "dark" ? "Light colours" : "Dark colours"}
        title={theme.value === "dark" ? "Light colours (t)" : "Dark colours (t)"}
        onClick={toggleTheme}
      >
        <Icon name={theme.value === "dark" ? "sun" : "moon"} />
      </button>
      <button
        type="button"
        class="tool"
        aria-label="Keys"
        title="Keys (?)"
        onClick={() => (help.value = true)}
      >
        ?
      </button>
    </>
  );
}

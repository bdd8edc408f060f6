// A policy that is not applied yet: which of the flows that the page holds it would change.

import { signal } from "@preact/signals";
import { type Changed, changed, type Foreseen, foresee, kinds } from "../model/pending";
import { hello, picture, selection } from "../state";
import { count, plural } from "../words";

const ROWS = 200;
const EXAMPLE = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: pending, namespace: default }
spec: ...`;

const policy = signal("");
const asking = signal(false);
const refused = signal("");
/** What came of the last question. */
const answer = signal<{ foreseen: Foreseen; rows: Changed[]; held: number } | null>(null);

async function ask(): Promise<void> {
  const sent = kinds(picture.value.flows);
  asking.value = true;
  refused.value = "";
  try {
    const foreseen = await foresee(policy.value, sent);
    const held = sent.reduce((n, { flows }) => n + flows.length, 0);
    answer.value = { foreseen, rows: changed(foreseen, sent), held };
  } catch (error) {
    answer.value = null;
    refused.value = error instanceof Error ? error.message : String(error);
  } finally {
    asking.value = false;
  }
}

async function take(file: File | undefined): Promise<void> {
  if (!file) return;
  policy.value = await file.text();
  await ask();
}

export function PendingPanel() {
  if (hello.value && !hello.value.foresees)
    return (
      <div class="http none">
        <p class="muted">
          What is in force is not known here. Start <code>weir ui</code> with{" "}
          <code>--manifests</code>, or beside a lab.
        </p>
      </div>
    );
  return (
    <div class="http pending">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <label for="pending-policy">Pending policy</label>
        <textarea
          id="pending-policy"
          spellcheck={false}
          placeholder={EXAMPLE}
          value={policy.value}
          onInput={(event) => (policy.value = event.currentTarget.value)}
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault();
            void take(event.dataTransfer?.files[0]);
          }}
        />
        <div class="ask">
          <label class="file">
            <span class="hidden">A file with a policy</span>
            <input
              type="file"
              accept=".yaml,.yml,.json"
              onChange={(event) => void take(event.currentTarget.files?.[0])}
            />
          </label>
          <button type="submit" class="primary" disabled={asking.value || !policy.value.trim()}>
            {asking.value ? "Judging" : "What would change"}
          </button>
        </div>
      </form>
      <Answer />
    </div>
  );
}

function Answer() {
  if (refused.value)
    return (
      <p class="refused" role="alert">
        {refused.value}
      </p>
    );
  if (!answer.value)
    return (
      <p class="muted">
        Paste a policy, or drop a file: it is judged against the flows above, and nothing is
        applied.
      </p>
    );
  const { foreseen, rows, held } = answer.value;
  const flows = rows.reduce((n, row) => n + row.flows.length, 0);
  return (
    <div class="scroll">
      <p role="status">
        <b>
          {rows.length === 0
            ? "None of the flows would change"
            : `${count(flows)} of ${plural(held, "record")} would change`}
        </b>
        {foreseen.not_judged > 0 && (
          <span class="muted">
            {" "}
            · {plural(foreseen.not_judged, "kind")} could not be judged: an end is gone
          </span>
        )}
      </p>
      {foreseen.problems.map((problem) => (
        <p class="refused" key={problem}>
          Not in force as written: {problem}
        </p>
      ))}
      {rows.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Now</th>
              <th>Then</th>
              <th>From and to</th>
              <th>What</th>
              <th>Why</th>
              <th class="number">Count</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS).map((row) => (
              <Row key={`${row.change.from} ${row.change.to} ${row.change.flow}`} row={row} />
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

const WORDS: Record<string, string> = { allow: "allowed", deny: "denied", "http-deny": "403" };

function Judged({ outcome }: { outcome: string }) {
  return (
    <span class={`word ${outcome === "allow" ? "allowed" : "denied"}`}>
      {WORDS[outcome] ?? outcome}
    </span>
  );
}

function Row({ row: { change, flows } }: { row: Changed }) {
  const last = flows.at(-1);
  return (
    <tr>
      <td>
        <Judged outcome={change.before} />
      </td>
      <td>
        <Judged outcome={change.after} />
      </td>
      <td>
        <button
          type="button"
          class="plain"
          title="Show one of them"
          onClick={() => {
            if (last) selection.value = { kind: "flow", flow: last };
          }}
        >
          {change.from} → {change.to}
        </button>
      </td>
      <td>
        <code>{change.flow}</code>
      </td>
      <td>{change.reason}</td>
      <td class="number">{count(flows.length)}</td>
    </tr>
  );
}

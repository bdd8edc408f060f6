// Why: the policies that decided, the rule, and what came nearest.

import type { Outcome } from "../../model/flow";
import type { Reason } from "../../model/graph";
import { entry } from "../../model/maps";
import { count, policy } from "../../words";

export const keyOf = ({ why, direction }: Reason) =>
  [direction, ...why.policies, ...why.rules, why.reason].join("\n");

/** Those that differ in the nearest miss only are told as one. */
export function together(reasons: Reason[]): Reason[][] {
  const groups = new Map<string, Reason[]>();
  for (const reason of reasons) entry(groups, keyOf(reason), () => []).push(reason);
  return [...groups.values()];
}

/** Nearest misses that are told of one reason. */
const MISSES = 5;

export function OneReason({ reasons, outcome }: { reasons: Reason[]; outcome: Outcome }) {
  const [{ why, direction }] = reasons as [Reason];
  const { policies, rules, reason: text, defaultDeny } = why;
  const side = direction === "ingress" ? "by its target" : direction && "by its source";
  const misses = reasons.filter((one) => one.why.nearestMiss);
  const subjects = [...new Set(reasons.flatMap((one) => one.subjects))].slice(0, 6);
  const times = reasons.reduce((sum, one) => sum + one.count, 0);
  return (
    <article class={`reason ${outcome}`}>
      {policies.map((name, index) => (
        <PolicyName
          key={`${name}${rules[index]}`}
          text={name}
          rule={rules[index] ?? ""}
          whole={defaultDeny}
        />
      ))}
      <p>
        <Marked text={text} />
      </p>
      {misses.slice(0, MISSES).map((one) => (
        <p class="nearest" key={one.why.nearestMiss}>
          <span>Nearest miss{misses.length > 1 && ` of ${one.subjects.join(", ")}`}</span>
          <Marked text={one.why.nearestMiss} />
        </p>
      ))}
      {misses.length > MISSES && <p class="muted">and {misses.length - MISSES} more like it</p>}
      <footer>
        <span>{subjects.join(", ")}</span>
        <span>
          judged {side} · {count(times)} ×
        </span>
      </footer>
    </article>
  );
}

function PolicyName({ text, rule, whole }: { text: string; rule: string; whole: boolean }) {
  const { kind, namespace, name } = policy(text);
  return (
    <div class="policy">
      <span class="kind">
        {kind}
        {namespace && ` in ${namespace}`}
      </span>
      <strong>{name}</strong>
      {rule ? (
        <code>{rule}</code>
      ) : (
        whole && <span class="muted">its default: no rule allows it</span>
      )}
    </div>
  );
}

/** `quoted` words as code. */
function Marked({ text }: { text: string }) {
  const parts = text.split("`");
  return <>{parts.map((part, index) => (index % 2 ? <code key={part}>{part}</code> : part))}</>;
}

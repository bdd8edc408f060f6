//! One AdmissionReview: a question of the API server and its answer.
//!
//! Format: kubernetes.io, "Dynamic Admission Control". What is no policy of ours is allowed.

use serde::Deserialize;
use serde_json::{Value, json};
use weir_policy::{
    lint::{Finding, Input, lint, registry},
    model::Problem,
    objects::{kind_of, parse},
};

use super::Shallow;

const VERSION: &str = "admission.k8s.io/v1";
/// Longer ones are cut by the API server, and of the rest it keeps 4096 bytes in all.
const WARNING: usize = 256;
const WARNINGS: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Admission,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Admission {
    uid: String,
    operation: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Shallow,
    #[serde(default)]
    old_object: Shallow,
}

/// A review with its answer, which may be given; mistakes in the policy are looked for later.
#[derive(Debug)]
pub struct Reviewed {
    uid: String,
    response: Value,
    /// A policy that is allowed and not looked at for mistakes yet.
    open: Option<Value>,
}

/// Judges a review.
///
/// # Errors
/// It is no AdmissionReview of version v1; the API server then does what `failurePolicy` says.
pub fn review(body: &[u8]) -> Result<Reviewed, String> {
    let review: Review =
        serde_json::from_slice(body).map_err(|error| format!("not an AdmissionReview: {error}"))?;
    if (review.api_version.as_str(), review.kind.as_str()) != (VERSION, "AdmissionReview") {
        return Err(format!(
            "`{}` `{}` is not `{VERSION}` `AdmissionReview`",
            review.api_version, review.kind
        ));
    }
    let uid = review.request.uid.clone();
    let (response, open) = judge(review.request)?;
    Ok(Reviewed {
        uid,
        response,
        open,
    })
}

// === impl Reviewed ===

impl Reviewed {
    /// The answer without warnings of the linter; `None`: there are none to come, so that the other one
    /// costs no more.
    pub fn first(&self) -> Option<Value> {
        self.open.as_ref()?;
        let none = allowed(&[
            "not looked at for mistakes: that takes too much time or memory; `weir lint` looks"
                .to_owned(),
        ]);
        Some(self.answer(none))
    }

    /// The whole answer.
    pub fn whole(&self) -> Value {
        let looked_at = self.open.as_ref().map(|object| allowed(&findings(object)));
        self.answer(looked_at.unwrap_or_else(|| self.response.clone()))
    }

    fn answer(&self, mut response: Value) -> Value {
        response["uid"] = json!(self.uid);
        json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
    }
}

/// The answer, and the policy that is still to be looked at for mistakes.
fn judge(mut request: Admission) -> Result<(Value, Option<Value>), String> {
    if !matches!(request.operation.as_str(), "CREATE" | "UPDATE") {
        return Ok((json!({"allowed": true}), None));
    }
    if !request.object.0.is_object() {
        return Err(format!("{} without `request.object`", request.operation));
    }
    let same = says_the_same(&request);
    request.old_object = Shallow::default();
    let object = named(request);
    let Some(kind) = kind_of(&object) else {
        return Ok((json!({"allowed": true}), None));
    };
    let problems = match parse(kind, &object) {
        Ok(parsed) => parsed.problems,
        Err(refused) => refused.problems,
    };
    if problems.is_empty() {
        return Ok((json!({"allowed": true}), Some(object)));
    }
    let lines: Vec<String> = problems.iter().map(line).collect();
    if same {
        // Finalizers and labels of a policy that is there already must not be held up by it.
        return Ok((allowed(&lines), None));
    }
    tracing::info!(
        object = problems[0].object,
        problems = lines.len(),
        "refused"
    );
    let refused = json!({
        "allowed": false,
        "status": {
            "code": 422,
            "reason": "Invalid",
            "message": format!("not in force as written: {}", lines.join("; ")),
        },
    });
    Ok((refused, None))
}

fn allowed(warnings: &[String]) -> Value {
    if warnings.is_empty() {
        return json!({"allowed": true});
    }
    let warnings: Vec<String> = warnings
        .iter()
        .take(WARNINGS)
        .map(|text| text.chars().take(WARNING).collect())
        .collect();
    json!({"allowed": true, "warnings": warnings})
}

/// The object with the name and the namespace that it will have: before it is stored one may be
/// generated, and the other only in the request.
fn named(request: Admission) -> Value {
    let mut object = request.object.0;
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return object;
    };
    let missing = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").is_empty();
    if missing(metadata.get("name")) {
        let generated = metadata.get("generateName").and_then(Value::as_str);
        let name = match generated {
            _ if !request.name.is_empty() => request.name.clone(),
            // What the API server appends are letters and digits.
            Some(generated) => format!("{generated}x"),
            None => String::new(),
        };
        metadata.insert("name".into(), json!(name));
    }
    if missing(metadata.get("namespace")) && !request.namespace.is_empty() {
        metadata.insert("namespace".into(), json!(request.namespace));
    }
    object
}

/// Whether an update leaves alone what the policy says.
fn says_the_same(request: &Admission) -> bool {
    const MODE: [&str; 3] = ["metadata", "annotations", weir_policy::objects::MODE];
    let mode = |value: &Value| -> Option<Value> {
        let found = MODE.iter().try_fold(value, |value, key| value.get(key))?;
        Some(found.clone())
    };
    let (new, old) = (&request.object.0, &request.old_object.0);
    old.is_object()
        && ["apiVersion", "kind", "spec", "specs"]
            .iter()
            .all(|field| new.get(field) == old.get(field))
        && mode(new) == mode(old)
}

fn line(problem: &Problem) -> String {
    format!("{}: {}", problem.field, problem.reason)
}

/// Mistakes that are seen in the policy itself.
fn findings(object: &Value) -> Vec<String> {
    let input = Input {
        policies: vec![object],
        ..Input::default()
    };
    // Another policy, which is not seen here, may allow what this one does not: DNS, or the rest.
    let neighbours = [
        registry::NO_DNS.id,
        registry::DENY_ALONE.id,
        registry::NEVER_LEARNT.id,
    ];
    let of_its_own = |finding: &Finding| !neighbours.contains(&finding.id);
    lint(&input)
        .into_iter()
        .filter(of_its_own)
        .map(|finding| {
            format!(
                "{} {}: {} (fix: {})",
                finding.id, finding.field, finding.why, finding.fix
            )
        })
        .collect()
}

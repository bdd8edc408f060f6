//! How far a policy is on the nodes of a cluster, by what agents wrote into its status.

use serde_json::Value;

/// How far a policy is.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// In force on every node, so many.
    Everywhere(u64),
    /// Not yet, and what is missing.
    Waiting(String),
}

/// It gets no further.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProgress {
    /// An agent does not put it in force as written.
    #[error("refused: {0}")]
    Refused(String),
    /// The cluster is too large.
    #[error(
        "the cluster has more than 100 nodes, for which no node is counted: ask them with \
         `weir policy get`"
    )]
    Uncounted,
}

/// How far a policy is, by its status. A refused one never gets there.
///
/// # Errors
/// It is refused, or nobody counts its nodes.
pub fn progress(status: &Value, generation: i64) -> Result<Progress, NoProgress> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let valid = conditions
        .filter(|condition| condition["observedGeneration"].as_i64() == Some(generation))
        .find(|condition| condition["type"] == "Valid");
    match valid.map(|valid| (&valid["status"], &valid["message"])) {
        None => {
            return Ok(Progress::Waiting(
                "no agent has looked at it yet".to_owned(),
            ));
        }
        Some((status, message)) if status != "True" => {
            let reason = message.as_str().unwrap_or_default();
            return Err(NoProgress::Refused(reason.to_owned()));
        }
        Some(_) => {}
    }
    let weir = &status["weir"];
    let number = |name: &str| weir[name].as_u64();
    match (number("nodesEnforced"), number("nodesTotal")) {
        (Some(enforced), Some(total))
            if enforced == total && weir["revision"].as_i64() == Some(generation) =>
        {
            Ok(Progress::Everywhere(total))
        }
        (Some(enforced), Some(total)) => Ok(Progress::Waiting(format!(
            "{enforced} of {total} nodes enforce it"
        ))),
        _ => Err(NoProgress::Uncounted),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_present_version_on_every_node_counts() {
        let status = |generation: i64, enforced: u64, valid: &str| {
            json!({
                "conditions": [{"type": "Valid", "status": valid, "message": "spec: wrong",
                    "observedGeneration": generation}],
                "weir": {"nodesEnforced": enforced, "nodesTotal": 2, "revision": generation},
            })
        };
        assert_eq!(
            progress(&status(3, 2, "True"), 3).unwrap(),
            Progress::Everywhere(2)
        );
        for waiting in [status(3, 1, "True"), status(2, 2, "True"), json!({})] {
            assert!(
                matches!(progress(&waiting, 3).unwrap(), Progress::Waiting(_)),
                "{waiting}"
            );
        }
        assert!(
            progress(&status(3, 2, "False"), 3)
                .unwrap_err()
                .to_string()
                .contains("spec: wrong")
        );
    }
}

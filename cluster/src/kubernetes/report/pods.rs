//! What is said of pods, and which nodes have an agent.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_policy::model::PodName;

use crate::objects::{PodPlacement, UNDER_POLICY};

/// The patch that makes a pod's condition true; `None`: it is. A pod gets the condition only when it
/// is not under policy, and keeps it from then on. `fault`: why it is not under policy.
pub fn pod_patch(pod: &PodPlacement, fault: Option<&str>, now: &str) -> Option<Value> {
    let said = pod.under_policy.as_ref();
    let (status, reason, message) = match fault {
        Some(fault) => ("False", "NotUnderPolicy", fault),
        None if said.is_some_and(|said| !said.holds) => {
            ("True", "UnderPolicy", "Its policies are in force.")
        }
        None => return None,
    };
    if said.is_some_and(|said| said.holds == fault.is_none() && said.message == message) {
        return None;
    }
    let mut condition = json!({
        "type": UNDER_POLICY, "status": status, "reason": reason, "message": message,
    });
    // The time is that of the last change of the status.
    if said.is_none_or(|said| said.holds != fault.is_none()) {
        condition["lastTransitionTime"] = now.into();
    }
    Some(json!({"status": {"conditions": [condition]}}))
}

/// The nodes that an agent is meant for: where pods of the same DaemonSet as this agent's are. One
/// that has no node yet stands for the node that it is to have: there no policy is in force. `None`:
/// this agent is no such pod.
pub fn enforcing(placements: &[PodPlacement], pod: &PodName) -> Option<BTreeSet<String>> {
    let agent = placements
        .iter()
        .find(|of| of.pod == *pod)
        .filter(|pod| !pod.controller.is_empty())?;
    let others = placements.iter().filter(|pod| {
        (&pod.pod.namespace, &pod.controller) == (&agent.pod.namespace, &agent.controller)
    });
    let place = |pod: &PodPlacement| match pod.node.is_empty() {
        true => format!("pod {}", pod.pod.name),
        false => pod.node.clone(),
    };
    Some(others.map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::UnderPolicy;

    fn pod(name: &str, node: &str, controller: &str) -> PodPlacement {
        PodPlacement {
            pod: PodName::new("weir-system", name),
            node: node.into(),
            controller: controller.into(),
            ..PodPlacement::default()
        }
    }

    #[test]
    fn a_pod_hears_only_what_is_new() {
        let told = |holds, message: &str| PodPlacement {
            under_policy: Some(UnderPolicy {
                holds,
                message: message.into(),
            }),
            ..pod("p", "n", "")
        };
        let condition = |pod: &PodPlacement, fault| {
            pod_patch(pod, fault, "now").map(|patch| patch["status"]["conditions"][0].clone())
        };
        assert_eq!(condition(&pod("p", "n", ""), None), None);
        assert_eq!(condition(&told(false, "lost"), Some("lost")), None);
        assert_eq!(
            condition(&told(true, "Its policies are in force."), None),
            None
        );
        let lost = condition(&pod("p", "n", ""), Some("lost")).unwrap();
        assert_eq!(
            (&lost["status"], &lost["message"]),
            (&json!("False"), &json!("lost"))
        );
        assert_eq!(lost["lastTransitionTime"], "now");
        let other = condition(&told(false, "lost"), Some("another reason")).unwrap();
        assert_eq!(other["lastTransitionTime"], Value::Null);
        let found = condition(&told(false, "lost"), None).unwrap();
        assert_eq!(
            (&found["status"], &found["type"]),
            (&json!("True"), &json!(UNDER_POLICY))
        );
        assert_eq!(found["lastTransitionTime"], "now");
    }

    #[test]
    fn nodes_without_an_agent_do_not_count() {
        let mut pods = vec![
            pod("weir-a", "a", "daemonset"),
            pod("weir-b", "b", "daemonset"),
            pod("weir-b-surge", "b", "daemonset"),
            pod("weir-new", "", "daemonset"),
            pod("weir-relay", "c", "replicaset"),
            pod("alone", "d", ""),
        ];
        pods.push(PodPlacement {
            pod: PodName::new("elsewhere", "thief"),
            ..pod("thief", "e", "daemonset")
        });
        let nodes = enforcing(&pods, &PodName::new("weir-system", "weir-a")).unwrap();
        assert_eq!(
            nodes,
            BTreeSet::from(["a".into(), "b".into(), "pod weir-new".into()])
        );
        assert_eq!(
            enforcing(&pods, &PodName::new("weir-system", "alone")),
            None
        );
        assert_eq!(enforcing(&pods, &PodName::new("weir-system", "gone")), None);
    }
}

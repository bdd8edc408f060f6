//! What tools ask, each question with the type of its answer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weir_policy::{
    explain::Explanation,
    model::{PodName, pod::two_fields},
    verdict::Flow,
};

use super::answer::{Endpoints, InForce, Policies, Status, Synced, Well};

/// A question that the agent answers.
pub trait Asks: Into<Question> {
    /// Its answer.
    type Answer: Serialize + DeserializeOwned;
}

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident $command:literal => $kind:ty, $answer:ty;)*) => {
        /// What can be asked.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "command")]
        pub enum Question {
            $($(#[$doc])* #[serde(rename = $command)] $name($kind),)*
        }

        $(
            impl From<$kind> for Question {
                fn from(asked: $kind) -> Self {
                    Self::$name(asked)
                }
            }

            impl Asks for $kind {
                type Answer = $answer;
            }
        )*
    };
}

questions! {
    /// Read the objects now; the answer comes when they are in force.
    Sync "sync" => Sync, Synced;
    /// What is in force, and how the agent is.
    Status "status" => StatusOf, Status;
    /// Whether the agent works on its requests.
    Alive "alive" => Alive, Well;
    /// Pods of this node, with what is in force for them.
    Endpoints "endpoints" => ListEndpoints, Endpoints;
    /// Policies, with what is refused of them.
    Policies "policies" => ListPolicies, Policies;
    /// A pod's interface, from the CNI plugin; the answer comes when its policy is in force.
    Attach "attach" => Attach, InForce;
    /// A container's interface is going away.
    Detach "detach" => Detach, Well;
    /// Whether a container's policy is in force.
    Attached "attached" => Attached, Well;
    /// The containers that there are; others are forgotten.
    Keep "keep" => Keep, Well;
    /// The verdict on a flow, and why.
    Explain "explain" => Explain, Explanation;
}

/// [`Question::Sync`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sync {}

/// [`Question::Status`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StatusOf {}

/// [`Question::Alive`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Alive {}

/// [`Question::Endpoints`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ListEndpoints {}

/// [`Question::Policies`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ListPolicies {}

/// [`Question::Attach`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attach(pub Attachment);

/// A pod's interface as a CNI plugin told it, before the API knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container runtime's id of the pod's sandbox.
    pub container: String,
    /// The pod.
    #[serde(flatten, with = "two_fields")]
    pub pod: PodName,
    /// `metadata.uid`: a new pod may have the name of an old one. Empty where the runtime does not
    /// tell it.
    pub uid: String,
    /// The veth on the node's side.
    pub interface: String,
    /// The pod's network namespace, a path.
    pub netns: String,
    /// The pod's addresses, in their one form.
    #[serde(deserialize_with = "weir_policy::model::address::deserialize_list")]
    pub addresses: Vec<IpAddr>,
}

/// [`Question::Detach`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detach {
    /// The container runtime's id.
    pub container: String,
}

/// [`Question::Attached`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attached {
    /// The container runtime's id.
    pub container: String,
}

/// [`Question::Keep`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keep {
    /// Ids of the container runtime.
    pub containers: Vec<String>,
}

/// [`Question::Explain`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explain(pub Flow);

/// A line that is no answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refused {
    /// Why.
    pub error: Option<String>,
}

#[derive(Serialize)]
struct Written<'a, A> {
    ok: bool,
    #[serde(flatten)]
    answer: &'a A,
}

/// The line that answers a question.
pub fn reply<A: Serialize>(answer: &Result<A, String>) -> String {
    let failed = |reason: &str| serde_json::json!({"ok": false, "error": reason}).to_string();
    let mut line = match answer {
        Ok(answer) => serde_json::to_string(&Written { ok: true, answer })
            .unwrap_or_else(|error| failed(&format!("an answer that cannot be written: {error}"))),
        Err(reason) => failed(reason),
    };
    line.push('\n');
    line
}

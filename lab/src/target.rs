//! Which pod a word on the command line means.

use anyhow::{Result, bail};
use weir_policy::model::PodName;

use crate::object::kind;
use crate::state::{Pod, State};

/// A pod by `NS/POD`, `POD`, `deploy/NAME` or `NS/deploy/NAME`.
pub fn find<'a>(state: &'a State, target: &str, namespace: &str) -> Result<&'a Pod> {
    let parts: Vec<&str> = target.split('/').collect();
    let owner_kind = |word: &str| kind::from_word(word).filter(|kind| kind::owns_pods(kind));
    let (namespace, owner, name) = match parts.as_slice() {
        [name] => (namespace, None, *name),
        ["pod" | "po", name] => (namespace, None, *name),
        [word, name] => match owner_kind(word) {
            Some(kind) => (namespace, Some(kind), *name),
            None => (*word, None, *name),
        },
        [namespace, word, name] => match owner_kind(word) {
            Some(kind) => (*namespace, Some(kind), *name),
            None => bail!("{target}: {word} is not a kind that makes pods"),
        },
        _ => bail!("{target}: use NS/POD, POD, deploy/NAME or NS/deploy/NAME"),
    };
    let found = match &owner {
        None => state.pods.get(&PodName::new(namespace, name)),
        Some(kind) => {
            let owner = format!("{kind}/{name}");
            state
                .pods
                .values()
                .find(|pod| pod.namespace == namespace && pod.owner.as_ref() == Some(&owner))
        }
    };
    match found {
        Some(pod) => Ok(pod),
        None => {
            let there: Vec<String> = state.pods.keys().map(PodName::to_string).collect();
            bail!(
                "no pod {target} in namespace {namespace}; there are: {}",
                there.join(", ")
            )
        }
    }
}

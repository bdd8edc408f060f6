//! Objects from files: a folder (read with its subfolders), single files, standard input.
//!
//! What breaks stays as it was:
//!
//! | what is wrong | what is in force |
//! |---|---|
//! | an object | its last good version; a policy that never had one: its stand-in, which denies |
//! | a file is not YAML, or cannot be read | the file's last good content |
//! | such a file was never good | nothing of it: the reading is *fatal*; files that vanished meanwhile are kept, one of them may be this one under another name |
//! | a folder that was there is gone | everything that was in it |
//!
//! A file or an object that is removed from a good folder is really gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use weir_policy::model::Problem;

use crate::{
    index::{Index, Options},
    objects::{Converted, Object, ObjectKey, convert},
    reading::{Reading, SourceProblem},
    yaml::{Document, Places},
};

mod files;
mod kustomize;
mod offline;
mod watch;

pub use files::{STDIN, read_documents, read_text};
pub use watch::{Changes, WatchError};

use files::Files;
use offline::Offline;

/// Reads objects from files, again and again.
#[derive(Debug)]
pub struct FolderSource {
    paths: Vec<PathBuf>,
    options: Options,
    offline: Option<Offline>,
    files: Files,
    last_good: BTreeMap<ObjectKey, Object>,
    documents: Vec<Document>,
}

impl FolderSource {
    /// A source over files and folders; `-` is standard input, which is read once.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>, options: Options) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            options,
            offline: None,
            files: Files::default(),
            last_good: BTreeMap::new(),
            documents: Vec::new(),
        }
    }

    /// For commands without a cluster: objects that name no namespace have this one, or that of their
    /// kustomization; names are made up where there is a `generateName` only; what belongs to
    /// kustomize and Helm is known by its name.
    #[must_use]
    pub fn offline(self, namespace: String) -> Self {
        Self {
            offline: Some(Offline::new(namespace)),
            ..self
        }
    }

    /// Reads everything again with other options, but for standard input.
    pub fn read_as(&mut self, options: Options) -> Reading {
        self.options = options;
        self.read()
    }

    /// What the last reading read, whether or not it was understood.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The places of what [`Self::documents`] has: of standard input, too.
    pub fn places(&self) -> Places {
        let mut places = Places::default();
        if let Some(text) = self.files.standard_input() {
            places.hold(STDIN, text);
        }
        places
    }

    /// Reads everything again.
    pub fn read(&mut self) -> Reading {
        let (read, mut problems) = self.files.read(&self.paths);
        let documents = match &self.offline {
            Some(offline) => offline.filled(read, &mut problems),
            None => read.into_iter().map(|(_, document)| document).collect(),
        };
        let mut index = Index::default();
        let mut places: BTreeMap<ObjectKey, String> = BTreeMap::new();
        let mut ignored = BTreeSet::new();
        let mut good = BTreeMap::new();
        for document in &documents {
            let (mut key, object, faults) = match convert(&document.value) {
                Converted::Ignored { kind } => {
                    if names_a_policy(&kind) {
                        problems.push(SourceProblem::of(document, not_enforced(&kind)));
                    }
                    if self.offline.is_none() && kind.starts_with(kustomize::GROUP) {
                        problems.push(SourceProblem::of(document, kustomize::not_applied()));
                    }
                    ignored.insert(kind);
                    continue;
                }
                Converted::Alien { problem } => {
                    problems.push(SourceProblem::of(document, problem));
                    continue;
                }
                Converted::Good {
                    key,
                    object,
                    problems,
                } => (key, Ok(object), problems),
                Converted::Bad {
                    key,
                    stand_in,
                    problems,
                } => (key, Err(stand_in), problems),
            };
            if object.is_err() && document.value.pointer("/metadata/name").is_none() {
                // Two objects without a name are two objects: both stand-ins count.
                key.name = format!("unnamed at {}", document.place);
            }
            if let Some(first) = places.get(&key) {
                problems.push(SourceProblem {
                    place: document.place.clone(),
                    object: key.to_string(),
                    field: String::new(),
                    reason: format!("stands here again: the one at {first} is used"),
                    fatal: false,
                });
                continue;
            }
            places.insert(key.clone(), document.place.clone());
            problems.extend(
                faults
                    .into_iter()
                    .map(|problem| SourceProblem::of(document, problem)),
            );
            let in_force = match object {
                Ok(object) => {
                    good.insert(key.clone(), object.clone());
                    Some(object)
                }
                Err(stand_in) => match self.last_good.remove(&key) {
                    Some(object) => {
                        good.insert(key.clone(), object.clone());
                        Some(object)
                    }
                    None => stand_in,
                },
            };
            if let Some(object) = in_force {
                index.apply(key, object);
            }
        }
        self.last_good = good;
        self.documents = documents;
        if !ignored.is_empty() {
            tracing::debug!(kinds = ?ignored, "kinds that say nothing to policy");
        }
        let (world, placements) = index.world(&self.options);
        // Offline the groups may be in the cluster: there a lint says it, where some are at hand.
        let missing = index
            .missing_groups(&world)
            .filter(|_| self.offline.is_none());
        for (key, found) in missing {
            let place = places.get(key).cloned().unwrap_or_default();
            let told = found
                .into_iter()
                .map(|problem| SourceProblem::at(place.clone(), problem));
            problems.extend(told);
        }
        Reading {
            world,
            placements,
            problems,
        }
    }
}

/// Kinds of other products, and ours misspelt: someone expects them to be enforced.
fn names_a_policy(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.contains("network") && kind.contains("pol")
}

fn not_enforced(kind: &str) -> Problem {
    Problem {
        object: kind.escape_debug().to_string(),
        field: "kind".to_owned(),
        reason: "is not enforced here: NetworkPolicy (networking.k8s.io/v1), CiliumNetworkPolicy \
                 and CiliumClusterwideNetworkPolicy (cilium.io/v2), and ClusterNetworkPolicy \
                 (policy.networking.k8s.io/v1alpha2) are"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;

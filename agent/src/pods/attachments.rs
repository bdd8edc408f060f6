//! Pods that the CNI plugin has told of: kept in a file, so that a restarted agent knows the pods
//! whose addresses the API does not tell yet.

use std::{
    io,
    path::{Path, PathBuf},
};

use weir_link::tools::Attachment;

use crate::stored;

/// The attachments of this node.
#[derive(Debug, Default)]
pub struct Attachments {
    file: PathBuf,
    known: Vec<Attachment>,
}

impl Attachments {
    /// What an earlier agent knew.
    ///
    /// # Errors
    /// It is not known what it knew.
    pub fn load(file: &Path) -> io::Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            known: stored::load(file)?,
        })
    }

    /// All of them.
    pub fn all(&self) -> &[Attachment] {
        &self.known
    }

    /// Takes one in; an older one of the same container goes.
    pub fn add(&mut self, attachment: Attachment) {
        self.known
            .retain(|known| known.container != attachment.container);
        self.known.push(attachment);
        self.store();
    }

    /// Takes out what does not stay; tells whether anything went.
    pub fn retain(&mut self, stays: impl Fn(&Attachment) -> bool) -> bool {
        let before = self.known.len();
        self.known.retain(stays);
        let gone = self.known.len() < before;
        if gone {
            self.store();
        }
        gone
    }

    fn store(&self) {
        stored::store(&self.file, &self.known);
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::model::PodName;

    use super::*;

    fn attachment(container: &str, name: &str) -> Attachment {
        Attachment {
            container: container.into(),
            pod: PodName::new("default", name),
            uid: String::new(),
            interface: "veth0".into(),
            netns: "/run/netns/a".into(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
        }
    }

    #[test]
    fn they_outlive_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attachments.json");
        let mut attachments = Attachments::load(&file).unwrap();
        attachments.add(attachment("c1", "a"));
        attachments.add(attachment("c2", "b"));
        attachments.add(attachment("c1", "c"));
        assert_eq!(Attachments::load(&file).unwrap().all(), attachments.all());
        assert!(attachments.retain(|known| known.container != "c2"));
        assert!(!attachments.retain(|_| true));
        assert_eq!(
            Attachments::load(&file).unwrap().all(),
            [attachment("c1", "c")]
        );
    }
}

//! Pods that the CNI plugin has told of: kept in a file, so that a restarted agent knows the pods
//! whose addresses the API does not tell yet.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use weir_cluster::kubernetes::Attachment;

/// The attachments of this node.
#[derive(Debug, Default)]
pub struct Attachments {
    file: PathBuf,
    known: Vec<Attachment>,
}

impl Attachments {
    /// What an earlier agent knew; nothing where the file is missing or unreadable.
    pub fn load(file: &Path) -> Self {
        let known = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let known = known.unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "attachments are forgotten: pods are found by their addresses");
            Vec::new()
        });
        Self {
            file: file.to_owned(),
            known,
        }
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
        let partial = self.file.with_extension("partial");
        let written = serde_json::to_vec(&self.known)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&partial, bytes))
            .and_then(|()| fs::rename(&partial, &self.file));
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "attachments are not stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container: &str, name: &str) -> Attachment {
        Attachment {
            container: container.into(),
            namespace: "default".into(),
            name: name.into(),
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
        let mut attachments = Attachments::load(&file);
        attachments.add(attachment("c1", "a"));
        attachments.add(attachment("c2", "b"));
        attachments.add(attachment("c1", "c"));
        assert_eq!(Attachments::load(&file).all(), attachments.all());
        assert!(attachments.retain(|known| known.container != "c2"));
        assert!(!attachments.retain(|_| true));
        assert_eq!(Attachments::load(&file).all(), [attachment("c1", "c")]);
        fs::write(&file, "[{").unwrap();
        assert!(Attachments::load(&file).all().is_empty());
    }
}

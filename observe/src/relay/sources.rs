//! Which observers there are now: those that were told, those of a file and those of a name.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{Address, AddressError};

/// A name and the port of all that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    /// The name.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for DnsName {
    type Err = AddressError;

    /// `NAME:PORT`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse()? {
            Address::Tcp(host, port) => Ok(Self { host, port }),
            Address::Socket(_) | Address::Forwarded(_) => {
                Err(AddressError::new(text, "a socket has no name to resolve"))
            }
        }
    }
}

/// Why the addresses in a file are of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A line is no address.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
}

/// The sources, with what each gave last.
#[derive(Debug)]
pub struct Sources {
    fixed: BTreeSet<Address>,
    file: Option<(PathBuf, BTreeSet<Address>)>,
    name: Option<(DnsName, BTreeSet<Address>)>,
}

impl Sources {
    /// These, those in a file, and those that a name stands for.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read or understood. Later what it said last stays.
    pub fn new(
        fixed: Vec<Address>,
        file: Option<PathBuf>,
        name: Option<DnsName>,
    ) -> Result<Self, FileError> {
        let first = |path: PathBuf| read(&path).map(|found| (path, found));
        Ok(Self {
            fixed: fixed.into_iter().collect(),
            file: file.map(first).transpose()?,
            name: name.map(|name| (name, BTreeSet::new())),
        })
    }

    /// All of them now.
    pub async fn look(&mut self) -> BTreeSet<Address> {
        if let Some((path, last)) = &mut self.file {
            match read(path) {
                Ok(found) => *last = found,
                Err(error) => tracing::warn!(%error, "the peers stay as they were"),
            }
        }
        if let Some((name, last)) = &mut self.name {
            match resolve(&name.host, name.port).await {
                Ok(found) => *last = found,
                Err(error) => {
                    tracing::warn!(name = name.host, %error, "not resolved: its peers stay as they were");
                }
            }
        }
        let mut all = self.fixed.clone();
        all.extend(self.file.iter().flat_map(|(_, found)| found.clone()));
        all.extend(self.name.iter().flat_map(|(_, found)| found.clone()));
        all
    }
}

/// The addresses in a file, one a line; `#` begins a comment.
fn read(path: &Path) -> Result<BTreeSet<Address>, FileError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: shown(),
        source,
    })?;
    let mut found = BTreeSet::new();
    for (line, number) in text.lines().zip(1..) {
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        found.insert(address.parse().map_err(|source| FileError::Line {
            path: shown(),
            line: number,
            source,
        })?);
    }
    Ok(found)
}

/// The addresses that a name stands for now: a headless service's are those of its pods.
async fn resolve(host: &str, port: u16) -> std::io::Result<BTreeSet<Address>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    Ok(found
        .map(|address| Address::Tcp(address.ip().to_canonical().to_string(), port))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_breaks_keeps_what_it_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("peers");
        let put = |text: &str| std::fs::write(&path, text).expect("a file");
        let fixed = vec!["unix:///run/a.sock".parse().expect("an address")];
        put("# nodes\n192.0.2.1:4244  # first\n\n[2001:db8::1]:4244\n");
        let name = "localhost:4244".parse().expect("a name");
        let mut sources = Sources::new(fixed, Some(path.clone()), Some(name)).expect("sources");
        let shown = |all: BTreeSet<Address>| -> BTreeSet<String> {
            all.iter().map(ToString::to_string).collect()
        };
        let first = shown(sources.look().await);
        for address in [
            "unix:///run/a.sock",
            "192.0.2.1:4244",
            "[2001:db8::1]:4244",
            "127.0.0.1:4244",
        ] {
            assert!(first.contains(address), "{address}: {first:?}");
        }
        put("192.0.2.1:4244\nnobody\n");
        assert_eq!(shown(sources.look().await), first);
        put("192.0.2.3:4244\n");
        let after = shown(sources.look().await);
        assert!(after.contains("192.0.2.3:4244") && !after.contains("192.0.2.1:4244"));
        put("nobody");
        let error = Sources::new(Vec::new(), Some(path.clone()), None).expect_err("no address");
        assert!(error.to_string().contains("line 1"), "{error}");
        assert!("unix:///x".parse::<DnsName>().is_err());
    }
}

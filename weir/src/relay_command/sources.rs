//! Which observers there are now: those of the command line, of a file and of a name.

use std::{collections::BTreeSet, path::PathBuf, str::FromStr};

use anyhow::{Result, bail};
use weir_observe::relay::{self, Address};

/// A name and the port of all that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    pub host: String,
    pub port: u16,
}

impl FromStr for DnsName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse()? {
            Address::Tcp(host, port) => Ok(Self { host, port }),
            Address::Socket(_) => bail!("a socket has no name to resolve: use --peer for it"),
        }
    }
}

/// The sources, with what each gave last.
pub struct Sources {
    fixed: BTreeSet<Address>,
    file: Option<(PathBuf, BTreeSet<Address>)>,
    name: Option<(DnsName, BTreeSet<Address>)>,
}

impl Sources {
    /// A file that cannot be read or understood is an error at the start; later what it said last
    /// stays.
    pub fn new(fixed: Vec<Address>, file: Option<PathBuf>, name: Option<DnsName>) -> Result<Self> {
        let read = |path: PathBuf| relay::file(&path).map(|found| (path, found));
        Ok(Self {
            fixed: fixed.into_iter().collect(),
            file: file.map(read).transpose()?,
            name: name.map(|name| (name, BTreeSet::new())),
        })
    }

    /// All of them now.
    pub async fn look(&mut self) -> BTreeSet<Address> {
        if let Some((path, last)) = &mut self.file {
            match relay::file(path) {
                Ok(found) => *last = found,
                Err(error) => tracing::warn!(%error, "the peers stay as they were"),
            }
        }
        if let Some((name, last)) = &mut self.name {
            match relay::names(&name.host, name.port).await {
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
        let error = Sources::new(Vec::new(), Some(path.clone()), None)
            .err()
            .expect("no address");
        assert!(error.to_string().contains("line 1"), "{error}");
        assert!("unix:///x".parse::<DnsName>().is_err());
    }
}

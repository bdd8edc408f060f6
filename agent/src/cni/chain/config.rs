//! A CNI configuration as runtimes read it. What is in it that is not ours is kept as it was written:
//! numbers keep their digits.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
};
use serde_json::{Value, value::RawValue};
use tempfile::NamedTempFile;

use crate::cni::NAME;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A configuration: of one plugin, or of a list.
#[derive(Debug, Clone)]
pub struct Config(BTreeMap<String, Box<RawValue>>);

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        let text =
            |(name, value): (&String, &Box<RawValue>)| (name.clone(), value.get().to_owned());
        self.0.iter().map(text).eq(other.0.iter().map(text))
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no regular file, or holds no JSON object.
    pub fn read(file: &Path) -> Result<Self> {
        Self::read_with_text(file).map(|(config, _)| config)
    }

    /// The same, with what stands in the file.
    pub fn read_with_text(file: &Path) -> Result<(Self, Vec<u8>)> {
        let cannot = || format!("cannot read {}", file.display());
        // A FIFO would never end.
        let metadata = fs::metadata(file).with_context(cannot)?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            bail!("{} is no regular file of at most 1 MiB", file.display());
        }
        let bytes = fs::read(file).with_context(cannot)?;
        let fields = serde_json::from_slice::<Option<_>>(&bytes)
            .with_context(|| format!("{} is no JSON object", file.display()))?;
        let fields = fields.with_context(|| format!("{} is `null`", file.display()))?;
        Ok((Self(fields), bytes))
    }

    /// Fields in their order by name.
    pub fn of(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Result<Self> {
        let mut config = Self(BTreeMap::new());
        for (name, value) in fields {
            config.put(name, &value)?;
        }
        Ok(config)
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// Sets a field.
    pub fn put(&mut self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let value = serde_json::value::to_raw_value(value)?;
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Takes a field out.
    pub fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// As one value.
    pub fn raw(&self) -> Result<Box<RawValue>> {
        Ok(serde_json::value::to_raw_value(&self.0)?)
    }

    /// The plugins of a list; `None` for what is none.
    pub fn plugins(&self) -> Option<Vec<Box<RawValue>>> {
        serde_json::from_str(self.0.get("plugins")?.get()).ok()
    }

    /// The plugins of a list that are not ours.
    pub fn others(&self) -> Option<Vec<Box<RawValue>>> {
        let mut plugins = self.plugins()?;
        plugins.retain(|plugin| type_of(plugin).as_deref() != Some(NAME));
        Some(plugins)
    }

    /// Whether runtimes use it: a `.conflist` is a list of plugins, anything else a single one, and each
    /// plugin says its type. One that holds nothing but ours is nobody's network.
    ///
    /// # Errors
    /// Why they do not.
    pub fn usable(&self, file: &Path) -> Result<()> {
        let list = file.extension().is_some_and(|end| end == "conflist");
        let missing = |what: &str| format!("{}: {what}", file.display());
        if self.text("name").is_none_or(|name| name.is_empty()) {
            bail!(missing("it has no `name`"));
        }
        if !list {
            let of = self.text("type").filter(|of| !of.is_empty());
            of.with_context(|| missing("it has no `type`"))?;
            return Ok(());
        }
        let others = self
            .others()
            .with_context(|| missing("it has no `plugins`"))?;
        if others.is_empty() || others.iter().any(|plugin| type_of(plugin).is_none()) {
            bail!(missing("`plugins` is empty, or one has no `type`"));
        }
        Ok(())
    }

    /// As it is written.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.0)?)
    }
}

/// What a plugin says it is; `None` for nothing.
fn type_of(plugin: &RawValue) -> Option<String> {
    let plugin: BTreeMap<String, Value> = serde_json::from_str(plugin.get()).ok()?;
    let of = plugin.get("type")?.as_str()?;
    (!of.is_empty()).then(|| of.to_owned())
}

/// Writes a file whole or not at all: a runtime may read it at any moment. It is written beside its
/// place, under a name that nobody can have planted a link at.
pub fn replace(to: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(to, bytes, mode)?;
    beside.persist(to).map(drop).map_err(|error| error.error)
}

/// The same in place of a file that says `before`, and of no other: false where it says something else
/// by now. What somebody writes meanwhile is never lost.
pub fn exchange(to: &Path, before: &[u8], bytes: &[u8], mode: u32) -> io::Result<bool> {
    let beside = beside(to, bytes, mode)?;
    let swap = || {
        renameat2(
            AT_FDCWD,
            beside.path(),
            AT_FDCWD,
            to,
            RenameFlags::RENAME_EXCHANGE,
        )
    };
    match swap() {
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            // This file system cannot: nearly as good.
            let same = fs::read(to)? == before;
            return match same {
                true => beside
                    .persist(to)
                    .map(|_| true)
                    .map_err(|error| error.error),
                false => Ok(false),
            };
        }
        swapped => swapped?,
    }
    let mut put = bytes.to_vec();
    let mut out = fs::read(beside.path())?;
    if out == before {
        return Ok(true);
    }
    // It was another one: back with it, and with what replaced that in turn.
    loop {
        swap()?;
        let next = fs::read(beside.path())?;
        if next == put {
            return Ok(false);
        }
        (put, out) = (out, next);
    }
}

fn beside(to: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let folder = to.parent().unwrap_or(Path::new("/"));
    let mut beside = tempfile::Builder::new()
        .prefix(".weir-")
        .tempfile_in(folder)?;
    beside.write_all(bytes)?;
    let file = beside.as_file();
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    Ok(beside)
}

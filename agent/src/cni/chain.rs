//! The plugin's place in the node's CNI configuration: put in behind the node's own plugins, kept
//! there when another hand rewrites the file, and taken out again.

mod config;

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::time::timeout;
use weir_cluster::{FolderSource, index::Options};

use super::NAME;
use config::{Config, exchange, replace};

/// The list that stands for a configuration of a single plugin: runtimes take the first file.
const OURS: &str = "00-weir.conflist";
/// Which file [`OURS`] was made of.
const SOURCE: &str = "weir.dev/source";

/// The configuration is looked at so often even if nobody tells of a change.
const LOOK: Duration = Duration::from_secs(5);

/// Where container runtimes look, and what the plugin is told there.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Folder of the plugins' programs.
    pub programs: PathBuf,
    /// Folder of the configuration.
    pub configs: PathBuf,
    /// The agent's socket.
    pub socket: PathBuf,
    /// Let pods start while the agent is away.
    pub open_without_agent: bool,
}

/// What became of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was as it should be.
    Kept,
    /// The plugin was put into this file.
    Inserted(PathBuf),
    /// There is no configuration yet.
    Nothing,
}

/// How often a configuration is read again that changes while it is read.
const TRIES: u32 = 8;

/// A configuration that is to be written.
struct Plan {
    /// What the runtime uses.
    file: PathBuf,
    /// What it said.
    based_on: Vec<u8>,
    /// What is written: the same file, or one that comes before it.
    target: PathBuf,
    wanted: Config,
}

impl Chain {
    /// Installs the program, then keeps the plugin in the configuration until the task is dropped.
    pub async fn keep(self) -> Result<()> {
        self.install()?;
        let mut changes = FolderSource::new([self.configs.clone()], Options::default()).watch()?;
        loop {
            match self.insert() {
                Ok(Insertion::Inserted(file)) => {
                    tracing::info!(file = %file.display(), "new pods start under policy (CNI)");
                }
                Ok(Insertion::Kept) => {}
                Ok(Insertion::Nothing) => {
                    tracing::debug!(folder = %self.configs.display(), "no CNI configuration yet");
                }
                Err(error) => tracing::error!("new pods may start without policy: {error:#}"),
            }
            // Should a change go unnoticed, it is found a little later.
            if let Ok(None) = timeout(LOOK, changes.changed()).await {
                bail!("the CNI configuration is no longer watched");
            }
        }
    }

    /// Puts this program where runtimes look for plugins.
    pub fn install(&self) -> Result<()> {
        let to = self.programs.join(NAME);
        let program = fs::read("/proc/self/exe").context("this program cannot be read")?;
        if fs::read(&to).is_ok_and(|there| there == program) {
            return Ok(());
        }
        replace(&to, &program, 0o755).with_context(|| format!("cannot write {}", to.display()))
    }

    /// Puts the plugin into the configuration that runtimes use, where it is not there.
    pub fn insert(&self) -> Result<Insertion> {
        for _ in 0..TRIES {
            let Some(plan) = self.plan()? else {
                self.drop_ours(None)?;
                return Ok(Insertion::Nothing);
            };
            if let Some(done) = self.carry_out(plan)? {
                return Ok(done);
            }
        }
        bail!(
            "{}: somebody writes the configuration again and again",
            self.configs.display()
        )
    }

    /// What is to be written; nothing where there is no configuration yet.
    fn plan(&self) -> Result<Option<Plan>> {
        let Some((file, based_on, text)) = self.first()? else {
            return Ok(None);
        };
        let (target, mut wanted) = match based_on.others() {
            Some(_) => (file.clone(), based_on.clone()),
            None => (self.configs.join(OURS), list_of(&file, based_on.clone())?),
        };
        let version = wanted.text("cniVersion");
        let version = version.as_deref().unwrap_or("0.1.0");
        if ["0.1.0", "0.2.0"].contains(&version) {
            bail!(
                "{}: cniVersion {version} knows no chains: 0.3.1 or newer is needed",
                file.display()
            );
        }
        let mut plugins = wanted.others().unwrap_or_default();
        plugins.push(self.entry()?);
        wanted.put("plugins", &plugins)?;
        Ok(Some(Plan {
            file,
            based_on: text,
            target,
            wanted,
        }))
    }

    /// Writes it; nothing where the configuration is another one by now: its owner may write it at any
    /// moment, and is not to lose that.
    fn carry_out(&self, plan: Plan) -> Result<Option<Insertion>> {
        self.drop_ours(Some(&plan.target))?;
        if Config::read(&plan.target).is_ok_and(|there| there == plan.wanted) {
            return Ok(Some(Insertion::Kept));
        }
        let mode = fs::metadata(&plan.file).map_or(0o600, |metadata| metadata.permissions().mode());
        let bytes = plan.wanted.bytes()?;
        let cannot = || format!("cannot write {}", plan.target.display());
        let written = match plan.target == plan.file {
            true => exchange(&plan.target, &plan.based_on, &bytes, mode).with_context(cannot)?,
            false => {
                let same = fs::read(&plan.file).is_ok_and(|there| there == plan.based_on);
                if same {
                    replace(&plan.target, &bytes, mode).with_context(cannot)?;
                }
                same
            }
        };
        Ok(written.then_some(Insertion::Inserted(plan.target)))
    }

    /// Takes the plugin out of every configuration, and the program away.
    pub fn remove(&self) -> Result<()> {
        self.drop_ours(None)?;
        for file in self.files()? {
            let Ok((mut config, text)) = Config::read_with_text(&file) else {
                continue;
            };
            let (Some(all), Some(others)) = (config.plugins(), config.others()) else {
                continue;
            };
            if others.len() < all.len() {
                let mode = fs::metadata(&file)?.permissions().mode();
                config.put("plugins", &others)?;
                exchange(&file, &text, &config.bytes()?, mode)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        gone(&self.programs.join(NAME))
    }

    fn entry(&self) -> Result<Box<RawValue>> {
        let entry = json!({
            "type": NAME,
            "socket": self.socket,
            "agentAway": if self.open_without_agent { "open" } else { "wait" },
        });
        Ok(to_raw_value(&entry)?)
    }

    /// The configuration that runtimes use: the first that they can, ours left out.
    fn first(&self) -> Result<Option<(PathBuf, Config, Vec<u8>)>> {
        let mut files = self.files()?;
        files.retain(|file| file.file_name() != Some(OsStr::new(OURS)));
        for file in files {
            let read = Config::read_with_text(&file);
            match read.and_then(|read| read.0.usable(&file).map(|()| read)) {
                Ok((config, text)) => return Ok(Some((file, config, text))),
                Err(error) => tracing::warn!("{error:#}: not used"),
            }
        }
        Ok(None)
    }

    /// Removes our own list where it is not the one that is used.
    fn drop_ours(&self, used: Option<&Path>) -> Result<()> {
        let ours = self.configs.join(OURS);
        match used == Some(ours.as_path()) {
            true => Ok(()),
            false => gone(&ours),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.configs)
            .with_context(|| format!("cannot read {}", self.configs.display()))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let end = path.extension().and_then(OsStr::to_str);
                end.is_some_and(|end| ["conf", "conflist", "json"].contains(&end))
            })
            .collect();
        files.sort();
        Ok(files)
    }
}

/// A list of one plugin.
fn list_of(file: &Path, mut config: Config) -> Result<Config> {
    let source = file.file_name().unwrap_or_default().to_string_lossy();
    let mut list = Config::of([(SOURCE, Value::from(source))])?;
    for name in ["name", "cniVersion"] {
        if let Some(value) = config.take(name) {
            list.put(name, &value)?;
        }
    }
    list.put("plugins", &[config.raw()?])?;
    Ok(list)
}

fn gone(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

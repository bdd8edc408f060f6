//! The plugin's place in the node's CNI configuration: put in behind the node's own plugins, kept
//! there when another hand rewrites the file, and taken out again.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::timeout;
use weir_cluster::{FolderSource, index::Options};

use super::NAME;

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
    based_on: Value,
    /// What is written: the same file, or one that comes before it.
    target: PathBuf,
    wanted: Value,
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
        let Some(file) = self.first()? else {
            return Ok(None);
        };
        let config = read(&file)?;
        let based_on = config.clone();
        let (target, list) = match config.get("plugins").is_some_and(Value::is_array) {
            true => (file.clone(), config),
            false => (self.configs.join(OURS), self.list_of(&file, config)?),
        };
        let version = list
            .get("cniVersion")
            .and_then(Value::as_str)
            .unwrap_or("0.1.0");
        if ["0.1.0", "0.2.0"].contains(&version) {
            bail!(
                "{}: cniVersion {version} knows no chains: 0.3.1 or newer is needed",
                file.display()
            );
        }
        let mut wanted = list;
        if let Some(plugins) = wanted.get_mut("plugins").and_then(Value::as_array_mut) {
            plugins.retain(|plugin| plugin.get("type").is_none_or(|of| of != NAME));
            plugins.push(self.entry());
        }
        Ok(Some(Plan {
            file,
            based_on,
            target,
            wanted,
        }))
    }

    /// Writes it; nothing where the configuration is another one by now: its owner may write it at any
    /// moment, and is not to lose that.
    fn carry_out(&self, plan: Plan) -> Result<Option<Insertion>> {
        self.drop_ours(Some(&plan.target))?;
        if read(&plan.target).is_ok_and(|there| there == plan.wanted) {
            return Ok(Some(Insertion::Kept));
        }
        let mode = fs::metadata(&plan.file).map_or(0o600, |metadata| metadata.permissions().mode());
        let text = serde_json::to_vec_pretty(&plan.wanted)?;
        if read(&plan.file).ok().as_ref() != Some(&plan.based_on) {
            return Ok(None);
        }
        replace(&plan.target, &text, mode)
            .with_context(|| format!("cannot write {}", plan.target.display()))?;
        Ok(Some(Insertion::Inserted(plan.target)))
    }

    /// Takes the plugin out of every configuration, and the program away.
    pub fn remove(&self) -> Result<()> {
        self.drop_ours(None)?;
        for file in self.files()? {
            let Ok(mut config) = read(&file) else {
                continue;
            };
            let Some(plugins) = config.get_mut("plugins").and_then(Value::as_array_mut) else {
                continue;
            };
            let before = plugins.len();
            plugins.retain(|plugin| plugin.get("type").is_none_or(|of| of != NAME));
            if plugins.len() < before {
                let mode = fs::metadata(&file)?.permissions().mode();
                replace(&file, &serde_json::to_vec_pretty(&config)?, mode)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        gone(&self.programs.join(NAME))
    }

    fn entry(&self) -> Value {
        json!({
            "type": NAME,
            "socket": self.socket,
            "agentAway": if self.open_without_agent { "open" } else { "wait" },
        })
    }

    /// A list of one plugin.
    fn list_of(&self, file: &Path, mut config: Value) -> Result<Value> {
        let name = config.get("name").cloned().unwrap_or_default();
        let version = config.get("cniVersion").cloned().unwrap_or_default();
        if !config.get("type").is_some_and(Value::is_string) || !name.is_string() {
            bail!(
                "{}: neither `plugins` nor `type` and `name`",
                file.display()
            );
        }
        if let Some(fields) = config.as_object_mut() {
            fields.remove("name");
            fields.remove("cniVersion");
        }
        let source = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(json!({"cniVersion": version, "name": name, "plugins": [config], SOURCE: source}))
    }

    /// The configuration that runtimes use: the first that can be read, ours left out.
    fn first(&self) -> Result<Option<PathBuf>> {
        let mut files = self.files()?;
        files.retain(|file| file.file_name() != Some(OsStr::new(OURS)));
        let found = files.iter().find(|file| match read(file) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!("{error:#}: not used");
                false
            }
        });
        Ok(found.cloned())
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

fn read(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))
}

/// Writes a file whole or not at all: a runtime may read it at any moment.
fn replace(to: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let partial = to.with_extension("weir-partial");
    fs::write(&partial, bytes)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(mode))?;
    fs::rename(&partial, to)
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

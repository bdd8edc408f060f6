//! Becoming a process of a pod: its netns, its host name and its files under /etc.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{sethostname, setsid};

use super::netns;

/// Everything that entering needs, opened and written beforehand: between fork and exec nothing
/// may allocate.
pub struct Entrance {
    netns: File,
    /// A folder of programs that are found before the machine's.
    tools: Option<PathBuf>,
    host: Option<HostFiles>,
    detached: bool,
}

const NONE: Option<&CStr> = None;

/// What a container runtime gives a pod besides its netns.
struct HostFiles {
    hostname: CString,
    /// File and the place it is shown at.
    files: Vec<(CString, CString)>,
}

// === impl Entrance ===

impl Entrance {
    /// Only the netns; mounts stay the machine's, so bpffs stays in sight.
    pub fn netns(name: &str) -> Result<Self> {
        Ok(Self {
            netns: netns::open(name)?,
            tools: None,
            host: None,
            detached: false,
        })
    }

    /// The netns, a host name, and the files of a folder shown over those of the same name in /etc.
    pub fn pod(name: &str, hostname: &str, etc: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(etc).with_context(|| format!("cannot list {}", etc.display()))? {
            let file = entry
                .with_context(|| format!("cannot list {}", etc.display()))?
                .path();
            let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
            // A file can be shown only over one that exists.
            if target.exists() {
                files.push((c_string(&file)?, c_string(&target)?));
            }
        }
        let hostname = CString::new(hostname).context("a host name with a zero byte")?;
        Ok(Self {
            host: Some(HostFiles { hostname, files }),
            ..Self::netns(name)?
        })
    }

    /// In a session of its own: it outlives the terminal it was started from.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Programs of this folder are found before the machine's.
    pub fn with_tools(mut self, folder: PathBuf) -> Self {
        self.tools = Some(folder);
        self
    }

    /// Makes a command run inside.
    #[expect(clippy::disallowed_methods, reason = "looks where a shell would")]
    pub fn apply(self, command: &mut Command) {
        if let Some(tools) = &self.tools {
            let mut path = tools.clone().into_os_string();
            path.push(":");
            path.push(env::var_os("PATH").unwrap_or_default());
            command.env("PATH", path);
        }
        // SAFETY: `enter` makes system calls with what was prepared above; it does not allocate,
        // lock or panic on its way.
        unsafe {
            command.pre_exec(move || self.enter());
        }
    }

    fn enter(&self) -> io::Result<()> {
        if self.detached {
            setsid()?;
        }
        setns(&self.netns, CloneFlags::CLONE_NEWNET)?;
        let Some(host) = &self.host else {
            return Ok(());
        };
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
        // Slave, so that our mounts do not show on the machine.
        let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        mount(NONE, c"/", NONE, slave, NONE)?;
        for (file, target) in &host.files {
            mount(
                Some(file.as_c_str()),
                target.as_c_str(),
                NONE,
                MsFlags::MS_BIND,
                NONE,
            )?;
        }
        sethostname(OsStr::from_bytes(host.hostname.as_bytes()))?;
        Ok(())
    }
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .with_context(|| format!("{}: a zero byte in a path", path.display()))
}

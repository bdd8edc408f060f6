//! busybox's applets: what people type in a pod of busybox means its `nc` and its `wget`, which take
//! other options than the machine's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// These would be for the machine: a pod has no process tree of its own.
const NEVER: [&str; 5] = ["halt", "init", "linuxrc", "poweroff", "reboot"];

/// The busybox that `scripts/setup.sh` builds, or the machine's, which may have fewer options.
#[expect(clippy::disallowed_methods, reason = "looks where a shell would")]
pub fn find() -> Option<PathBuf> {
    let cache = env::var_os("WEIR_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/weir")));
    let built = cache.map(|cache| cache.join("tools/busybox"));
    let path = env::var_os("PATH").unwrap_or_default();
    built
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|folder| folder.join("busybox"))
        .find(|program| program.is_file())
}

/// Makes a folder with a link for each applet; false where there is no busybox.
///
/// # Errors
/// The folder cannot be made, or busybox does not do it.
pub fn install(folder: &Path) -> Result<bool> {
    let Some(busybox) = find() else {
        return Ok(false);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let output = Command::new(&busybox)
        .args(["--install", "-s"])
        .arg(folder)
        .output()
        .with_context(|| format!("cannot run {}", busybox.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} --install: {}", busybox.display(), said.trim());
    }
    for applet in NEVER {
        // Not every busybox has all of them.
        drop(fs::remove_file(folder.join(applet)));
    }
    Ok(true)
}

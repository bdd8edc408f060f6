//! Puts the scenarios into the binary, so that `weir lab run NAME` needs no files beside it.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by its environment"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("scenarios");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut text = String::from("&[\n");
    for scenario in sorted(&folder)? {
        if !scenario.join("scenario.yaml").is_file() {
            continue;
        }
        let name = scenario.file_name().unwrap_or_default().to_string_lossy();
        writeln!(text, "({name:?}, &[")?;
        let mut folders = vec![scenario.clone()];
        while let Some(folder) = folders.pop() {
            println!("cargo::rerun-if-changed={}", folder.display());
            for entry in sorted(&folder)? {
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                let inside = entry.strip_prefix(&scenario)?;
                writeln!(text, "  ({inside:?}, include_str!({entry:?})),")?;
            }
        }
        text.push_str("]),\n");
    }
    text.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("scenarios.rs"), text)?;
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

//! The page must have been built: it is part of the binary.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by its environment"
)]

use std::{env, path::Path, process::exit};

fn main() {
    // Watched even where it is missing, so that building it is noticed.
    println!("cargo::rerun-if-changed=web/dist");
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let page = Path::new(&root).join("web/dist/index.html");
    if !page.is_file() {
        println!(
            "cargo::error=the page of `weir ui` is not built ({} is missing): run scripts/setup.sh, or scripts/build-ui.sh where Node 20.19 and npm are there",
            page.display()
        );
        exit(1);
    }
}

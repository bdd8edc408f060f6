//! Builds the kernel programs in `../ebpf` and leaves the object in `OUT_DIR`.
//!
//! Debian's rustc brings a precompiled `core` for the BPF target, so no nightly is needed; see
//! `docs/toolchain.md`. `make setup` installs it and bpf-linker.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by its environment"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    for path in ["src", "abi/src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed=../ebpf/{path}");
    }
    for variable in ["BPF_RUSTC", "BPF_LINKER", "WEIR_CACHE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let rustc = env::var("BPF_RUSTC").unwrap_or_else(|_| "/usr/bin/rustc".into());
    let linker = linker();
    let target = out.join("ebpf");
    // 0x1f separates the flags: they may hold blanks.
    let flags = [
        format!(
            "--cfg=bpf_target_arch=\"{}\"",
            variable("CARGO_CFG_TARGET_ARCH")
        ),
        "-Cdebuginfo=2".into(),
        // Atomic additions that return a number need it; every kernel with tcx has it.
        "-Ctarget-cpu=v3".into(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
    ]
    .join("\x1f");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(manifest.join("../ebpf"))
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            "bpfel-unknown-none",
            "--target-dir",
        ])
        .arg(&target)
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "aya_ebpf,weir_ebpf")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    for inherited in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ] {
        cargo.env_remove(inherited);
    }
    let built = cargo.status().is_ok_and(|status| status.success());
    assert!(
        built,
        "the kernel programs did not build with `{rustc}` and `{}`; `make setup` installs both",
        linker.display()
    );
    let object = target.join("bpfel-unknown-none/release/weir-ebpf");
    std::fs::copy(&object, out.join("weir-ebpf.o"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", object.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo did not set {name}"))
}

/// `BPF_LINKER`, or the one that `make setup` put into the cache, or the one in `PATH`.
fn linker() -> PathBuf {
    if let Ok(linker) = env::var("BPF_LINKER") {
        return linker.into();
    }
    let cache = env::var("WEIR_CACHE")
        .map(PathBuf::from)
        .or_else(|_| env::var("HOME").map(|home| Path::new(&home).join(".cache/weir")));
    let Ok(tools) = cache.map(|cache| cache.join("tools")) else {
        return "bpf-linker".into();
    };
    let linker = tools.join("bin/bpf-linker");
    // `scripts/setup.sh` may be building it just now.
    if !linker.exists()
        && let Ok(building) = std::fs::File::open(tools.join("bpf-linker.lock"))
    {
        println!("cargo:warning=waiting for bpf-linker, which is built beside this");
        building.lock().ok();
    }
    match linker.exists() {
        true => linker,
        false => "bpf-linker".into(),
    }
}

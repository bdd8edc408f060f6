//! `ip` and `nft`, always fed whole batches: one process for many changes.

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Says before anything is made which program the machine lacks.
pub fn check_installed() -> Result<()> {
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        match Command::new(program).arg("-V").output() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("the program `{program}` is missing: apt-get install {package}")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot run `{program}`")),
        }
    }
    Ok(())
}

/// Runs `ip` commands in a netns (or where we are) and stops at the first that fails.
pub fn ip(netns: Option<&str>, commands: &[String]) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut tool = Command::new("ip");
    if let Some(netns) = netns {
        tool.args(["-n", netns]);
    }
    let output = feed(tool.args(["-batch", "-"]), &commands.join("\n"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let place = netns.unwrap_or("this netns");
    // "Command failed -:3" counts from one.
    let line = said
        .rsplit("Command failed -:")
        .next()
        .and_then(|rest| rest.trim().parse::<usize>().ok())
        .and_then(|number| commands.get(number.checked_sub(1)?));
    let reason = said.lines().next().unwrap_or("no reason given");
    Err(match line {
        Some(command) => anyhow!("in {place}: ip {command}: {reason}"),
        None => anyhow!("in {place}: ip: {}", said.trim()),
    })
}

/// Loads an nft rule set in one transaction.
pub fn nft(netns: &str, rules: &str) -> Result<()> {
    let output = feed(
        Command::new("ip").args(["netns", "exec", netns, "nft", "-f", "-"]),
        rules,
    )?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("in {netns}: nft: {}", said.trim());
    }
    Ok(())
}

fn feed(command: &mut Command, input: &str) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    // SAFETY: one system call, which is allowed between fork and exec.
    unsafe {
        // A lab that is killed must not leave a tool behind that goes on making things.
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{name}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops at a wrong line closes its input; its own message says more.
        if let Err(error) = stdin.write_all(input.as_bytes())
            && error.kind() != ErrorKind::BrokenPipe
        {
            return Err(error).with_context(|| format!("cannot write to `{name}`"));
        }
    }
    child
        .wait_with_output()
        .with_context(|| format!("cannot wait for `{name}`"))
}

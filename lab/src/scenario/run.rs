//! A scenario from its lab's coming up to its going down.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;

use super::check::{self, Checked, LogMarks};
use super::format::{Background, Family, Step};
use super::{Loaded, place, show};
use crate::lab::{Lab, UpOptions};
use crate::state::Topology;

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of its lab.
    pub lab: String,
    pub topology: Topology,
    /// Leave the lab up at the end.
    pub keep: bool,
    pub telling: Telling,
    /// The `weir` binary, where it is not this program.
    pub program: Option<PathBuf>,
}

/// How much is printed while a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// The outcome is enough.
    Nothing,
    /// What is done, what is checked and what came.
    Checks,
    /// What is applied, too, and all about each check: for somebody who sees it for the first time.
    Everything,
}

/// What came of a scenario.
#[derive(Debug, Serialize)]
pub struct Played {
    pub scenario: String,
    pub title: String,
    pub topology: Topology,
    pub steps: Vec<Stepped>,
    pub checks: usize,
    pub differences: usize,
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct Stepped {
    pub name: String,
    pub rows: Vec<u32>,
    pub commands: Vec<Done>,
    pub checks: Vec<Checked>,
}

/// What a `weir lab` command printed.
#[derive(Debug, Serialize)]
pub struct Done {
    pub command: String,
    pub output: String,
    pub as_expected: bool,
}

/// Where a scenario is played.
pub struct Stage<'a> {
    pub lab: &'a Lab,
    pub families: Vec<Family>,
    name: String,
    program: PathBuf,
    folder: PathBuf,
    background: Vec<(String, PathBuf, Child)>,
}

/// Runs a scenario and takes its lab down again.
pub fn run(loaded: Loaded, options: &Options) -> Result<Played> {
    run_and(loaded, options, |_| Ok(()))
}

/// The same, with something at the end while the lab is still up.
pub fn run_and(
    mut loaded: Loaded,
    options: &Options,
    at_the_end: impl FnOnce(&Lab) -> Result<()>,
) -> Result<Played> {
    let start = Instant::now();
    let scenario = loaded.scenario.clone();
    if !scenario.topologies.contains(&options.topology) {
        bail!(
            "{} is not for this topology: it has {:?}",
            loaded.name,
            scenario.topologies
        );
    }
    let folder = &loaded.folder.path;
    let (lab, report) = Lab::up(UpOptions {
        name: options.lab.clone(),
        topology: options.topology,
        nodes: scenario.nodes,
        manifests: scenario
            .manifests
            .iter()
            .map(|path| folder.join(path))
            .collect(),
        program: options.program.clone(),
        ..UpOptions::default()
    })?;
    if let Some(problem) = report.problems.first() {
        bail!("not in force as written: {}", problem.of_object());
    }
    let show = show::Show::new(options.telling);
    show.opening(&loaded, options, &lab.pods()?);
    let mut stage = Stage::new(&lab, &loaded)?;
    let mut outcome = Played {
        scenario: loaded.name.clone(),
        title: scenario.title.clone(),
        topology: options.topology,
        steps: Vec::new(),
        checks: 0,
        differences: 0,
        seconds: 0.0,
    };
    for (index, step) in scenario.steps.iter().enumerate() {
        let place = || format!("step {}: {}", index + 1, step.name);
        show.step(index + 1, step);
        let stepped = stage.played(step, &show).with_context(place)?;
        let tries = stepped.checks.iter().map(|checked| checked.tries.len());
        outcome.checks += stepped.commands.len() + tries.sum::<usize>();
        outcome.differences += stepped.differences();
        outcome.steps.push(stepped);
    }
    at_the_end(&lab)?;
    drop(stage);
    match options.keep {
        true => {
            loaded.folder.keep();
            lab.keep();
        }
        false => lab.down()?,
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    show.closing(&loaded, options, &outcome);
    Ok(outcome)
}

// === impl Stepped ===

impl Stepped {
    /// How many commands and checks came differently.
    pub fn differences(&self) -> usize {
        let commands = self.commands.iter().filter(|done| !done.as_expected);
        let checks = self.checks.iter().map(Checked::differences);
        commands.count() + checks.sum::<usize>()
    }
}

// === impl Stage ===

impl<'a> Stage<'a> {
    /// A scenario's steps will be played in this lab.
    pub fn new(lab: &'a Lab, loaded: &Loaded) -> Result<Self> {
        Ok(Self {
            lab,
            families: loaded.scenario.families.clone(),
            name: lab.name().to_owned(),
            program: lab.program()?,
            folder: loaded.folder.path.clone(),
            background: Vec::new(),
        })
    }

    /// Does what a step does and checks what it checks.
    pub fn play(&mut self, step: &Step) -> Result<Stepped> {
        self.played(step, &show::Show::new(Telling::Nothing))
    }

    fn played(&mut self, step: &Step, show: &show::Show) -> Result<Stepped> {
        let mut commands = Vec::new();
        for (index, command) in step.commands.iter().enumerate() {
            let done = self.carry_out(command)?;
            commands.push(done);
            // What they must say may be in any of them: it is looked for after the last one.
            if index + 1 == step.commands.len() {
                let said: String = commands.iter().map(|done| done.output.as_str()).collect();
                let missing = step.says.iter().find(|text| !said.contains(*text));
                if let (Some(text), Some(done)) = (missing, commands.last_mut()) {
                    done.as_expected = false;
                    done.output += &format!("\nit does not say {text:?}");
                }
            }
        }
        show.commands(&self.folder, &commands);
        for background in &step.background {
            self.start(background)?;
            show.background(background);
        }
        let marks = LogMarks::of(self, &step.check)?;
        let checks = check::all(self, &step.check, &marks)?;
        show.checks(&checks);
        Ok(Stepped {
            name: step.name.clone(),
            rows: step.rows.clone(),
            commands,
            checks,
        })
    }

    fn carry_out(&self, command: &str) -> Result<Done> {
        let output = self
            .weir(command)
            .output()
            .with_context(|| format!("cannot run weir lab {command}"))?;
        let printed = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        Ok(Done {
            command: format!("weir lab {command}"),
            output: printed.concat().trim_end().to_owned(),
            as_expected: output.status.success(),
        })
    }

    /// `weir lab COMMAND`, in this lab and in the scenario's folder.
    pub fn weir(&self, command: &str) -> Command {
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let line = format!("exec \"$0\" lab {word} --name {} {rest}", self.name);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            .arg(&self.program)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        shell
    }

    fn start(&mut self, background: &Background) -> Result<()> {
        let path = self.log_of_background(&background.name);
        let log = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let family = *self.families.first().context("no family")?;
        let line = place::line(self.lab, &background.run, family)?.shown;
        let child = self
            .lab
            .command(&background.from, "default", &["sh", "-c", &line])?
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {line}"))?;
        self.background.push((background.name.clone(), path, child));
        Ok(())
    }

    fn log_of_background(&self, name: &str) -> PathBuf {
        Path::new("/run/weir/labs")
            .join(&self.name)
            .join("logs")
            .join(format!("background-{name}.log"))
    }

    /// The file of a log by the name that a check gives it.
    pub fn log(&self, name: &str) -> Result<PathBuf> {
        match self.background.iter().find(|(known, _, _)| known == name) {
            Some((_, path, _)) => Ok(path.clone()),
            None => self.lab.log_path(name, "default"),
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        for (_, _, child) in &mut self.background {
            // A shell and what it runs at the moment.
            let group = Pid::from_raw(child.id().cast_signed());
            if let Err(error) = killpg(group, Signal::SIGKILL) {
                eprintln!("process group {group} did not end: {error}");
            }
            child.wait().ok();
        }
    }
}

//! Carrying out the checks of a step: commands beside each other, since most of them wait.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::came::Came;
use super::format::{Check, Expect, Family};
use super::place::{self, Line};
use super::run::Stage;
use super::why::why;
use crate::host::process;

/// Nothing that is checked takes this long.
const LIMIT: &str = "30";
/// How long a log may take to say what it must.
const LOG: Duration = Duration::from_secs(15);

/// What came of one check.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// As it can be typed.
    pub command: String,
    /// One for each family, or one where the families do not differ.
    pub tries: Vec<Try>,
    /// What Weir says of the flow.
    pub why: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Try {
    pub family: Option<Family>,
    pub expected: String,
    pub came: String,
    pub as_expected: bool,
    pub seconds: f64,
    /// What the command printed, or the log held.
    pub output: String,
}

/// How much of each log there was before a step's checks.
pub struct LogMarks(Vec<Option<(PathBuf, usize)>>);

impl Checked {
    pub fn differences(&self) -> usize {
        self.tries.iter().filter(|one| !one.as_expected).count()
    }
}

// === impl LogMarks ===

impl LogMarks {
    pub fn of(stage: &Stage<'_>, checks: &[Check]) -> Result<Self> {
        let mark = |check: &Check| match &check.log {
            None => Ok(None),
            Some(log) => {
                let path = stage.log(log)?;
                let length = fs::read(&path).map_or(0, |log| log.len());
                Ok(Some((path, length)))
            }
        };
        checks.iter().map(mark).collect::<Result<_>>().map(Self)
    }
}

/// All checks of a step, in their order.
pub fn all(stage: &Stage<'_>, checks: &[Check], marks: &LogMarks) -> Result<Vec<Checked>> {
    // Pods that are made for a check may have one name: these go one after the other.
    let (new, old): (Vec<_>, Vec<_>) = checks
        .iter()
        .zip(&marks.0)
        .enumerate()
        .partition(|(_, (check, _))| check.pod.is_some());
    let mut done: Vec<(usize, Checked)> = thread::scope(|scope| {
        let running: Vec<_> = old
            .into_iter()
            .map(|(at, (check, mark))| {
                let thread = scope.spawn(move || match (check, mark) {
                    (Check { log: Some(log), .. }, Some((path, length))) => {
                        in_log(stage, check, log, path, *length)
                    }
                    _ => in_pod(stage, check),
                });
                (at, thread)
            })
            .collect();
        running
            .into_iter()
            .map(|(at, thread)| match thread.join() {
                Ok(checked) => Ok((at, checked?)),
                Err(_) => bail!("a check panicked"),
            })
            .collect::<Result<_>>()
    })?;
    for (at, (check, _)) in new {
        done.push((at, in_new_pod(stage, check)?));
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, checked)| checked).collect())
}

/// The families of a check; `None` where its command is the same in both.
fn families(stage: &Stage<'_>, check: &Check, command: &str) -> Vec<Option<Family>> {
    let families = check.families.as_ref().unwrap_or(&stage.families);
    match place::has_family(command) {
        true => families.iter().copied().map(Some).collect(),
        false => vec![None],
    }
}

fn in_pod(stage: &Stage<'_>, check: &Check) -> Result<Checked> {
    let from = check.from.as_deref().unwrap_or_default();
    let command = check.run.as_deref().unwrap_or_default();
    let tries = thread::scope(|scope| {
        let running: Vec<_> = families(stage, check, command)
            .into_iter()
            .map(|family| {
                scope.spawn(move || {
                    let line = place::line(stage.lab, command, family.unwrap_or(Family::IPv4))?;
                    let words = ["timeout", LIMIT, "sh", "-c", &line.run];
                    let command = stage.lab.command(from, "default", &words)?;
                    tried(stage, check, family, &line, command)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a check panicked")))
            .collect::<Result<Vec<Try>>>()
    })?;
    // Both families are tried, which only the machine's tools know to choose.
    let machine = match stage.lab.has_applets(from) {
        true => "--machine ",
        false => "",
    };
    Ok(Checked {
        command: format!(
            "weir lab exec {machine}{from} -- {}",
            shown(stage, command)?
        ),
        why: why(stage, check, from)?,
        tries,
    })
}

fn in_new_pod(stage: &Stage<'_>, check: &Check) -> Result<Checked> {
    let pod = check.pod.as_deref().unwrap_or_default();
    let command = check.run.as_deref().unwrap_or_default();
    let mut tries = Vec::new();
    for family in families(stage, check, command) {
        let line = place::line(stage.lab, command, family.unwrap_or(Family::IPv4))?;
        let inner = stage.weir(&format!(
            "run-pod {pod} --rm --machine -- timeout {LIMIT} sh -c \"$1\""
        ));
        let mut outer = inner;
        outer.arg(&line.run);
        tries.push(tried(stage, check, family, &line, outer)?);
    }
    Ok(Checked {
        command: format!(
            "weir lab run-pod {pod} --rm --machine -- {}",
            shown(stage, command)?
        ),
        tries,
        why: Vec::new(),
    })
}

/// As people type it: the first family stands for both.
fn shown(stage: &Stage<'_>, command: &str) -> Result<String> {
    let family = *stage.families.first().context("no family")?;
    Ok(place::line(stage.lab, command, family)?.shown)
}

fn tried(
    stage: &Stage<'_>,
    check: &Check,
    family: Option<Family>,
    line: &Line,
    mut command: Command,
) -> Result<Try> {
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", line.shown))?;
    let came = Came::of(&line.shown, &output, start.elapsed());
    let expect = check.expect.unwrap_or(Expect::Works);
    let missing = missing(stage, check, family.unwrap_or(Family::IPv4), &came.text)?;
    Ok(Try {
        family,
        expected: expect.to_string(),
        came: match (&missing, came.what) {
            (Some(text), _) if came.is(expect) => format!("{expect}, without {text:?}"),
            (_, Some(what)) => what.to_string(),
            (_, None) => format!("exit status {}", came.exit.unwrap_or(-1)),
        },
        as_expected: came.is(expect) && missing.is_none(),
        seconds: came.took.as_secs_f64(),
        output: came.text,
    })
}

/// What should be in a text and is not.
fn missing(stage: &Stage<'_>, check: &Check, family: Family, text: &str) -> Result<Option<String>> {
    for wanted in &check.says {
        let address = |what: &str| place::address(stage.lab, what, family);
        let wanted = place::fill(wanted, family, address)?;
        if !text.contains(&wanted) {
            return Ok(Some(wanted));
        }
    }
    Ok(None)
}

fn in_log(
    stage: &Stage<'_>,
    check: &Check,
    log: &str,
    path: &PathBuf,
    before: usize,
) -> Result<Checked> {
    let start = Instant::now();
    let mut tries = Vec::new();
    for family in families(stage, check, &check.says.join(" ")) {
        let mut last = (Some(String::new()), String::new());
        let mut failure = None;
        let found = process::wait_until(LOG, || {
            let text = fs::read(path).unwrap_or_default();
            let new = text.get(before..).unwrap_or_default();
            let new = String::from_utf8_lossy(new).into_owned();
            match missing(stage, check, family.unwrap_or(Family::IPv4), &new) {
                Ok(missing) => last = (missing, new),
                Err(error) => failure = Some(error),
            }
            last.0.is_none() || failure.is_some()
        });
        if let Some(error) = failure {
            return Err(error);
        }
        tries.push(Try {
            family,
            expected: format!("in the log: {}", check.says.join(", ")),
            came: match &last.0 {
                None => "in the log".into(),
                Some(text) => format!("no {text:?}"),
            },
            as_expected: found,
            seconds: start.elapsed().as_secs_f64(),
            output: if found { String::new() } else { last.1 },
        });
    }
    Ok(Checked {
        command: format!("weir lab logs {log}"),
        tries,
        why: Vec::new(),
    })
}

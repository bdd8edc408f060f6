//! The Cilium workshop's lab as a guided run: each step is done, checked and explained.
//!
//! What is done and expected is the table in [`steps`]; this file only carries it out.

mod show;
mod steps;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use weir_link::tools::Synced;

use crate::agent::Question;
use crate::lab::{Lab, UpOptions};
use steps::{Action, Check, Expected, Peer, STEPS};

/// curl must have given up before this many seconds where a time-out is expected.
const PATIENCE: &str = "2";

/// What a check came to.
struct Outcome {
    came: String,
    as_expected: bool,
    /// What Weir says about the flow; `None` without an agent.
    explained: Option<Result<Value>>,
}

/// Runs the demo and takes its lab down again; true when everything came as expected.
pub fn run(mut options: UpOptions, keep: bool) -> Result<bool> {
    let start = Instant::now();
    let weir = options.weir;
    options.yaml = vec![steps::SLEEP.to_owned(), steps::HTTPBIN.to_owned()];
    let name = options.name.clone();
    show::opening(&name);
    let (lab, report) = Lab::up(options)?;
    show::problems(&report);
    show::pods(&lab.pods()?);
    let (mut checks, mut differences) = (0, 0);
    for (index, step) in STEPS.iter().enumerate() {
        show::step(index + 1, step.title, step.text);
        for action in step.actions {
            act(&lab, action).with_context(|| format!("step {}: {}", index + 1, step.title))?;
        }
        for check in step.checks {
            let outcome = run_check(&lab, check, weir)?;
            checks += 1;
            differences += usize::from(!outcome.as_expected);
            show::outcome(check, &outcome);
        }
    }
    if weir {
        last_denials(&lab, &name)?;
    }
    match keep {
        true => lab.keep(),
        false => lab.down()?,
    }
    show::closing(checks, differences, start.elapsed(), keep.then_some(&name));
    Ok(differences == 0)
}

/// What was denied last, as a user asks for it.
fn last_denials(lab: &Lab, name: &str) -> Result<()> {
    let words = [
        "observe",
        "--lab",
        name,
        "--verdict",
        "DROPPED",
        "--type",
        "policy-verdict,l7",
        "--last",
        "4",
        "--why",
    ];
    show::last(&words.join(" "));
    let status = Command::new(lab.program()?)
        .args(words)
        .status()
        .context("cannot run weir observe")?;
    anyhow::ensure!(status.success(), "weir observe failed");
    let socket = lab.observers()?.into_iter().next();
    show::where_to_look(name, &lab.log_path("flows", "default")?, socket.as_deref());
    Ok(())
}

fn act(lab: &Lab, action: &Action) -> Result<()> {
    let applied = match action {
        Action::Apply {
            file,
            yaml,
            namespace,
        } => {
            show::manifest(yaml);
            show::command(&format!("weir lab apply -n {namespace} -f {file}"));
            lab.apply_in(yaml, namespace)?
        }
        Action::DeleteAll(kind) => {
            show::command(&format!("weir lab delete {kind} --all"));
            let kind = crate::kind_from_word(kind).context("a kind of the demo")?;
            lab.delete_all(&kind, "default")?
        }
    };
    for change in &applied.changes {
        show::said(&format!("{} {}", change.resource, change.what));
    }
    let report: &Synced = &applied.report;
    show::problems(report);
    Ok(())
}

fn run_check(lab: &Lab, check: &Check, weir: bool) -> Result<Outcome> {
    let url = resolve(lab, check.url)?;
    show::command(&format!(
        "weir lab exec {} -- {}",
        check.from,
        check.command(&url)
    ));
    let words = [
        "curl",
        "-sS",
        "-m",
        PATIENCE,
        "-X",
        check.method,
        "-w",
        "\n%{http_code}",
        &url,
    ];
    let output = lab.exec(check.from, &words)?;
    let body = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let (body, status) = body.rsplit_once('\n').unwrap_or(("", &body));
    let (came, held) = match output.status.code() {
        Some(0) => {
            let denied = body.trim_end() == "Access denied";
            let held = match check.expected {
                Expected::Ok => status == "200",
                Expected::Denied => status == "403" && denied,
                Expected::TimeOut | Expected::NoName => false,
            };
            let text = if denied { ", Access denied" } else { "" };
            (format!("HTTP {status}{text}"), held)
        }
        // 28: out of time, 6: no such name.
        code => {
            let unresolved = code == Some(6) || said.contains("Resolving timed out");
            let held = match check.expected {
                Expected::TimeOut => code == Some(28) && !unresolved,
                Expected::NoName => unresolved,
                Expected::Ok | Expected::Denied => false,
            };
            (said.trim().to_owned(), held)
        }
    };
    let explained = match weir {
        true => Some(lab.explain(&question(lab, check)?)),
        false => None,
    };
    let agrees = match &explained {
        None => true,
        Some(Ok(value)) => value["verdict"] == check.expected.verdict(),
        Some(Err(_)) => false,
    };
    Ok(Outcome {
        came,
        as_expected: held && agrees,
        explained,
    })
}

/// The service's own address where a step goes round the DNS.
fn resolve(lab: &Lab, url: &str) -> Result<String> {
    if !url.contains("HTTPBIN_IP") {
        return Ok(url.to_owned());
    }
    let addresses = lab.service("default/httpbin")?;
    let first = addresses.first().context("httpbin has no address")?;
    Ok(url.replace("HTTPBIN_IP", &first.to_string()))
}

fn question(lab: &Lab, check: &Check) -> Result<Question> {
    let (to, protocol, port) = match check.judged {
        Peer::Httpbin => ("deploy/httpbin", "TCP", 80),
        Peer::Dns => ("kube-system/deploy/coredns", "UDP", 53),
    };
    let path = check.url.find('/').map_or("/", |at| &check.url[at..]);
    let http = (check.judged == Peer::Httpbin).then(|| (check.method.into(), path.into()));
    Ok(Question {
        from: lab.pod(check.from)?.id(),
        to: lab.pod(to)?.id(),
        protocol: protocol.into(),
        port,
        http,
    })
}

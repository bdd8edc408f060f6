//! `weir test`: unit tests for policies, without a cluster.

mod junit;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use weir_cluster::{
    Reading,
    folder::read_documents,
    yaml::{Places, place_of},
};
use weir_policy::unit::{CaseResult, Suite};

use crate::{
    explain_command::show,
    manifests::{self, Played},
    screen::{Output, bad, bold, good},
};

const EXAMPLES: &str = "Examples:
  weir test policy-tests.yaml
  weir test tests/*.yaml --junit report.xml

A file of tests:
  manifests: [manifests/]            # relative to this file
  tests:
    - name: sleep may read headers
      from: deploy/sleep             # as weir explain takes it
      to: svc/httpbin
      port: 8000
      http: GET /headers             # or {method, path, host, headers}
      expect: allow                  # allow, deny or 403
";

/// Run unit tests for policies: flows, and the verdict that each must get.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestCommand {
    /// Files of tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A file of tests and what became of them.
#[derive(Debug, Serialize)]
struct Ran {
    file: String,
    tests: Vec<RanCase>,
}

#[derive(Debug, Serialize)]
struct RanCase {
    line: Option<usize>,
    #[serde(flatten)]
    result: CaseResult,
}

impl TestCommand {
    pub fn run(self) -> Result<ExitCode> {
        let mut worlds = BTreeMap::new();
        let mut ran = Vec::new();
        for file in &self.files {
            ran.push(run(file, &self.played, &mut worlds)?);
        }
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::report(&ran)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let shown = text(&ran)?;
        self.output.show(&ran, || shown)?;
        for reading in worlds.values() {
            reading.whole()?;
        }
        let failed = ran
            .iter()
            .flat_map(|ran| &ran.tests)
            .any(|t| !t.result.passed);
        Ok(ExitCode::from(u8::from(failed)))
    }
}

/// Worlds by their manifests: files of tests often share them.
type Worlds = BTreeMap<Vec<PathBuf>, Reading>;

fn run(file: &Path, played: &Played, worlds: &mut Worlds) -> Result<Ran> {
    let documents = read_documents(&[file.to_owned()]).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", problems.join("; "))
    })?;
    let [document] = documents.as_slice() else {
        bail!("{}: a file of tests has one document", file.display());
    };
    let suite = Suite::read(&document.value).map_err(|error| {
        let line = place_of(document, &error.field).map(|place| format!(":{}", place.line));
        anyhow::anyhow!("{}{}: {error}", file.display(), line.unwrap_or_default())
    })?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let paths: Vec<PathBuf> = suite
        .manifests
        .iter()
        .map(|path| folder.join(path))
        .collect();
    if !worlds.contains_key(&paths) {
        let reading = manifests::reading(&paths, played)
            .with_context(|| format!("{}: manifests", file.display()))?;
        worlds.insert(paths.clone(), reading);
    }
    let results = worlds.get(&paths).map(|reading| suite.run(&reading.world));
    let tests = results.unwrap_or_default().into_iter().enumerate();
    let mut places = Places::default();
    Ok(Ran {
        file: file.display().to_string(),
        tests: tests
            .map(|(index, result)| RanCase {
                line: places
                    .of(document, &format!("tests[{index}]"))
                    .map(|place| place.line),
                result,
            })
            .collect(),
    })
}

fn text(ran: &[Ran]) -> Result<String> {
    let mut text = String::new();
    let (mut count, mut failed) = (0, 0);
    for file in ran {
        text.push_str(&format!("{}\n", bold(&file.file)));
        for test in &file.tests {
            count += 1;
            if test.result.passed {
                text.push_str(&format!("  {}    {}\n", good("ok"), test.result.name));
                continue;
            }
            failed += 1;
            let line = test.line.map(|line| format!(":{line}")).unwrap_or_default();
            text.push_str(&format!(
                "  {}  {}  {}{line}\n",
                bad("FAIL"),
                test.result.name,
                file.file
            ));
            for line in why(&test.result)? {
                text.push_str(&format!("        {line}\n"));
            }
        }
    }
    let said = match (count, failed) {
        (1, 0) => good("1 test ok"),
        (count, 0) => good(format!("{count} tests ok")),
        (count, failed) => bad(format!("{failed} of {count} failed")),
    };
    Ok(text + &said)
}

/// Why a test failed, line by line.
fn why(result: &CaseResult) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    match (&result.got, &result.error) {
        (Some(got), _) => lines.push(format!("expected {}, got {got}", result.expected)),
        (None, error) => lines.push(format!(
            "expected {}, cannot be judged: {}",
            result.expected,
            error.as_deref().unwrap_or("")
        )),
    }
    if let Some(told) = &result.explanation {
        lines.extend(show::lines(told));
    }
    Ok(lines)
}

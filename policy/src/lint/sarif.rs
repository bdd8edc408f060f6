//! Findings as SARIF 2.1.0, which code hosts show beside the lines.

use std::collections::BTreeMap;

use super::{Finding, LINTS, Lint, Severity, help};
use serde::Serialize;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// A finding with its place.
#[derive(Debug, Serialize)]
pub struct Placed {
    /// The file that it is in, where it came from one.
    pub file: Option<String>,
    /// Its line there, counted from 1.
    pub line: Option<usize>,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Placed {
    /// Where it stands: `FILE:LINE`, as far as that is known, else its object.
    pub fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => self.finding.object.clone(),
        }
    }
}

/// A log of one run.
#[derive(Debug, Serialize)]
pub struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Debug, Serialize)]
struct Run {
    tool: Tool,
    results: Vec<SarifResult>,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    name: &'static str,
    short_description: Message,
    help: Help,
    default_configuration: Configuration,
}

/// Hosts that render Markdown take the second.
#[derive(Debug, Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Debug, Serialize)]
struct Configuration {
    level: Severity,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    rule_index: usize,
    level: Severity,
    message: Message,
    locations: Vec<Location>,
    partial_fingerprints: Fingerprints,
}

/// By what a code host knows a finding again when lines have moved. The name ends with the version of
/// what is hashed.
#[derive(Debug, Serialize)]
struct Fingerprints {
    #[serde(rename = "weirFinding/v1")]
    finding: String,
}

#[derive(Debug, Serialize)]
struct Message {
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
    logical_locations: [LogicalLocation; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Debug, Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
}

/// Findings as a log of one run of `weir`.
pub fn log(findings: &[Placed]) -> Log {
    let mut seen = BTreeMap::new();
    let rules = LINTS
        .iter()
        .map(|lint| Rule {
            id: lint.id,
            name: lint.name,
            short_description: message(lint.summary.to_owned()),
            help: rule_help(lint),
            default_configuration: Configuration {
                level: lint.severity,
            },
        })
        .collect();
    Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "weir",
                    version: env!("CARGO_PKG_VERSION"),
                    rules,
                },
            },
            results: findings
                .iter()
                .map(|placed| result(placed, &mut seen))
                .collect(),
        }],
    }
}

fn rule_help(lint: &Lint) -> Help {
    let silence = format!("`weir.dev/lint-ignore: {}`", lint.id);
    let markdown = format!(
        "{}\n\nA policy that means it so has the annotation {silence}.",
        help(lint)
    );
    Help {
        text: markdown.replace("```yaml\n", "").replace("```\n", ""),
        markdown,
    }
}

fn result(placed: &Placed, seen: &mut BTreeMap<u64, usize>) -> SarifResult {
    let finding = &placed.finding;
    let location = placed.file.as_ref().map(|file| Location {
        physical_location: PhysicalLocation {
            artifact_location: ArtifactLocation { uri: uri(file) },
            region: Region {
                start_line: placed.line.unwrap_or(1),
            },
        },
        logical_locations: [LogicalLocation {
            fully_qualified_name: format!("{} {}", finding.object, finding.field),
        }],
    });
    SarifResult {
        rule_id: finding.id,
        rule_index: LINTS
            .iter()
            .position(|lint| lint.id == finding.id)
            .unwrap_or(0),
        level: finding.severity,
        message: message(format!("{}. Fix: {}.", finding.why, finding.fix)),
        locations: location.into_iter().collect(),
        partial_fingerprints: Fingerprints {
            finding: fingerprint(placed, seen),
        },
    }
}

/// Of what stays when lines move: lint, file, object and field; a number tells apart what is alike in
/// all of them. FNV-1a, because the hashes of the standard library may differ from build to build.
fn fingerprint(placed: &Placed, seen: &mut BTreeMap<u64, usize>) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let finding = &placed.finding;
    let file = placed.file.as_deref().unwrap_or_default();
    let hash = [finding.id, &uri(file), &finding.object, &finding.field]
        .join("\0")
        .bytes()
        .fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
    let nth = seen.entry(hash).or_default();
    *nth += 1;
    format!("{hash:016x}:{nth}")
}

/// A path as a relative reference: what a URI gives a meaning is escaped.
fn uri(file: &str) -> String {
    let mut uri = String::with_capacity(file.len());
    for byte in file.trim_start_matches("./").bytes() {
        match byte {
            b'%' | b'?' | b'#' | b' ' | b'"' | b'<' | b'>' | b'\\' | 0..0x20 | 0x7f.. => {
                uri.push_str(&format!("%{byte:02X}"));
            }
            plain => uri.push(char::from(plain)),
        }
    }
    uri
}

fn message(text: String) -> Message {
    Message { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(file: &str, line: usize, field: &str) -> Placed {
        let lint = &LINTS[0];
        Placed {
            file: Some(file.to_owned()),
            line: Some(line),
            finding: Finding {
                field: field.to_owned(),
                ..finding_of(lint)
            },
        }
    }

    fn finding_of(lint: &Lint) -> Finding {
        Finding {
            id: lint.id,
            lint: lint.name,
            severity: lint.severity,
            policy: 0,
            object: "NetworkPolicy/default/p".to_owned(),
            field: String::new(),
            why: "why".to_owned(),
            fix: "fix".to_owned(),
        }
    }

    #[test]
    fn a_finding_is_known_again_when_its_line_has_moved() {
        let prints = |findings: &[Placed]| -> Vec<String> {
            let [run] = log(findings).runs;
            let of = run.results.into_iter();
            of.map(|result| result.partial_fingerprints.finding)
                .collect()
        };
        let before = prints(&[placed("./a.yaml", 3, "spec"), placed("a.yaml", 9, "spec")]);
        let after = prints(&[placed("a.yaml", 5, "spec"), placed("a.yaml", 11, "spec")]);
        assert_eq!(before, after);
        assert_ne!(before[0], before[1], "two that are alike are two");
        assert_ne!(prints(&[placed("a.yaml", 3, "other")]), before[..1]);
        assert_ne!(prints(&[placed("b.yaml", 3, "spec")]), before[..1]);
    }

    #[test]
    fn a_path_is_a_reference_whatever_is_in_it() {
        assert_eq!(uri("./a b#c?d%e\"f.yaml"), "a%20b%23c%3Fd%25e%22f.yaml");
        assert_eq!(uri("é/x.yaml"), "%C3%A9/x.yaml");
    }
}

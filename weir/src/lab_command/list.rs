//! `weir lab ls`: the pods of a lab.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use weir_lab::{Lab, Pod};

use super::{Named, Output};

#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    lab: Named,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

// === impl Ls ===

impl Ls {
    pub fn run(self) -> Result<ExitCode> {
        let pods = Lab::open(&self.lab.name)?.pods()?;
        match self.output {
            Output::Json => {
                let list: Vec<_> = pods.iter().map(describe).collect();
                println!("{}", serde_json::to_string_pretty(&list)?);
            }
            Output::Table => print_table(&pods),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(pod: &Pod) -> serde_json::Value {
    serde_json::json!({
        "namespace": pod.namespace,
        "name": pod.name,
        "addresses": pod.addresses,
        "labels": pod.labels,
        "workload": pod.workload,
        "owner": pod.owner,
        "netns": pod.netns,
        "interface": pod.interface,
    })
}

fn print_table(pods: &[Pod]) {
    let head = ["NAMESPACE", "NAME", "IPV4", "IPV6", "WORKLOAD", "LABELS"];
    let mut rows = vec![head.map(String::from)];
    for pod in pods {
        let address = |v6| pod.addresses.iter().find(|a| a.is_ipv6() == v6);
        let text = |v6| address(v6).map_or_else(String::new, ToString::to_string);
        let labels: Vec<String> = pod.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        rows.push([
            pod.namespace.clone(),
            pod.name.clone(),
            text(false),
            text(true),
            pod.workload.clone(),
            labels.join(","),
        ]);
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("   ").trim_end());
    }
}

//! `weir lab ls`: the pods of a lab; `weir lab list`: the labs that are up.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use weir_lab::kubectl::Named;
use weir_lab::{Lab, Pod};

use super::Output;
use crate::screen::{emit, emit_json};

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
            Output::Json => emit_json(&pods.iter().map(describe).collect::<Vec<_>>())?,
            Output::Table => emit(&table(&pods))?,
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

fn table(pods: &[Pod]) -> String {
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
    columns(&rows)
}

fn columns<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[derive(Debug, Args)]
pub struct Labs {
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Labs {
    pub fn run(self) -> Result<ExitCode> {
        let labs = Lab::all()?;
        let mut rows = vec![["NAME", "PODS"].map(String::from)];
        for name in &labs {
            // One that is being taken down is up no more.
            let pods = Lab::open(name).and_then(|lab| lab.pods());
            let pods = pods.map_or_else(|_| "?".to_owned(), |pods| pods.len().to_string());
            rows.push([name.clone(), pods]);
        }
        match self.output {
            Output::Json => emit_json(&labs)?,
            Output::Table if labs.is_empty() => emit("no lab is up: weir lab up -f DIR")?,
            Output::Table => emit(&columns(&rows))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

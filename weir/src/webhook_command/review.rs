//! One review, in a process of its own.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use weir_gate::apart;

/// Reviews at once.
pub const AT_ONCE: usize = 2;
/// Memory of one, in bytes: with those at once and what waits, below the 128 MiB that the chart gives.
pub const MEMORY: u64 = 40 << 20;

/// Answers the review on standard input. The first line is without what the linter says, where that is
/// still to come: looking for mistakes may take longer than anybody waits.
pub fn answer() -> Result<ExitCode> {
    apart::bound(MEMORY)?;
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    let reviewed = weir_cluster::kubernetes::review(&body);
    drop(body);
    let mut out = io::stdout().lock();
    let reviewed = match reviewed {
        Ok(reviewed) => reviewed,
        Err(reason) => {
            tracing::warn!(reason, "what came is no review");
            writeln!(out, "{reason}")?;
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(first) = reviewed.first() {
        writeln!(out, "{first}")?;
        out.flush()?;
    }
    writeln!(out, "{}", reviewed.whole())?;
    Ok(ExitCode::SUCCESS)
}

//! Logs: to stderr, as lines for people or as JSON objects for collectors.

use anyhow::{Context as _, Result, bail};
use tracing_subscriber::EnvFilter;

/// What is logged unless WEIR_LOG says otherwise. The API client tells each failed request, which the
/// watches tell once; the netlink client each answer that nobody waits for any more.
const QUIET: &str = "info,netlink_packet_core=error,netlink_proto=error,kube_client=off,rustls_platform_verifier=off";

/// Begins to log as the environment says: `WEIR_LOG` (a level, or tracing directives, which add to
/// [`QUIET`]) and `WEIR_LOG_FORMAT` (`text` or `json`).
///
/// # Errors
/// One of them cannot be understood.
pub fn start() -> Result<()> {
    let filter = filter(&variable("WEIR_LOG")?).context("WEIR_LOG")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match variable("WEIR_LOG_FORMAT")?.as_str() {
        "" | "text" => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        "json" => lines.json().flatten_event(true).init(),
        other => bail!("WEIR_LOG_FORMAT: `{other}` is neither text nor json"),
    }
    Ok(())
}

/// Tells why the program ends, as the last line of its log.
pub fn last(text: &str) {
    match variable("WEIR_LOG_FORMAT").is_ok_and(|format| format == "json") {
        true => tracing::error!("{text}"),
        false => eprintln!("weir: {text}"),
    }
}

/// Empty where it is not set.
#[expect(clippy::disallowed_methods, reason = "before there is a command line")]
fn variable(name: &str) -> Result<String> {
    match std::env::var(name) {
        Err(std::env::VarError::NotPresent) => Ok(String::new()),
        found => found.with_context(|| name.to_owned()),
    }
}

fn filter(chosen: &str) -> Result<EnvFilter> {
    let directives = [QUIET, chosen];
    let directives = directives.iter().filter(|part| !part.is_empty());
    let directives: Vec<&str> = directives.copied().collect();
    Ok(EnvFilter::builder().parse(directives.join(","))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_keeps_what_is_quiet() {
        let shown = |chosen: &str| filter(chosen).unwrap().to_string();
        assert!(shown("debug").contains("kube_client=off"));
        assert!(shown("debug").ends_with("debug"), "{}", shown("debug"));
        assert!(shown("kube_client=info").contains("kube_client=info"));
        assert!(!shown("kube_client=info").contains("kube_client=off"));
        assert!(filter("a=b=c").is_err());
    }
}

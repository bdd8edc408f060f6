//! What came of a command, read from what the tools of the labs say.

use std::process::Output;
use std::time::Duration;

use super::format::Expect;

/// wget -q says nothing; whoever took at least this long was waiting for an answer.
const WAITED: Duration = Duration::from_millis(900);
/// What curl is asked to print last: the status, behind a byte that no body holds.
pub const STATUS: &str = "\u{1e}%{http_code}";

/// The result of one command.
#[derive(Debug, Clone)]
pub struct Came {
    /// `None` for a failure of another kind; `text` says which.
    pub what: Option<Expect>,
    /// Everything that it printed, without the status that curl was asked for.
    pub text: String,
    pub exit: Option<i32>,
    pub took: Duration,
}

// === impl Came ===

impl Came {
    pub fn of(command: &str, output: &Output, took: Duration) -> Self {
        let tool = command.split_whitespace().next().unwrap_or_default();
        let printed = String::from_utf8_lossy(&output.stdout);
        let (body, status) = match printed.rsplit_once('\u{1e}') {
            Some((body, status)) if tool == "curl" => (body, status.parse().unwrap_or(0)),
            _ => (printed.as_ref(), 0),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let exit = output.status.code();
        let what = match exit {
            Some(0) if status > 0 => Some(Expect::Http(status)),
            Some(0) => Some(Expect::Works),
            // Such a session ends when somebody ends it: that there is one is what was asked.
            _ if command.contains("telnet://") && said.contains("* Connected to") => {
                Some(Expect::Works)
            }
            _ => failure(tool, exit, &format!("{body}\n{said}"), took),
        };
        Self {
            what,
            text: printable(&[body.trim(), said.trim()].join("\n")),
            exit,
            took,
        }
    }

    /// Whether this is what was expected. HTTP that succeeds is a command that works.
    pub fn is(&self, expect: Expect) -> bool {
        match (self.what, expect) {
            (Some(Expect::Http(status)), Expect::Works) => (200..400).contains(&status),
            (what, expect) => what == Some(expect),
        }
    }
}

/// Greetings of databases are no text.
fn printable(text: &str) -> String {
    let keep = |c: &char| *c == '\n' || !c.is_control();
    text.trim().chars().filter(keep).collect()
}

fn failure(tool: &str, exit: Option<i32>, said: &str, took: Duration) -> Option<Expect> {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let no_name = [
        "Could not resolve",
        "Resolving timed out",
        "getaddrinfo",
        "Name or service not known",
        "failure in name resolution",
        "No address associated",
        "bad address",
        "NXDOMAIN",
    ];
    if says(&no_name) {
        return Some(Expect::NoName);
    }
    if says(&[
        "onnection refused",
        "Couldn't connect",
        "unreachable",
        "Unreachable",
    ]) {
        return Some(Expect::Refused);
    }
    let timed_out = match (tool, exit) {
        ("curl", Some(28)) | ("ping", Some(1)) => true,
        ("wget", Some(4)) => took >= WAITED,
        _ => says(&["timed out"]),
    };
    timed_out.then_some(Expect::TimesOut)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn came(command: &str, exit: i32, stdout: &str, stderr: &str) -> Option<Expect> {
        let output = Output {
            status: ExitStatus::from_raw(exit << 8),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        Came::of(command, &output, Duration::from_secs(1)).what
    }

    #[test]
    fn what_the_tools_say() {
        assert_eq!(came("curl", 0, "{}\u{1e}200", ""), Some(Expect::Http(200)));
        assert_eq!(came("curl", 0, "\u{1e}000", ""), Some(Expect::Works));
        let slow = "curl: (28) Connection timed out after 2001 milliseconds";
        assert_eq!(came("curl", 28, "\u{1e}000", slow), Some(Expect::TimesOut));
        let dns = "curl: (28) Resolving timed out after 2000 milliseconds";
        assert_eq!(came("curl", 28, "\u{1e}000", dns), Some(Expect::NoName));
        let nc = "nc: connect to b port 80 (tcp) timed out: Operation now in progress";
        assert_eq!(came("nc", 1, "", nc), Some(Expect::TimesOut));
        let nc = "nc: getaddrinfo for host \"b\" port 80: Name or service not known";
        assert_eq!(came("nc", 1, "", nc), Some(Expect::NoName));
        assert_eq!(
            came("nc", 1, "", "nc: ... failed: Connection refused"),
            Some(Expect::Refused)
        );
        assert_eq!(
            came("ping", 1, "100% packet loss", ""),
            Some(Expect::TimesOut)
        );
        assert_eq!(came("wget", 4, "", ""), Some(Expect::TimesOut));
        let telnet = "* Connected to b port 3306\ncurl: (28) Time-out";
        let works = came("curl telnet://b", 28, "\0J\u{1e}000", telnet);
        assert_eq!(works, Some(Expect::Works));
        assert_eq!(came("sh", 3, "", "what?"), None);
    }
}

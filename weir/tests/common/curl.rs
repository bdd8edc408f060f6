//! curl in a pod, and everything that it saw.

use std::time::{Duration, Instant};

use super::{Family, PATIENCE, SILENCE, TestLab};

/// Between the answers of one curl; in no body that the tests read.
const END: char = '\u{1e}';
const FIELDS: &str = "\u{1e}%{http_code} %{num_connects} %{local_port} %{content_type}\u{1e}";

/// What came of one URL.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub content_type: String,
    /// Connections that were opened for it: 0 where one was used again.
    pub connects: u32,
    pub local_port: u16,
    pub exit: i32,
    pub error: String,
    pub took: Duration,
}

impl TestLab {
    /// One URL.
    pub fn curl(&self, pod: &str, family: Family, words: &[&str]) -> Reply {
        let limit = PATIENCE.as_secs().to_string();
        self.curls(pod, family, &limit, words).remove(0)
    }

    /// Several URLs over one curl, which keeps its connection.
    pub fn curls(&self, pod: &str, family: Family, limit: &str, words: &[&str]) -> Vec<Reply> {
        let options = [
            "curl",
            "-q",
            "-sS",
            "--noproxy",
            "*",
            "-m",
            limit,
            "-w",
            FIELDS,
        ];
        let start = Instant::now();
        let output = self.exec(pod, &[&options, &[family.option()][..], words].concat());
        let took = start.elapsed();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let parts: Vec<&str> = said.split(END).collect();
        assert!(parts.len() >= 3, "curl {words:?}: {said:?} {output:?}");
        parts
            .chunks_exact(2)
            .map(|pair| {
                let mut fields = pair[1].splitn(4, ' ');
                let mut number = || fields.next().and_then(|f| f.parse::<u32>().ok()).unwrap();
                Reply {
                    status: number() as u16,
                    connects: number(),
                    local_port: number() as u16,
                    content_type: fields.next().unwrap_or_default().to_owned(),
                    body: pair[0].to_owned(),
                    exit: output.status.code().unwrap_or(-1),
                    error: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                    took,
                }
            })
            .collect()
    }

    /// The request passes and the server answers it.
    pub fn allowed(&self, pod: &str, family: Family, words: &[&str]) -> Reply {
        let reply = self.curl(pod, family, words);
        let place = format!("{pod} {family:?} {words:?}: {reply:?}");
        assert_eq!((reply.status, reply.exit), (200, 0), "{place}");
        reply
    }

    /// The proxy answers: exactly as the reference says it.
    pub fn forbidden(&self, pod: &str, family: Family, words: &[&str]) -> Reply {
        let reply = self.curl(pod, family, words);
        let place = format!("{pod} {family:?} {words:?}: {reply:?}");
        assert_eq!((reply.status, reply.exit), (403, 0), "{place}");
        assert_eq!(reply.body, "Access denied\r\n", "{place}");
        assert_eq!(reply.content_type, "text/plain", "{place}");
        reply
    }

    /// Nobody answers: the connection is neither made nor refused.
    pub fn dropped(&self, pod: &str, family: Family, words: &[&str]) {
        let reply = self.curls(pod, family, SILENCE, words).remove(0);
        let place = format!("{pod} {family:?} {words:?}: {reply:?}");
        assert_eq!((reply.exit, reply.status), (28, 0), "not dropped: {place}");
        assert!(
            reply.error.contains("onnection time"),
            "not while connecting: {place}"
        );
    }

    /// The name is not resolved, because DNS is dropped.
    pub fn unresolved(&self, pod: &str, family: Family, words: &[&str]) {
        let reply = self.curls(pod, family, SILENCE, words).remove(0);
        let place = format!("{pod} {family:?} {words:?}: {reply:?}");
        let timed_out = reply.exit == 28 && reply.error.contains("Resolving timed out");
        let unknown = reply.exit == 6 && reply.error.contains("Could not resolve host");
        assert!(timed_out || unknown, "not a failure of DNS: {place}");
    }
}

//! Flows in a file, for whoever ships or keeps them: one answer a line, as `weir observe -o jsonpb` writes
//! it and `--input-file` reads it. One more reader of the [`Ring`], with the filters and the field mask
//! that a client's request has.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use prost_types::FieldMask;
use tokio::time::sleep;

use crate::{
    api::{
        flow::{Flow, LostEventSource},
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    },
    calm,
    filter::Filters,
    flags::Lists,
    json,
    log::{Rotating, rotating},
    mask::Mask,
    ring::{Read, Ring, lost},
    service::response,
};

/// Records that are read at once.
const BATCH: usize = 512;
/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(100);

/// What is written, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportOptions {
    /// The file; older ones are beside it as `.1`, `.2` and so on.
    pub path: PathBuf,
    /// Which flows.
    pub lists: Lists,
    /// Which fields of them (`source.pod_name`); none: all.
    pub fields: Vec<String>,
    /// Bytes after which a new file begins.
    pub bytes: usize,
    /// Older files that are kept.
    pub files: usize,
}

/// The open file.
struct Export {
    path: PathBuf,
    file: Rotating,
    filters: Filters,
    mask: Option<Mask>,
    /// Whether the last write failed: said once, not for each line.
    failing: bool,
}

/// Starts to write what comes from now on, on a thread of its own that yields to traffic.
///
/// # Errors
/// A filter or a field means nothing, the file cannot be made, or there is no thread.
pub fn start(options: &ExportOptions, ring: Arc<Ring>) -> io::Result<()> {
    let mut export = Export::open(options)?;
    let mut news = ring.follow();
    let (_, mut at) = ring.range();
    let write = async move {
        while news.changed().await.is_ok() {
            sleep(GATHER).await;
            loop {
                let read = ring.read(at, BATCH);
                if read.items.is_empty() {
                    break;
                }
                at = read.next;
                export.write(read);
            }
        }
    };
    let run = move || {
        calm::yield_to_traffic();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(write),
            Err(error) => tracing::error!(%error, "flows are not exported"),
        }
    };
    let thread = std::thread::Builder::new().name("weir-export".into());
    thread.spawn(run).map(drop)
}

// === impl Export ===

impl Export {
    fn open(options: &ExportOptions) -> io::Result<Self> {
        let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let lists = &options.lists;
        let mask = FieldMask {
            paths: options.fields.clone(),
        };
        Ok(Self {
            path: options.path.clone(),
            filters: Filters::new(&lists.allow, &lists.deny)
                .map_err(|error| wrong(error.to_string()))?,
            mask: Mask::new(Some(&mask)).map_err(|error| wrong(error.to_string()))?,
            file: rotating(&options.path, options.bytes, options.files)?,
            failing: false,
        })
    }

    fn write(&mut self, read: Read) {
        if read.missed > 0 {
            let lost = lost(LostEventSource::HubbleRingBuffer, read.missed);
            self.line(&GetFlowsResponse {
                response_types: Some(ResponseTypes::LostEvents(lost)),
                ..GetFlowsResponse::default()
            });
        }
        for item in read.items {
            if let Some(flow) = item.flow(self.filters.ends())
                && self.filters.pass(&flow)
            {
                let masked = self.mask.as_ref().map(|mask| mask.apply(&flow));
                let flow = masked.unwrap_or_else(|| Flow::clone(&flow));
                self.line(&response(flow));
            }
        }
        let flushed = self.file.flush();
        self.check(flushed);
    }

    fn line(&mut self, answer: &GetFlowsResponse) {
        let line = format!("{}\n", json::to_value(answer));
        let written = self.file.write_all(line.as_bytes());
        self.check(written);
    }

    fn check(&mut self, result: io::Result<()>) {
        if let (Err(error), false) = (&result, self.failing) {
            let file = self.path.display().to_string();
            tracing::error!(%error, file, "flows cannot be exported");
        }
        self.failing = result.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::flow::FlowFilter,
        flags, record,
        redact::Redaction,
        ring::Item,
        testing::{names, passed},
    };

    fn options(path: PathBuf, words: &[(&str, &str)], fields: &[&str]) -> ExportOptions {
        ExportOptions {
            path,
            lists: flags::read(words.iter().copied()).unwrap(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            bytes: 1 << 20,
            files: 1,
        }
    }

    #[tokio::test]
    async fn wanted_flows_are_written_with_their_wanted_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/flows.jsonl");
        let ring = Arc::new(Ring::new(10));
        let allow = r#"{"http_status_code": ["2+"]}"#;
        let deny = r#"{"http_path": ["/status"]}"#;
        let words = [(flags::ALLOW, allow), (flags::DENY, deny)];
        let options = options(path.clone(), &words, &["verdict", "l7.http.url"]);
        start(&options, ring.clone()).unwrap();
        for status in [200, 500] {
            let flows =
                record::requests(&passed(Some(status)), &names(vec![]), &Redaction::default());
            for flow in flows {
                ring.push(Item::Flow(Arc::new(flow)));
            }
        }
        ring.publish();
        let mut text = String::new();
        for _ in 0..1000 {
            text = std::fs::read_to_string(&path).unwrap();
            if !text.is_empty() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1, "the answer of one: {text}");
        let read = json::read_line(lines[0]).unwrap();
        assert!(matches!(read.response_types, Some(ResponseTypes::Flow(_))));
        assert!(
            text.contains("/headers") && text.contains("FORWARDED"),
            "{text}"
        );
        assert!(
            !text.contains("pod_name") && !text.contains("policy_log"),
            "{text}"
        );
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.jsonl");
        let fields = Export::open(&options(path.clone(), &[], &["source.port"]));
        assert!(fields.err().unwrap().to_string().contains("source.port"));
        let mut filtered = options(path, &[], &[]);
        filtered.lists.deny.push(FlowFilter {
            source_ip: vec!["x".into()],
            ..FlowFilter::default()
        });
        assert!(Export::open(&filtered).is_err());
    }
}

//! The flow log: one line an event, for `grep` and for shippers of logs.

mod line;

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use file_rotate::{ContentLimit, FileRotate, compression::Compression, suffix::AppendCount};

use crate::{
    api::flow::{Flow, L7FlowType, Verdict},
    json,
    record::event_type,
};

pub use line::{line, word};

/// Where and what is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The file; older ones are beside it as `.1`, `.2` and so on.
    pub path: PathBuf,
    /// Also what was allowed.
    pub all: bool,
    /// JSON lines in place of `key=value`.
    pub json: bool,
    /// Bytes after which a new file begins.
    pub bytes: usize,
    /// Older files that are kept.
    pub files: usize,
}

impl LogOptions {
    /// Denials only, 10 MiB a file, three older files.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            all: false,
            json: false,
            bytes: 10 << 20,
            files: 3,
        }
    }
}

/// A file that begins anew when it is long enough.
pub(crate) type Rotating = BufWriter<FileRotate<AppendCount>>;

/// Opens a file that begins anew after so many bytes, and makes its folder; so many older ones are kept.
pub(crate) fn rotating(path: &Path, bytes: usize, files: usize) -> io::Result<Rotating> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // The library below reports nothing until the first write.
    let mut open = OpenOptions::new();
    open.create(true).append(true).read(true).mode(0o640);
    open.open(path)?;
    Ok(BufWriter::new(FileRotate::new(
        path,
        AppendCount::new(files),
        ContentLimit::BytesSurpassed(bytes),
        Compression::None,
        Some(open),
    )))
}

/// The open log.
pub struct FlowLog {
    options: LogOptions,
    file: Rotating,
    /// Whether the last write failed: said once, not for each line.
    failing: bool,
}

impl std::fmt::Debug for FlowLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(formatter)
    }
}

// === impl FlowLog ===

impl FlowLog {
    /// Opens the file and makes its folder.
    ///
    /// # Errors
    /// Where either cannot be made.
    pub fn open(options: LogOptions) -> io::Result<Self> {
        Ok(Self {
            file: rotating(&options.path, options.bytes, options.files)?,
            options,
            failing: false,
        })
    }

    /// Whether what was allowed is logged, too.
    pub fn logs_all(&self) -> bool {
        self.options.all
    }

    /// Writes a flow, if it is one that is logged.
    pub fn write(&mut self, flow: &Flow) {
        if !self.wants(flow) {
            return;
        }
        let text = match self.options.json {
            true => {
                let mut value = json::to_value(flow);
                value["action"] = word(flow).into();
                value.to_string()
            }
            false => line(flow),
        };
        let written = self.file.write_all(format!("{text}\n").as_bytes());
        self.check(written);
    }

    /// Writes a request on one line with its answer.
    pub fn request(&mut self, flows: &[Flow]) {
        let Some((asked, answers)) = flows.split_first() else {
            return;
        };
        let mut whole = asked.clone();
        if let Some(answer) = answers.first().and_then(|answer| answer.l7.as_ref())
            && let Some(l7) = &mut whole.l7
        {
            l7.record.clone_from(&answer.record);
            l7.latency_ns = answer.latency_ns;
        }
        self.write(&whole);
    }

    /// Brings what was written into the file.
    pub fn flush(&mut self) {
        let flushed = self.file.flush();
        self.check(flushed);
    }

    fn check(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !self.failing {
                    let file = self.options.path.display().to_string();
                    tracing::error!(%error, file, "the flow log takes no lines");
                }
                self.failing = true;
            }
        }
    }

    fn wants(&self, flow: &Flow) -> bool {
        wanted(flow, self.options.all)
    }
}

/// Whether a flow is to be told: what was denied, or would have been, and `all` the others, too. A
/// verdict is told once: not the packet's drop, and a request with its answer.
pub(crate) fn wanted(flow: &Flow, all: bool) -> bool {
    let denied = matches!(
        flow.verdict(),
        Verdict::Dropped | Verdict::Error | Verdict::Audit
    );
    let kind = flow.event_type.as_ref().map(|event| event.r#type);
    let drop = kind == Some(event_type::DROP);
    let answer = flow
        .l7
        .as_ref()
        .is_some_and(|l7| l7.r#type() == L7FlowType::Response);
    let reset = flow.weir.as_ref().is_some_and(|why| why.reset);
    line::is_failure(flow) || !drop && !answer && (denied || reset || all)
}

#[cfg(test)]
mod tests;

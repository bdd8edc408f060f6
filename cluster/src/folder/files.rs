//! Which files there are, and what they last said when they could be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use weir_policy::objects::unrendered;

use super::SourceProblem;
use crate::yaml::{self, Document, YamlError};

/// The path that means standard input.
pub const STDIN: &str = "-";
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// Folders in folders beyond this are not read: a loop of mounts must end somewhere.
const MAX_DEPTH: usize = 32;
/// Bytes of a file; the API server takes objects of some three million at most.
const LARGEST: u64 = 64 << 20;
/// How long a file that has just become empty may still be being written.
const BEING_WRITTEN: Duration = Duration::from_millis(20);

/// The documents of files, folders and `-`, for readers that read once.
///
/// # Errors
/// The problems of files that could not be read; none of the documents counts then.
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<Document>, Vec<SourceProblem>> {
    let (documents, problems) = Files::default().read(paths);
    if problems.is_empty() {
        Ok(documents
            .into_iter()
            .map(|(_, document)| document)
            .collect())
    } else {
        Err(problems)
    }
}

/// Every file that has been read, by path.
#[derive(Debug, Default)]
pub(super) struct Files {
    states: BTreeMap<PathBuf, State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last text, to parse only what changed.
    text: String,
    /// What the last text that was good said.
    good: Option<Vec<Document>>,
    /// What is wrong with the last text.
    problem: Option<SourceProblem>,
    /// Documents of a text that was never wholly good.
    partial: Vec<Document>,
}

impl Files {
    /// Reads all files: each document with its file. Of files that are broken, the last good content.
    pub(super) fn read(
        &mut self,
        paths: &[PathBuf],
    ) -> (Vec<(PathBuf, Document)>, Vec<SourceProblem>) {
        let mut problems = Vec::new();
        let mut order: Vec<PathBuf> = Vec::new();
        let mut kept = BTreeSet::new();
        for path in paths {
            let mut found = Vec::new();
            if let Err((place, error)) = list(path, &mut found) {
                let known: Vec<_> = self.beneath(&place).collect();
                // What is named and was there does not vanish by accident (a mount that goes
                // away, a folder that is being replaced): keep what is known of it.
                let reason = if known.is_empty() {
                    format!("cannot be read: {error}")
                } else {
                    format!("cannot be read, what it last said stays in force: {error}")
                };
                problems.push(file_problem(&place, reason, known.is_empty()));
                kept.extend(known.iter().cloned());
                found.extend(known);
            }
            order.extend(found);
        }
        let mut seen = BTreeSet::new();
        order.retain(|file| seen.insert(file.clone()));
        order.retain(|file| kept.contains(file) || self.load(file, &mut problems));
        let seen: BTreeSet<_> = order.iter().cloned().collect();
        if problems.iter().any(|problem| problem.fatal) {
            // A file that was never good may be a known one under another name.
            let vanished = self.states.keys().filter(|file| !seen.contains(*file));
            order.extend(vanished.cloned().collect::<Vec<_>>());
        } else {
            self.states.retain(|file, _| seen.contains(file));
        }
        let mut documents = Vec::new();
        for file in order {
            let state = self.states.get(&file);
            let said = state.map(|state| state.good.as_ref().unwrap_or(&state.partial));
            let said = said.into_iter().flatten().cloned();
            documents.extend(said.map(|document| (file.clone(), document)));
        }
        (documents, problems)
    }

    /// What standard input said, where it was read.
    pub(super) fn standard_input(&self) -> Option<&str> {
        let state = self.states.get(Path::new(STDIN));
        state.map(|state| state.text.as_str())
    }

    fn beneath(&self, place: &Path) -> impl Iterator<Item = PathBuf> {
        self.states
            .keys()
            .filter(move |file| file.starts_with(place))
            .cloned()
    }

    /// Reads one file; `false` where it is gone since it was listed.
    fn load(&mut self, file: &Path, problems: &mut Vec<SourceProblem>) -> bool {
        let known = self.states.get(file);
        if file == Path::new(STDIN) && known.is_some() {
            // It can be read only once.
            problems.extend(known.and_then(|state| state.problem.clone()));
            return true;
        }
        let before = known.map_or("", |state| state.text.as_str());
        match read_settled(file, before) {
            Ok(text) => {
                let state = self.states.entry(file.to_owned()).or_default();
                state.take(text, file);
                problems.extend(state.problem.clone());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                let good = known.is_some_and(|state| state.good.is_some());
                let reason = format!("cannot be read: {error}");
                problems.push(file_problem(file, reason, !good));
            }
        }
        true
    }
}

impl State {
    fn take(&mut self, text: String, file: &Path) {
        if self.text == text && (self.good.is_some() || self.problem.is_some()) {
            return;
        }
        self.partial.clear();
        match yaml::documents(&text, file) {
            Ok(documents) if self.good.is_some() && documents.iter().any(no_kind) => {
                // It says of itself what is wrong with it; what it was before is known.
                self.problem =
                    documents
                        .iter()
                        .find(|document| no_kind(document))
                        .map(|document| SourceProblem {
                            place: document.place.clone(),
                            object: String::new(),
                            field: "kind".to_owned(),
                            reason: "is missing: what the file last said stays in force".to_owned(),
                            fatal: false,
                        });
            }
            Ok(documents) => {
                self.problem = None;
                if documents.iter().any(no_kind) {
                    self.partial = documents;
                } else {
                    self.good = Some(documents);
                }
            }
            Err(error) => self.problem = Some(yaml_problem(&error, &text, self.good.is_none())),
        }
        self.text = text;
    }
}

fn no_kind(document: &Document) -> bool {
    let kind = document.value.get("kind").and_then(Value::as_str);
    kind.is_none_or(str::is_empty)
}

/// All files that a path means, sorted; or the place that could not be read.
pub(super) fn list(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    if path == Path::new(STDIN) {
        found.push(path.to_owned());
        return Ok(());
    }
    let meta = fs::metadata(path).map_err(|error| (path.to_owned(), error))?;
    if !meta.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    walk(path, 0, found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let mut entries = fs::read_dir(folder)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut first = Ok(());
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Linked folders are not followed (they can lead in a circle), linked files are.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if depth < MAX_DEPTH {
                    match walk(&path, depth + 1, found) {
                        // Gone since it was listed.
                        Err((_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                        // Go on with the others, and tell.
                        walked => first = first.and(walked),
                    }
                }
            }
            Ok(_) if wanted(&path) && !path.is_dir() => found.push(path),
            Ok(_) => {}
            Err(error) => first = first.and(Err((path, error))),
        }
    }
    first
}

/// Editors' own files have other endings (`x.yaml~`, `.x.yaml.swp`, `#x.yaml#`, `4913`).
fn wanted(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// What a file says now, where it may just be being written.
fn read_settled(file: &Path, before: &str) -> io::Result<String> {
    let text = read_text(file)?;
    if text.is_empty() && !before.is_empty() {
        // `echo … > file` empties it first; its objects are not gone for that moment.
        std::thread::sleep(BEING_WRITTEN);
        return read_text(file);
    }
    Ok(text)
}

/// The text of a file, or with [`STDIN`] of standard input. What is no file may never end, or never
/// begin: a pipe in a folder keeps nobody waiting. Those of the process itself (`/dev/fd/63`) were
/// given by who waits for them.
///
/// # Errors
/// It cannot be read, is no regular file, or is larger than 64 MiB: no more of it is read then.
pub fn read_text(file: &Path) -> io::Result<String> {
    if file == Path::new(STDIN) {
        return bounded(io::stdin().lock());
    }
    if !file.starts_with("/dev") && !file.starts_with("/proc") && !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    bounded(fs::File::open(file)?)
}

fn bounded(reader: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("is larger than 64 MiB"));
    }
    // Only now: a character may have been cut.
    String::from_utf8(bytes).map_err(|_| io::Error::other("is no UTF-8 text"))
}

fn yaml_problem(error: &YamlError, text: &str, fatal: bool) -> SourceProblem {
    let hint = unrendered(around(text, error.line)).map(|hint| format!("; {hint}"));
    let kept = if fatal {
        ""
    } else {
        "; what the file last said stays in force"
    };
    SourceProblem {
        place: format!("{}:{}", error.file.display(), error.line),
        object: String::new(),
        field: String::new(),
        reason: format!(
            "is not YAML: {}{}{kept}",
            error.reason,
            hint.unwrap_or_default()
        ),
        fatal,
    }
}

/// What may be to blame for what breaks on a line: of a template all of it, else the line and the one
/// before, for scripts in manifests are full of `${…}` that breaks nothing.
fn around(text: &str, line: usize) -> &str {
    if text.contains("{{") {
        return text;
    }
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines
        .by_ref()
        .take(line.saturating_sub(2))
        .map(str::len)
        .sum();
    let here: usize = lines.take(2.min(line)).map(str::len).sum();
    text.get(before..before + here).unwrap_or("")
}

fn file_problem(file: &Path, reason: String, fatal: bool) -> SourceProblem {
    SourceProblem {
        place: file.display().to_string(),
        object: String::new(),
        field: String::new(),
        reason,
        fatal,
    }
}

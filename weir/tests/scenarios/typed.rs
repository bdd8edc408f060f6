//! The labs' texts as a learner types them: literally `kubectl ...`, in the shell that
//! `weir lab shell` opens, with what must come of it.
//!
//! Only three things differ from the texts: names of pods that their clusters made up are asked for,
//! what waits two minutes to fail is told to wait less, and files are the scenarios' own.

mod balanced;
mod calico;
mod egress;
mod forms;
mod pods;
mod workshop;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use weir_lab::{Lab, UpOptions};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// Longer than whatever a text waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody in a lab's shell, in a folder with the text's files.
pub struct Learner {
    lab: Lab,
    folder: tempfile::TempDir,
    /// Lines that every later one sees: `export bb1_ip=...`.
    exports: Vec<String>,
}

/// A line that goes on while others are typed.
pub struct Going {
    child: Child,
    output: PathBuf,
}

// === impl Learner ===

impl Learner {
    /// Brings a lab up, and copies a scenario's files beside each other.
    pub fn new(number: u32, scenario: &str, yaml: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/scenarios");
        for from in [
            scenarios.join(scenario),
            scenarios.join(scenario).join("policies"),
        ] {
            for file in fs::read_dir(from).into_iter().flatten().flatten() {
                if file.path().is_file() {
                    fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
                }
            }
        }
        let (lab, _) = Lab::up(UpOptions {
            name: format!("t{}n{number}", std::process::id()),
            yaml: yaml.iter().map(|text| (*text).to_owned()).collect(),
            program: Some(WEIR.into()),
            ..UpOptions::default()
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            lab,
            folder,
            exports: Vec::new(),
        }
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file for a line to come.
    pub fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file");
    }

    /// Sets a variable as the text does: `export NAME=$(...)`.
    pub fn export(&mut self, line: &str) {
        self.works(line, &[]);
        self.exports.push(line.to_owned());
    }

    /// Types a line that succeeds, and prints these.
    #[track_caller]
    pub fn works(&self, line: &str, says: &[&str]) -> String {
        self.types(line, true, says)
    }

    /// Types a line that fails, and prints these.
    #[track_caller]
    pub fn fails(&self, line: &str, says: &[&str]) -> String {
        self.types(line, false, says)
    }

    #[track_caller]
    fn types(&self, line: &str, succeeds: bool, says: &[&str]) -> String {
        let output = self.bash(line).output().expect("weir lab shell");
        let said = both(&output);
        assert_eq!(output.status.success(), succeeds, "$ {line}\n{said}");
        for part in says {
            assert!(said.contains(part), "$ {line}\n{said}\nlacks {part:?}");
        }
        said
    }

    /// Types a line that does not end by itself.
    pub fn goes_on(&self, line: &str) -> Going {
        let output = self.folder.path().join("going.log");
        let log = fs::File::create(&output).expect("a log");
        let errors = log.try_clone().expect("the same log");
        let child = self
            .bash(line)
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("weir lab shell");
        Going { child, output }
    }

    /// The learner's shell for one line; nothing is typed into what it starts.
    fn bash(&self, line: &str) -> Command {
        let script = [&self.exports[..], &[line.to_owned()]].concat().join("\n");
        let mut bash = Command::new("timeout");
        let limit = PATIENCE.as_secs().to_string();
        bash.args([&limit, WEIR, "lab", "shell", "--name", self.lab.name()])
            .args(["--", "bash", "-c", &script])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("WEIR_CACHE", cache())
            .stdin(Stdio::null());
        bash
    }
}

/// Where `scripts/setup.sh` puts busybox; HOME is the learner's here.
#[expect(clippy::disallowed_methods, reason = "as the lab looks for it")]
fn cache() -> PathBuf {
    let own = std::env::var_os("WEIR_CACHE").map(PathBuf::from);
    let home = std::env::var_os("HOME").unwrap_or_default();
    own.unwrap_or_else(|| Path::new(&home).join(".cache/weir"))
}

fn both(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    texts.map(|text| String::from_utf8_lossy(text)).concat()
}

// === impl Going ===

impl Going {
    /// Waits until it has printed this.
    #[track_caller]
    pub fn says(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&self.output).unwrap_or_default();
            if said.contains(part) {
                return;
            }
            assert!(Instant::now() < deadline, "no {part:?} in\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // `timeout` passes it on to what it runs.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_ok() {
            self.child.wait().ok();
        }
    }
}

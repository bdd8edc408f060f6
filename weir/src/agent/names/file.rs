//! The file of names, which is for root alone: it says who talks to whom.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use weir_policy::model::Protocol;

use super::{OfPod, Question, Until};

#[derive(Serialize, Deserialize)]
struct Stored {
    pods: BTreeMap<String, Vec<Answer>>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    name: String,
    server: IpAddr,
    port: u16,
    protocol: Protocol,
    /// Addresses, and the seconds since the Unix epoch until which they are the name's.
    until: Until,
}

/// Reads the file.
pub fn read(file: &Path) -> io::Result<BTreeMap<String, OfPod>> {
    let stored: Stored = serde_json::from_slice(&fs::read(file)?)?;
    let answers = |answers: Vec<Answer>| -> OfPod {
        let answers = answers.into_iter().map(|answer| {
            let question = Question {
                name: answer.name,
                server: answer.server,
                port: answer.port,
                protocol: answer.protocol,
            };
            (question, answer.until)
        });
        answers.collect()
    };
    let pods = stored.pods.into_iter();
    Ok(pods.map(|(pod, of)| (pod, answers(of))).collect())
}

/// Writes the file anew, in a folder of its own.
pub fn write(file: &Path, known: &BTreeMap<String, OfPod>) -> io::Result<()> {
    let answers = |answers: &OfPod| -> Vec<Answer> {
        let answers = answers.iter().map(|(question, until)| Answer {
            name: question.name.clone(),
            server: question.server,
            port: question.port,
            protocol: question.protocol,
            until: until.clone(),
        });
        answers.collect()
    };
    let pods = known.iter().map(|(pod, of)| (pod.clone(), answers(of)));
    let bytes = serde_json::to_vec(&Stored {
        pods: pods.collect(),
    })?;
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let partial = file.with_extension("partial");
    // One that was left half written may have another mode.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut open = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    open.write_all(&bytes)?;
    fs::rename(&partial, file)
}

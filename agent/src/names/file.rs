//! The file of names, which is for root alone: it says who talks to whom.

use std::{
    collections::BTreeMap, fs, io, net::IpAddr, os::unix::fs::PermissionsExt as _, path::Path,
};

use serde::{Deserialize, Serialize};
use weir_policy::model::{PodName, Protocol};

use super::{OfPod, Question, Until};
use crate::stored;

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    pods: BTreeMap<PodName, Vec<Answer>>,
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

/// What the file says; nothing where there is none, or something else in it.
pub fn read(file: &Path) -> io::Result<BTreeMap<PodName, OfPod>> {
    let stored: Stored = stored::load(file)?;
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
pub fn write(file: &Path, known: &BTreeMap<PodName, OfPod>) -> io::Result<()> {
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
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let pods = known.iter().map(|(pod, of)| (pod.clone(), answers(of)));
    let pods = pods.collect();
    stored::store(file, &Stored { pods });
    Ok(())
}

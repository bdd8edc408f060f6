//! The one client of the agent's control socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{
    LONGEST,
    question::{Asks, Question, Refused},
};

/// Between two looks for an agent that is away.
const AGAIN: Duration = Duration::from_millis(100);

/// Asks an agent. Every question has a connection of its own: the agent may be another one by then.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
    answer_within: Duration,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers at {}: {source}", socket.display())]
    Away {
        /// The agent's socket.
        socket: PathBuf,
        /// What connecting to it said.
        source: io::Error,
    },
    /// Somebody listens, and says nothing, or ends first.
    #[error("the agent at {} does not answer: {source}", socket.display())]
    Silent {
        /// The agent's socket.
        socket: PathBuf,
        /// What the connection said.
        source: io::Error,
    },
    /// The agent refuses.
    #[error("{reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
    },
    /// An answer that is none: an agent of another version.
    #[error("the agent at {} answers what is not understood: {source}", socket.display())]
    Unknown {
        /// The agent's socket.
        socket: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

// === impl Client ===

impl Client {
    /// A client of the agent that listens at a path. It waits for no agent that is away, and 20 s for
    /// an answer.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            patience: Duration::ZERO,
            answer_within: Duration::from_secs(20),
        }
    }

    /// The same, which waits so long for an agent that is away.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same, which waits so long for an answer.
    #[must_use]
    pub fn answer_within(self, answer_within: Duration) -> Self {
        Self {
            answer_within,
            ..self
        }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ask<Q: Asks>(&self, question: Q) -> Result<Q::Answer, ClientError> {
        self.ask_over(self.connect()?, question)
    }

    /// The same, over a connection that is there.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ask_over<Q: Asks>(
        &self,
        stream: UnixStream,
        question: Q,
    ) -> Result<Q::Answer, ClientError> {
        let line =
            self.exchange(stream, &question.into())
                .map_err(|source| ClientError::Silent {
                    socket: self.socket.clone(),
                    source,
                })?;
        if let Ok(Refused {
            error: Some(reason),
        }) = serde_json::from_str(&line)
        {
            return Err(ClientError::Refused { reason });
        }
        serde_json::from_str(&line).map_err(|source| ClientError::Unknown {
            socket: self.socket.clone(),
            source,
        })
    }

    fn connect(&self) -> Result<UnixStream, ClientError> {
        let until = Instant::now() + self.patience;
        loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => return Ok(stream),
                Err(source) if Instant::now() >= until => {
                    return Err(ClientError::Away {
                        socket: self.socket.clone(),
                        source,
                    });
                }
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    fn exchange(&self, mut stream: UnixStream, question: &Question) -> io::Result<String> {
        stream.set_read_timeout(Some(self.answer_within))?;
        stream.set_write_timeout(Some(self.answer_within))?;
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut answer)?;
        match answer.ends_with('\n') {
            true => Ok(answer),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use weir_policy::model::PodName;

    use super::*;
    use crate::tools::{
        answer::{InForce, Well},
        question::{Attach, Attachment, Detach, reply},
    };

    /// An agent that answers one line with one line.
    fn answering(socket: &Path, answer: &'static str) -> thread::JoinHandle<String> {
        let listener = UnixListener::bind(socket).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            (&stream).write_all(answer.as_bytes()).unwrap();
            asked
        })
    }

    fn detach() -> Detach {
        Detach {
            container: "c1".into(),
        }
    }

    #[test]
    fn questions_and_answers_are_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let agent = answering(&socket, "{\"ok\":true}\n");
        assert_eq!(Client::new(&socket).ask(detach()).unwrap(), Well {});
        let asked = agent.join().unwrap();
        assert_eq!(asked, "{\"command\":\"detach\",\"container\":\"c1\"}\n");

        let attachment = Attachment {
            container: "c1".into(),
            pod: PodName::new("default", "web"),
            uid: String::new(),
            interface: "veth1".into(),
            netns: "/run/netns/a".into(),
            addresses: vec!["::ffff:10.0.0.1".parse().unwrap()],
        };
        let asked = serde_json::to_string(&Question::from(Attach(attachment))).unwrap();
        let Question::Attach(Attach(read)) = serde_json::from_str(&asked).unwrap() else {
            panic!("{asked}");
        };
        assert_eq!(
            read.addresses,
            ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
        let answer = reply(&Ok(InForce { revision: 7 }));
        assert_eq!(answer, "{\"ok\":true,\"revision\":7}\n");
    }

    #[test]
    fn each_way_to_get_no_answer_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let ask = || Client::new(&socket).ask(detach()).unwrap_err();
        assert!(matches!(ask(), ClientError::Away { .. }));
        let with = |answer| {
            let agent = answering(&socket, answer);
            let error = ask();
            agent.join().unwrap();
            std::fs::remove_file(&socket).unwrap();
            error
        };
        assert!(matches!(with(""), ClientError::Silent { .. }));
        assert!(matches!(with("{\"ok\":tr"), ClientError::Silent { .. }));
        assert!(matches!(with("hello\n"), ClientError::Unknown { .. }));
        let refused = with("{\"ok\":false,\"error\":\"not now\"}\n");
        assert_eq!(refused.to_string(), "not now");
        assert_eq!(
            reply::<Well>(&Err("not now".into())),
            "{\"error\":\"not now\",\"ok\":false}\n"
        );
    }
}

//! The agent's control socket: see [`weir_link::tools`].

use std::{io, marker::PhantomData, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use weir_gate::{Gate, Peer, descriptors::Share};
use weir_link::tools::{Asks, Question, Well, reply};

use crate::tracking::Tracking;

/// A longer request is refused.
const LONGEST: u64 = 1 << 20;
/// Who says nothing for so long, or does not read its answer, is let go. An answer may take longer.
const IDLE: Duration = Duration::from_secs(60);

/// What the agent's own parts and its tools ask of it.
#[derive(Debug)]
pub enum Call {
    /// A tool's question, with the way back for the line that answers it.
    Tool(Question, oneshot::Sender<String>),
    /// Whether the agent works on its requests, for probes.
    Alive(oneshot::Sender<()>),
    /// Bring the metrics up to date.
    Metrics(oneshot::Sender<()>),
}

/// The way back to who asked, for an answer of the question's type.
#[derive(Debug)]
pub struct Back<Q>(oneshot::Sender<String>, PhantomData<fn(Q)>);

// === impl Back ===

impl<Q: Asks> Back<Q> {
    /// For a question, which says what its answer is.
    pub fn of(_: &Q, sender: oneshot::Sender<String>) -> Self {
        Self(sender, PhantomData)
    }

    /// Answers.
    pub fn answer(self, answer: Result<Q::Answer, String>) {
        // Who asked may have gone.
        self.0.send(reply(&answer)).ok();
    }

    /// Nobody waits for the answer any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Listens for questions.
pub fn listen(path: &Path, requests: mpsc::Sender<Call>, tracking: Tracking) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context(format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let gate = Gate::of(Share::Control);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Only root can connect: users need no shares.
                    let Ok(pass) = gate.enter(Peer::Anybody) else {
                        continue;
                    };
                    let (requests, tracking) = (requests.clone(), tracking.clone());
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, requests, &tracking).await {
                            tracing::debug!(%error, "control connection");
                        }
                        drop(pass);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn serve(
    stream: UnixStream,
    requests: mpsc::Sender<Call>,
    tracking: &Tracking,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let asked = timeout(IDLE, (&mut reader).take(LONGEST).read_line(&mut line)).await??;
        if asked == 0 {
            return Ok(());
        }
        let refused = |reason: String| reply::<Well>(&Err(reason));
        let answer = match serde_json::from_str(&line) {
            Ok(question) => {
                if matches!(question, Question::Status(_)) {
                    tracking.fresh().await;
                }
                let (sender, receiver) = oneshot::channel();
                let sent = requests.send(Call::Tool(question, sender)).await.is_ok();
                match receiver.await {
                    Ok(answer) if sent => answer,
                    _ => refused("the agent is stopping".to_owned()),
                }
            }
            Err(error) => refused(format!("not a request: {error}")),
        };
        timeout(IDLE, writer.write_all(answer.as_bytes())).await??;
    }
}

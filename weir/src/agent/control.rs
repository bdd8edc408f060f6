//! The agent's control socket: one line of JSON asked, one answered.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};
use weir_cluster::kubernetes::Attachment;
use weir_gate::{Gate, Peer, descriptors::Share};
use weir_policy::{explain::Explainer, verdict::Flow};

use super::{Agent, status::status};

/// A longer request is refused.
const LONGEST: u64 = 1 << 20;
/// Who says nothing for so long, or does not read its answer, is let go. An answer may take longer.
const IDLE: Duration = Duration::from_secs(60);

/// What can be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Command {
    /// Read the objects now; the answer comes when they are in force.
    Sync,
    /// What is in force.
    Status,
    /// Bring the metrics up to date.
    Metrics,
    /// Whether requests are answered, and what failed last.
    Alive,
    /// Pods of this node, with what is in force for them.
    Endpoints,
    /// Policies, with what is refused of them.
    Policies,
    /// A pod's interface, from the CNI plugin; the answer comes when its policy is in force.
    Attach(Attachment),
    /// A container's interface is going away.
    Detach {
        /// The container runtime's id.
        container: String,
    },
    /// Whether a container's policy is in force.
    Attached {
        /// The container runtime's id.
        container: String,
    },
    /// The containers that there are; others are forgotten.
    Keep {
        /// Ids of the container runtime.
        containers: Vec<String>,
    },
    /// The verdict on a flow, and why.
    Explain(Flow),
}

/// A question with the way back.
pub type Request = (Command, oneshot::Sender<Value>);

/// Listens for questions.
pub fn listen(path: &Path, requests: mpsc::Sender<Request>) -> Result<()> {
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
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, requests).await {
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

async fn serve(stream: UnixStream, requests: mpsc::Sender<Request>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let asked = timeout(IDLE, (&mut reader).take(LONGEST).read_line(&mut line)).await??;
        if asked == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(command) => {
                let (sender, receiver) = oneshot::channel();
                let sent = requests.send((command, sender)).await.is_ok();
                match receiver.await {
                    Ok(answer) if sent => answer,
                    _ => failure("the agent is stopping"),
                }
            }
            Err(error) => failure(&format!("not a request: {error}")),
        };
        let answer = format!("{answer}\n");
        timeout(IDLE, writer.write_all(answer.as_bytes())).await??;
    }
}

fn failure(reason: &str) -> Value {
    json!({"ok": false, "error": reason})
}

impl Agent {
    pub(super) async fn answer(&mut self, (command, back): Request) {
        let answer = match command {
            Command::Sync => {
                self.reconcile().await;
                let revision = self.state.snapshot.revision;
                let proxy = self
                    .proxy
                    .wait_for(revision, &mut self.link, &mut self.redirector)
                    .await;
                match &self.state.failure {
                    Some(reason) => failure(reason),
                    None => json!({
                        "ok": true,
                        "revision": revision,
                        "endpoints": self.state.places.len(),
                        "problems": super::status::problems(&self.state.problems),
                        "unmanaged": super::status::unmanaged(&self.state.unmanaged),
                        "proxy": proxy,
                    }),
                }
            }
            Command::Status => status(self),
            Command::Alive => json!({"ok": true, "failure": self.state.failure}),
            Command::Endpoints => super::status::endpoints(self),
            Command::Policies => super::status::policies(self),
            Command::Attach(attachment) => return self.attach(attachment, back).await,
            Command::Detach { container } => self.detach(&container).await,
            Command::Attached { container } => self.check_attachment(&container),
            Command::Keep { containers } => self.keep_attachments(&containers).await,
            Command::Metrics => {
                self.refresh_metrics();
                json!({"ok": true})
            }
            Command::Explain(flow) => match Explainer::new(&self.state.world).explain(&flow) {
                Ok(explanation) => json!(explanation),
                Err(error) => failure(&error.to_string()),
            },
        };
        // Who asked may have gone.
        back.send(answer).ok();
    }
}

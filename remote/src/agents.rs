//! Questions put to the agents of a cluster: `weir` is run in the container of each.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::JoinSet,
};
use weir_link::tools::LONGEST;

use crate::{Remote, Words, name, node, ready};

/// An agent that has not answered after this is silent: longer than its own command waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Agents that are asked at once.
const AT_ONCE: usize = 16;

/// What the agent of a node answers.
#[derive(Debug, Serialize)]
pub struct Answered<A> {
    /// Its node.
    pub node: String,
    /// The answer.
    #[serde(flatten)]
    pub answer: A,
}

/// A node whose agent does not answer.
#[derive(Debug, Serialize)]
pub struct Silent {
    /// The node; the pod where it has none yet.
    pub node: String,
    /// Why.
    pub error: String,
}

/// What the agents of a cluster answer, by node.
#[derive(Debug, Serialize)]
pub struct Answers<A> {
    /// Those that do.
    pub nodes: Vec<Answered<A>>,
    /// Those that do not.
    pub silent: Vec<Silent>,
}

impl Remote {
    /// What every agent answers.
    ///
    /// # Errors
    /// No agent is found. One that does not answer is no error.
    pub async fn ask_all<Q: Words>(&self, question: &Q) -> Result<Answers<Q::Answer>> {
        let mut answers = Answers {
            nodes: Vec::new(),
            silent: Vec::new(),
        };
        let mut asking = JoinSet::new();
        let mut waiting = self.agents().await?.into_iter();
        loop {
            while asking.len() < AT_ONCE
                && let Some(pod) = waiting.next()
            {
                let (api, words) = (self.pods(), question.words());
                asking.spawn(async move {
                    let said = said(&api, &pod, words).await;
                    (place(&pod), said)
                });
            }
            let Some(done) = asking.join_next().await else {
                break;
            };
            let (node, said) = done?;
            match said.and_then(|text| answer::<Q>(&text)) {
                Ok(answer) => answers.nodes.push(Answered { node, answer }),
                Err(error) => answers.silent.push(Silent {
                    node,
                    error: format!("{error:#}"),
                }),
            }
        }
        answers.nodes.sort_by(|a, b| a.node.cmp(&b.node));
        answers.silent.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(answers)
    }

    /// What one agent answers, where all would say the same.
    ///
    /// # Errors
    /// What the last one said, where none answers.
    pub async fn ask_one<Q: Words>(&self, question: &Q) -> Result<Q::Answer> {
        let mut failed = anyhow!("no agent");
        let mut pods = self.agents().await?;
        pods.sort_by_key(|pod| !ready(pod));
        for pod in pods {
            match said(&self.pods(), &pod, question.words()).await {
                Ok(text) => return answer::<Q>(&text),
                Err(error) => failed = error.context(format!("node {}", place(&pod))),
            }
        }
        Err(failed)
    }
}

/// How a pod is called to people: by its node.
fn place(pod: &Pod) -> String {
    match node(pod) {
        "" => format!("pod {}", name(pod)),
        node => node.to_owned(),
    }
}

fn answer<Q: Words>(text: &[u8]) -> Result<Q::Answer> {
    serde_json::from_slice(text).context("it answers what is not understood: another version?")
}

/// What `weir` says in an agent's container: JSON, also where its exit status is a failure.
async fn said(api: &Api<Pod>, pod: &Pod, words: Vec<String>) -> Result<Vec<u8>> {
    if node(pod).is_empty() {
        return Err(anyhow!("it is on no node yet"));
    }
    let words: Vec<String> = std::iter::once("/weir".to_owned()).chain(words).collect();
    let running = run(api, name(pod), words);
    let (out, err) = tokio::time::timeout(PATIENCE, running)
        .await
        .with_context(|| format!("no answer within {PATIENCE:?}"))??;
    match out.starts_with(b"{") {
        true => Ok(out),
        false => {
            let text = String::from_utf8_lossy(&err);
            let text = text.trim();
            Err(anyhow!("{}", text.strip_prefix("weir: ").unwrap_or(text)))
        }
    }
}

/// What a command in a container writes to its standard output, and where errors go.
async fn run(api: &Api<Pod>, pod: &str, words: Vec<String>) -> Result<(Vec<u8>, Vec<u8>)> {
    let params = AttachParams::default().container("agent").stderr(true);
    let mut process = api
        .exec(pod, words, &params)
        .await
        .with_context(|| format!("cannot run weir in pod {pod}"))?;
    let status = process.take_status().context("no status")?;
    let out = process.stdout().context("no standard output")?;
    let err = process.stderr().context("no standard error")?;
    let (out, mut err) = tokio::try_join!(whole(out), whole(err))?;
    // What the container could not even start is told by the status alone.
    if out.is_empty()
        && err.is_empty()
        && let Some(status) = status.await
    {
        err = status.message.unwrap_or_default().into_bytes();
    }
    Ok((out, err))
}

async fn whole(stream: impl AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    stream.take(LONGEST).read_to_end(&mut text).await?;
    Ok(text)
}

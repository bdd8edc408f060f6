//! Where flows come from: one observer, several at once, or a file.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use weir_observe::{
    api::observer::{
        GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
        observer_client::ObserverClient,
    },
    filter::Filters,
    json,
    relay::{Address, Peers, Relay, Timing},
    service::nanoseconds,
};

use crate::bounded::Lines;

/// Where flows come from.
pub enum Source {
    /// One observer, with what it is called in errors.
    Server(String, Box<Endpoint>),
    /// The observers behind several sockets.
    Sockets(Vec<PathBuf>),
    /// A record; `-` is standard input.
    File(PathBuf),
}

impl Source {
    /// One observer.
    pub fn server(address: &str, tls: Option<ClientTlsConfig>) -> Result<Self> {
        let scheme = match (address.contains("://"), tls.is_some()) {
            (true, _) => "",
            (false, true) => "https://",
            (false, false) => "http://",
        };
        // Hubble's own way to ask for TLS.
        let uri = format!("{scheme}{address}").replacen("tls://", "https://", 1);
        let mut endpoint =
            Endpoint::from_shared(uri).with_context(|| format!("{address:?} is no address"))?;
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).context("the certificates")?;
        }
        Ok(Self::Server(address.to_owned(), Box::new(endpoint)))
    }

    /// The observers behind these sockets.
    pub fn sockets(mut paths: Vec<PathBuf>) -> Result<Self> {
        match (paths.pop(), paths.is_empty()) {
            (None, _) => bail!("nobody to ask"),
            (Some(path), true) => {
                let (name, endpoint) = socket(path)?;
                Ok(Self::Server(name, Box::new(endpoint)))
            }
            (Some(path), false) => {
                paths.push(path);
                Ok(Self::Sockets(paths))
            }
        }
    }

    /// The observers, each with what it is called in errors; a record has none.
    pub fn observers(self) -> Result<Vec<(String, Endpoint)>> {
        match self {
            Self::File(_) => Ok(Vec::new()),
            Self::Server(name, endpoint) => Ok(vec![(name, *endpoint)]),
            Self::Sockets(paths) => paths.into_iter().map(socket).collect(),
        }
    }

    /// Gives every answer to `show`, until it wants no more.
    pub fn read(
        self,
        request: GetFlowsRequest,
        mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
    ) -> Result<()> {
        match self {
            Self::File(path) => {
                for answer in recorded(&path, &request)? {
                    if !show(answer)? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Server(name, endpoint) => {
                runtime()?.block_on(ask((name, *endpoint), request, show))
            }
            Self::Sockets(paths) => runtime()?.block_on(ask_all(paths, request, show)),
        }
    }
}

/// The observer behind a socket, by its path.
fn socket(path: PathBuf) -> Result<(String, Endpoint)> {
    let name = path.display().to_string();
    let endpoint = Endpoint::from_shared(format!("unix://{name}"));
    let endpoint = endpoint.with_context(|| name.clone())?;
    Ok((name, endpoint))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// The largest answer that is taken, in bytes.
const LARGEST: usize = 16 << 20;

/// What an observer answers.
async fn ask(
    (name, endpoint): (String, Endpoint),
    request: GetFlowsRequest,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let channel: Channel = endpoint.connect().await.with_context(|| {
        format!("no observer answers at {name}: is `weir agent` running, and are you root?")
    })?;
    let mut client = ObserverClient::new(channel).max_decoding_message_size(LARGEST);
    let said = |status: tonic::Status| anyhow!("{name}: {}", status.message());
    let mut stream = client.get_flows(request).await.map_err(said)?.into_inner();
    while let Some(answer) = stream.message().await.map_err(said)? {
        if !show(answer)? {
            break;
        }
    }
    Ok(())
}

/// What several observers answer, as a relay puts it together.
async fn ask_all(
    paths: Vec<PathBuf>,
    request: GetFlowsRequest,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let peers = Arc::new(Peers::new(None, Timing::default()));
    peers.set(&paths.into_iter().map(Address::Socket).collect());
    let relay = Relay::new(peers);
    let mut answers = relay
        .flows(request)
        .map_err(|status| anyhow!("{}", status.message()))?;
    while let Some(answer) = answers.recv().await {
        if !show(answer.map_err(|status| anyhow!("{}", status.message()))?)? {
            break;
        }
    }
    Ok(())
}

/// What a server would answer, from a record.
pub fn recorded(path: &Path, request: &GetFlowsRequest) -> Result<Vec<GetFlowsResponse>> {
    let filters = Filters::new(&request.whitelist, &request.blacklist)?;
    let mut lines = Lines::open(path)?.kept();
    let since = request.since.as_ref().map(nanoseconds);
    let until = request.until.as_ref().map(nanoseconds);
    let mut found = VecDeque::new();
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    while let Some((line, place)) = lines.read()? {
        if line.trim().is_empty() {
            continue;
        }
        let answer = json::read_line(&line).with_context(|| place)?;
        if let Some(ResponseTypes::Flow(flow)) = &answer.response_types {
            let time = flow.time.as_ref().map_or(0, nanoseconds);
            if since.is_some_and(|since| time < since)
                || until.is_some_and(|until| time > until)
                || !filters.pass(flow)
            {
                continue;
            }
        }
        found.push_back(answer);
        if number > 0 && found.len() > number {
            match request.first {
                true => found.pop_back(),
                false => found.pop_front(),
            };
        }
    }
    Ok(found.into())
}

//! Where flows come from: one observer, several at once, or a file.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use weir_observe::{
    api::observer::{
        GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
        observer_client::ObserverClient,
    },
    filter::Filters,
    json,
    service::nanoseconds,
};

/// Where flows come from.
pub enum Source {
    /// Observers, with what they are called in errors.
    Servers(Vec<(String, Endpoint)>),
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
        Ok(Self::Servers(vec![(address.to_owned(), endpoint)]))
    }

    /// The observers behind these sockets.
    pub fn sockets(paths: Vec<PathBuf>) -> Self {
        let endpoint = |path: PathBuf| {
            let uri = format!("unix://{}", path.display());
            let endpoint = Endpoint::from_shared(uri).ok()?;
            Some((path.display().to_string(), endpoint))
        };
        Self::Servers(paths.into_iter().filter_map(endpoint).collect())
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
            Self::Servers(servers) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(live(servers, request, show))
            }
        }
    }
}

async fn live(
    servers: Vec<(String, Endpoint)>,
    request: GetFlowsRequest,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let mut streams = Vec::new();
    for (name, endpoint) in &servers {
        let channel: Channel = endpoint.connect().await.with_context(|| {
            format!("no observer answers at {name}: is `weir agent` running, and are you root?")
        })?;
        let mut client = ObserverClient::new(channel).max_decoding_message_size(16 << 20);
        let answered = client.get_flows(request.clone()).await;
        streams.push(
            answered
                .map_err(|status| anyhow!("{name}: {}", status.message()))?
                .into_inner(),
        );
    }
    // One answer of each is held, so that the oldest goes first.
    let mut held: Vec<Option<GetFlowsResponse>> = vec![None; streams.len()];
    let mut open = vec![true; streams.len()];
    if request.follow && streams.len() > 1 {
        return follow(streams, show).await;
    }
    let mut all = VecDeque::new();
    loop {
        for (index, stream) in streams.iter_mut().enumerate() {
            if open[index] && held[index].is_none() {
                held[index] = stream
                    .message()
                    .await
                    .map_err(|s| anyhow!("{}", s.message()))?;
                open[index] = held[index].is_some();
            }
        }
        let time = |answer: &Option<GetFlowsResponse>| {
            let answer = answer.as_ref()?;
            Some(answer.time.as_ref().map_or(0, nanoseconds))
        };
        let oldest = (0..held.len())
            .filter_map(|index| Some((time(&held[index])?, index)))
            .min();
        let Some((_, index)) = oldest else { break };
        let Some(answer) = held[index].take() else {
            break;
        };
        // Each observer gave so many: together they are too many.
        if servers.len() > 1 && request.number > 0 {
            all.push_back(answer);
        } else if !show(answer)? {
            return Ok(());
        }
    }
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    let skip = match request.first {
        true => 0,
        false => all.len().saturating_sub(number),
    };
    for answer in all.into_iter().skip(skip).take(number) {
        if !show(answer)? {
            break;
        }
    }
    Ok(())
}

/// Shows what comes from any of them as it comes.
async fn follow(
    streams: Vec<tonic::Streaming<GetFlowsResponse>>,
    mut show: impl FnMut(GetFlowsResponse) -> io::Result<bool>,
) -> Result<()> {
    let (sender, mut answers) = tokio::sync::mpsc::channel(64);
    for mut stream in streams {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(answer) = stream.message().await.transpose() {
                if sender.send(answer).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
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
    let reader: Box<dyn BufRead> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            Box::new(BufReader::new(file))
        }
    };
    let since = request.since.as_ref().map(nanoseconds);
    let until = request.until.as_ref().map(nanoseconds);
    let mut found = VecDeque::new();
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    for (line, index) in reader.lines().zip(1..) {
        let line = line.with_context(|| path.display().to_string())?;
        if line.trim().is_empty() {
            continue;
        }
        let answer =
            json::read_line(&line).with_context(|| format!("{}, line {index}", path.display()))?;
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

//! A connection to an observer.

use std::{error::Error as _, time::Duration};

use tonic::transport::{Channel, Endpoint};

use super::{Address, ClientTls};
use crate::api::observer::observer_client::ObserverClient;

/// A client of one observer.
pub type Client = ObserverClient<Channel>;

/// The largest answer that is taken, in bytes.
const LARGEST: usize = 16 << 20;

/// Connects to an observer for one request. Certificates are for those on the network.
///
/// # Errors
/// What has failed, with the causes behind it.
pub async fn client(address: &Address, tls: Option<&ClientTls>) -> Result<Client, String> {
    connect(address, endpoint(address, tls)?).await
}

/// The same for many requests: a connection that hangs is noticed by such looks, and within `answer`.
pub(super) async fn watched(
    address: &Address,
    tls: Option<&ClientTls>,
    (look, answer): (Duration, Duration),
) -> Result<Client, String> {
    let endpoint = endpoint(address, tls)?
        .http2_keep_alive_interval(look)
        .keep_alive_timeout(answer);
    connect(address, endpoint).await
}

fn endpoint(address: &Address, tls: Option<&ClientTls>) -> Result<Endpoint, String> {
    let uri = match (address, tls) {
        (Address::Socket(_), _) => address.to_string(),
        (Address::Forwarded(_), _) => "http://forwarded".to_owned(),
        (Address::Tcp(..), None) => format!("http://{address}"),
        (Address::Tcp(..), Some(_)) => format!("https://{address}"),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|error| causes(&error))?;
    match (address, tls) {
        (Address::Tcp(..), Some(tls)) => endpoint
            .tls_config(tls.config()?)
            .map_err(|error| causes(&error)),
        _ => Ok(endpoint),
    }
}

async fn connect(address: &Address, endpoint: Endpoint) -> Result<Client, String> {
    let channel = match address {
        Address::Forwarded(forwarded) => forwarded.connect(endpoint).await,
        Address::Socket(_) | Address::Tcp(..) => endpoint.connect().await,
    };
    let channel = channel.map_err(|error| causes(&error))?;
    Ok(Client::new(channel).max_decoding_message_size(LARGEST))
}

/// Why a request has failed: of a connection that broke, with what broke it.
pub fn reason(status: &tonic::Status) -> String {
    match status.source().map(causes) {
        Some(text) if text.starts_with(status.message()) => text,
        Some(text) => format!("{}: {text}", status.message()),
        None => status.message().to_owned(),
    }
}

/// An error with what is behind it: the outer one says "transport error" alone.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

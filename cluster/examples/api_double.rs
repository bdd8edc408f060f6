//! The API server of the tests as a program of its own, for what cannot link it: containers, and
//! scripts that look at what they ask. It serves HTTPS, takes two tokens, holds the second one to a
//! role, and ends with SIGTERM. `kubectl` with the first token puts the objects in.
//!
//! `GET /double/asked` tells which of the role's verbs were used, and what was refused.

use std::{fs, net::SocketAddr, process::ExitCode};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use weir_cluster::testing::{Access, ApiServer};

const USAGE: &str =
    "usage: api_double ADDRESS CERT KEY ROLE.json ADMIN-TOKEN TOKEN [no-streaming-lists]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api_double: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, cert, key, role, admin, token, rest @ ..] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let address: SocketAddr = address.parse()?;
    let role: Value = serde_json::from_slice(&fs::read(role)?)?;
    let access = Access {
        admin: admin.clone(),
        token: token.clone(),
        rules: serde_json::from_value(role["rules"].clone())?,
        used: Default::default(),
        refused: Default::default(),
    };
    let server = ApiServer::secure(address, cert.as_ref(), key.as_ref(), access).await?;
    server.faults(|faults| {
        faults.no_streaming_lists = rest.iter().any(|word| word == "no-streaming-lists");
    });
    println!("serving {}", server.url());
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

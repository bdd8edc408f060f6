//! The three-tier lab's backend: rows that it reads through its database.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hyper::StatusCode;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::Options;
use super::http::{Answer, Asked, json as json_answer};

const PATIENCE: Duration = Duration::from_secs(3);

/// Where the container's environment says that the database is.
pub struct Database(Option<(String, u16)>);

// === impl Database ===

impl Database {
    pub fn of(options: &Options) -> Self {
        let port = options.env.get("MYSQL_SERVICE_PORT");
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(3306);
        let host = options.env.get("MYSQL_SERVICE_HOST").cloned();
        Self(host.map(|host| (host, port)))
    }

    /// A database that greets is one that could be asked.
    async fn greets(&self) -> Result<()> {
        let Some((host, port)) = &self.0 else {
            return Ok(());
        };
        let greeting = async {
            let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
            let mut header = [0; 5];
            stream.read_exact(&mut header).await?;
            if header[4] != 10 {
                bail!("this is not MySQL's protocol 10");
            }
            Ok(())
        };
        let place = || format!("database {host}:{port}");
        match tokio::time::timeout(PATIENCE, greeting).await {
            Ok(greeted) => greeted.with_context(place),
            Err(_) => bail!("{}: no answer in {PATIENCE:?}", place()),
        }
    }
}

pub async fn answer(asked: &Asked, database: &Database) -> Answer {
    if asked.path() == "/health" {
        return json_answer(StatusCode::OK, &json!({ "status": "ok" }));
    }
    if asked.path() != "/blogs" {
        return json_answer(StatusCode::NOT_FOUND, &json!({ "error": "Not Found" }));
    }
    match database.greets().await {
        Ok(()) => json_answer(
            StatusCode::OK,
            &json!([
                ["K8s is fun", "K8s allows to orchestrate application"],
                [
                    "Network Policy",
                    "it provides network security using selector/label"
                ],
            ]),
        ),
        Err(error) => json_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "error": format!("{error:#}") }),
        ),
    }
}

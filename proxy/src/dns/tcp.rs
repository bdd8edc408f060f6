//! DNS over TCP (RFC 7766): messages with their length before them, one after the other.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{message, query};
use crate::{context::Context, flow::FlowKey, permit::Permit};

/// How long a client may be silent, and a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one connection to its end. Whatever is no query ends it.
pub async fn serve(context: &Context, client: TcpStream, key: FlowKey) {
    if let Err(error) = queries(context, client, &key).await {
        tracing::debug!(%error, "DNS connection ended");
    }
}

async fn queries(context: &Context, mut client: TcpStream, key: &FlowKey) -> io::Result<()> {
    let mut server: Option<TcpStream> = None;
    while let Some(bytes) = read(&mut client).await? {
        let Some(question) = message::question(&bytes) else {
            context.counters.queries_malformed.add();
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut judged = query::judge(context, key, &question);
        let Some(permit) = judged.permit.take() else {
            judged.denied(context);
            write(&mut client, &question.denied(context.limits.denied_query)).await?;
            continue;
        };
        match ask(context, &permit, &mut server, &question, &bytes).await {
            Ok((bytes, answer)) => {
                judged.answered(context, answer);
                write(&mut client, &bytes).await?;
            }
            Err(error) => {
                server = None;
                judged.failed(context, format!("the DNS server: {error}"));
                write(&mut client, &question.unanswered()).await?;
            }
        }
    }
    Ok(())
}

async fn ask(
    context: &Context,
    permit: &Permit,
    server: &mut Option<TcpStream>,
    question: &message::Question,
    bytes: &[u8],
) -> io::Result<(Vec<u8>, message::Answer)> {
    let server = match server {
        Some(server) => server,
        None => {
            let limit = context.limits.connect_timeout;
            let connected = context.datapath.connect(permit, limit).await;
            let stream = connected.map_err(io::Error::other)?.stream;
            if !context.policy.is_of(permit) {
                return Err(io::Error::other(
                    "policies changed before the server answered",
                ));
            }
            server.insert(stream)
        }
    };
    write(server, bytes).await?;
    let answer = read(server).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match query::told(context, permit.key(), question, &answer).await {
        Some(said) => Ok((answer, said)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The next message; `None` at the end.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let message = async {
        let mut length = [0; 2];
        match stream.read_exact(&mut length).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes).await?;
        Ok(Some(bytes))
    };
    timeout(PATIENCE, message).await.unwrap_or(Ok(None))
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    stream.write_all(&frame).await
}

//! The cluster's DNS: names of services from a file that the lab rewrites, over UDP and TCP.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use hickory_proto::op::{Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{Options, listen};
use crate::play::zone::Zone;

/// As short as CoreDNS keeps cluster names.
const TTL: u32 = 5;

/// The zone, read again when its file changes.
struct Hosts {
    path: PathBuf,
    read: Mutex<(Option<SystemTime>, Zone)>,
}

pub async fn serve(options: Rc<Options>) -> Result<()> {
    let names = Rc::new(Hosts {
        path: options.zone.clone(),
        read: Mutex::default(),
    });
    for port in &options.tcp {
        let listener = listen::tcp(*port)?;
        tokio::task::spawn_local(serve_tcp(listener, names.clone()));
    }
    let port = options.udp.first().copied().unwrap_or(53);
    serve_udp(listen::udp(port)?, &names).await
}

async fn serve_udp(socket: UdpSocket, names: &Hosts) -> Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.context("UDP receive")?;
        let Some(reply) = names.reply(&buffer[..length]) else {
            continue; // what is no query gets no answer
        };
        if let Err(error) = socket.send_to(&reply, peer).await {
            eprintln!("cannot answer {peer}: {error}");
        }
    }
}

async fn serve_tcp(listener: TcpListener, names: Rc<Hosts>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let names = names.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = converse(stream, &names).await {
                        eprintln!("{client}: {error}");
                    }
                });
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

/// Queries over TCP carry their length before them.
async fn converse(mut stream: TcpStream, names: &Hosts) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        match stream.read_exact(&mut length).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).await?;
        let Some(reply) = names.reply(&query) else {
            return Ok(());
        };
        let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
        framed.extend(reply);
        stream.write_all(&framed).await?;
    }
}

// === impl Hosts ===

impl Hosts {
    fn reply(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.metadata = Metadata::response_from_request(&query.metadata);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = true;
        reply.add_queries(query.queries.clone());
        let asked = match query.queries.first() {
            Some(asked) if query.metadata.op_code == OpCode::Query => asked,
            _ => {
                reply.metadata.response_code = ResponseCode::NotImp;
                return reply.to_vec().ok();
            }
        };
        let (alias, found) = self.find(asked.name());
        let owner = alias.as_ref().unwrap_or(asked.name());
        if let Some(alias) = &alias {
            let data = RData::CNAME(CNAME(alias.clone()));
            reply.add_answer(Record::from_rdata(asked.name().clone(), TTL, data));
        }
        match found {
            Some(addresses) => {
                for address in addresses {
                    let data = match address {
                        IpAddr::V4(v4) => RData::A(A(v4)),
                        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
                    };
                    let record = Record::from_rdata(owner.clone(), TTL, data);
                    if [record.record_type(), RecordType::ANY].contains(&asked.query_type()) {
                        reply.add_answer(record);
                    }
                }
            }
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        if reply.answers.is_empty() {
            reply.add_authority(authority()?);
        }
        println!(
            "{} {} -> {} ({} answers)",
            asked.query_type(),
            asked.name(),
            reply.metadata.response_code,
            reply.answers.len()
        );
        reply.to_vec().ok()
    }

    /// What a name is an alias of, and the addresses.
    fn find(&self, name: &Name) -> (Option<Name>, Option<Vec<IpAddr>>) {
        let changed = fs::metadata(&self.path).and_then(|found| found.modified());
        let mut read = self
            .read
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        if changed.as_ref().ok() != read.0.as_ref() {
            let zone = fs::read(&self.path)
                .map_err(anyhow::Error::from)
                .and_then(|text| Ok(serde_json::from_slice(&text)?));
            match zone {
                Ok(zone) => *read = (changed.ok(), zone),
                Err(error) => eprintln!("{}: {error}", self.path.display()),
            }
        }
        let zone = &read.1;
        let alias = zone.alias(&name.to_ascii());
        let end = alias.map_or_else(|| name.to_ascii(), str::to_owned);
        let alias = alias.and_then(|alias| Name::from_ascii(format!("{alias}.")).ok());
        (alias, zone.find(&end))
    }
}

/// Resolvers want to know how long a missing name stays missing.
fn authority() -> Option<Record> {
    let name = |text: &str| Name::from_ascii(text).ok();
    let soa = SOA::new(
        name("ns.dns.cluster.local.")?,
        name("hostmaster.cluster.local.")?,
        1,
        7200,
        1800,
        86400,
        TTL,
    );
    Some(Record::from_rdata(
        name("cluster.local.")?,
        TTL,
        RData::SOA(soa),
    ))
}

//! The relay's peers as Hubble's `peer.Peer` tells them: all that there are, then every change.

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{Address, Peers, peer::Peer, service::server_name};
use crate::api::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, Tls, peer_server,
};

/// Changes that wait for a client.
const WAITING: usize = 64;

/// The service.
#[derive(Debug, Clone)]
pub struct PeerService(Arc<Peers>);

impl PeerService {
    /// Tells of these.
    pub fn new(peers: Arc<Peers>) -> Self {
        Self(peers)
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    type NotifyStream = Answers;

    async fn notify(
        &self,
        _: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let (sender, answers) = mpsc::channel(WAITING);
        tokio::spawn(tell(Arc::clone(&self.0), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Until the client goes.
async fn tell(
    peers: Arc<Peers>,
    sender: mpsc::Sender<Result<ChangeNotification, Status>>,
) -> Option<()> {
    use ChangeNotificationType::{PeerAdded, PeerDeleted, PeerUpdated};
    let mut told: BTreeMap<Address, (Arc<Peer>, String)> = BTreeMap::new();
    let mut changes = peers.changes();
    let mut names = peers.names();
    loop {
        changes.mark_unchanged();
        names.mark_unchanged();
        let now: BTreeMap<Address, Arc<Peer>> = peers
            .all()
            .into_iter()
            .map(|peer| (peer.address.clone(), peer))
            .collect();
        let gone: Vec<Address> = told
            .keys()
            .filter(|address| !now.contains_key(*address))
            .cloned()
            .collect();
        for address in gone {
            if let Some((peer, name)) = told.remove(&address) {
                sender
                    .send(Ok(change(&peer, name, PeerDeleted)))
                    .await
                    .ok()?;
            }
        }
        for (address, peer) in now {
            let name = peer.name();
            let kind = match told.get(&address) {
                None => PeerAdded,
                Some((_, before)) if *before != name => PeerUpdated,
                Some(_) => continue,
            };
            sender
                .send(Ok(change(&peer, name.clone(), kind)))
                .await
                .ok()?;
            told.insert(address, (peer, name));
        }
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            changed = names.changed() => changed.ok()?,
            () = sender.closed() => return None,
        }
    }
}

fn change(peer: &Peer, name: String, kind: ChangeNotificationType) -> ChangeNotification {
    ChangeNotification {
        name,
        address: peer.address.to_string(),
        r#type: kind.into(),
        tls: peer.tls.is_some().then(|| Tls {
            server_name: server_name(peer),
        }),
    }
}

//! `peer.Peer` of one observer: it knows itself. A relay knows them all.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::api::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, Tls, peer_server,
};

/// The service.
#[derive(Debug, Clone)]
pub struct OwnPeer(ChangeNotification);

// === impl OwnPeer ===

impl OwnPeer {
    /// Tells of a node's own observer: where it answers, and whether with TLS.
    pub fn new(node: &str, address: String, tls: bool) -> Self {
        Self(ChangeNotification {
            name: node.to_owned(),
            address,
            r#type: ChangeNotificationType::PeerAdded.into(),
            tls: tls.then(|| Tls {
                server_name: node.to_owned(),
            }),
        })
    }
}

#[tonic::async_trait]
impl peer_server::Peer for OwnPeer {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        // Nothing changes, and the client waits for changes.
        let told = tokio_stream::once(Ok(self.0.clone()));
        Ok(Response::new(Box::pin(told.chain(tokio_stream::pending()))))
    }
}

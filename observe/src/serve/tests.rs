//! TCP with certificates of both sides.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::{
    Request,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::*;
use crate::{
    api::observer::{
        ServerStatusRequest, observer_client::ObserverClient, observer_server::Observer as _,
    },
    relay::{Address, ClientTls, Peers, Relay, Timing},
    ring::Ring,
    service::Observer,
};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A certificate for `localhost`, and its key.
    fn certify(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

async fn connect(address: SocketAddr, tls: ClientTlsConfig) -> Option<ObserverClient<Channel>> {
    let uri = format!("https://localhost:{}", address.port());
    let endpoint = Endpoint::from_shared(uri).expect("a URI");
    let endpoint = endpoint.tls_config(tls).expect("certificates");
    Some(ObserverClient::new(endpoint.connect().await.ok()?))
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, others) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.certify();
    let observer = Observer::new(Arc::new(Ring::new(1)), "node".into());
    let tcp_options = Tcp {
        address: ([127, 0, 0, 1], 0).into(),
        tls: Some(Tls {
            certificate: put(folder.path(), "cert", &certificate),
            key: put(folder.path(), "key", &key),
            client_ca: Some(put(folder.path(), "ca", &ours.pem())),
        }),
    };
    let address = tcp(routes(observer.clone()).await, &tcp_options)
        .await
        .expect("a server");
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ours.pem()));
    let identity = |authority: &Authority| {
        let (certificate, key) = authority.certify();
        Identity::from_pem(certificate, key)
    };
    for (tls, served) in [
        (trusting().identity(identity(&ours)), true),
        (trusting().identity(identity(&others)), false),
        (trusting(), false),
    ] {
        // Of TLS 1.3 a client learns with its first answer that it is refused.
        let answer = match connect(address, tls).await {
            Some(mut client) => client.server_status(ServerStatusRequest {}).await.is_ok(),
            None => false,
        };
        assert_eq!(answer, served);
    }
    let missing = Tcp {
        tls: Some(Tls {
            certificate: folder.path().join("nothing"),
            key: folder.path().join("nothing"),
            client_ca: None,
        }),
        ..tcp_options
    };
    let error = tcp(routes(observer).await, &missing)
        .await
        .expect_err("no certificate");
    assert!(error.to_string().contains("nothing"), "{error}");
}

/// A relay asks with its certificate, by the name that the observers' is for.
#[tokio::test]
async fn a_relay_and_its_observers_know_each_other_by_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, others) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.certify();
    let observer = Observer::new(Arc::new(Ring::new(1)), "node".into());
    let options = Tcp {
        address: ([127, 0, 0, 1], 0).into(),
        tls: Some(Tls {
            certificate: put(folder.path(), "cert", &certificate),
            key: put(folder.path(), "key", &key),
            client_ca: Some(put(folder.path(), "ca", &ours.pem())),
        }),
    };
    let address = tcp(routes(observer).await, &options)
        .await
        .expect("a server");
    let connected = async |of: &Authority, name: &str| {
        let (certificate, key) = of.certify();
        let tls = ClientTls {
            authority: folder.path().join("ca"),
            identity: Some((
                put(folder.path(), "client-cert", &certificate),
                put(folder.path(), "client-key", &key),
            )),
            server_name: Some(name.to_owned()),
        };
        let peers = Arc::new(Peers::new(Some(tls), Timing::default()));
        peers.set(&[Address::Tcp("127.0.0.1".into(), address.port())].into());
        let relay = Relay::new(peers);
        let asked = relay.server_status(Request::new(ServerStatusRequest {}));
        let status = asked.await.expect("an answer").into_inner();
        status.num_connected_nodes
    };
    assert_eq!(connected(&ours, "localhost").await, Some(1));
    assert_eq!(connected(&others, "localhost").await, Some(0), "a stranger");
    assert_eq!(
        connected(&ours, "elsewhere").await,
        Some(0),
        "another's name"
    );
}

#[tokio::test]
async fn a_connection_that_only_answers_pings_ends() {
    const LONG: Duration = Duration::from_secs(30);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hubble.sock");
    let observer = Observer::new(Arc::new(Ring::new(1)), "node".into());
    let limits = weir_gate::Limits {
        total: 2,
        per_peer: 2,
    };
    let gate = Gate::new("test", limits);
    let short = server().max_connection_age(Duration::from_millis(100));
    unix_with(routes(observer).await, &path, Arc::clone(&gate), short).expect("a socket");
    let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).expect("a URI");
    let channel = endpoint.connect().await.expect("a connection");
    let left = async {
        while gate.count().open > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, left).await.expect("it ends");
    // Who asks again is connected again.
    let mut client = ObserverClient::new(channel);
    let status = client.server_status(ServerStatusRequest {}).await;
    assert!(status.is_ok(), "{status:?}");
}

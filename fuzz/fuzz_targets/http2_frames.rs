//! Frames of a client into the HTTP/2 engine: whatever they are, the connection ends once the client has
//! said all, and nothing reaches a server that no verdict allowed.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir_link::proxy::Counters;
use weir_policy::http::{Asked, Request};
use weir_policy::l7::{Judge, NameUse, RequestFlow, RequestVerdict, Speaks};
use weir_policy::model::Direction;
use weir_proxy::context::{Context, Limits, PolicyCell};
use weir_proxy::datapath::Datapath;
use weir_proxy::dns::learn::Teller;
use weir_proxy::engine;
use weir_proxy::flow::FlowSender;

const BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Allows nothing.
struct Nothing;

impl Judge for Nothing {
    fn speaks(&self, _: RequestFlow) -> Speaks {
        Speaks {
            http: true,
            ..Speaks::default()
        }
    }

    fn judge_name(&self, _: RequestFlow, _: NameUse, _: Option<&str>) -> RequestVerdict {
        RequestVerdict::new(false, Vec::new(), "no names here")
    }

    fn asked(&self, _: RequestFlow) -> Arc<Asked> {
        Arc::default()
    }

    fn judge(&self, _: RequestFlow, request: &Request<'_>) -> RequestVerdict {
        assert!(request.host.is_some_and(|host| !host.is_empty()));
        let path = request.path.unwrap_or("/");
        assert!(path == "*" || path.starts_with('/'), "{path:?}");
        RequestVerdict::new(false, Vec::new(), "nothing is allowed")
    }
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let served = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (mut client, accepted) = (
            TcpStream::connect(address).await.expect("a connection"),
            listener.accept().await.expect("the same").0,
        );
        let (flows, _records, _wanted) = FlowSender::channel(1);
        let (_drain, draining) = watch::channel(false);
        let context = Arc::new(Context {
            policy: PolicyCell::default(),
            datapath: Datapath::Plain {
                direction: Direction::Ingress,
                endpoint: 1,
                server: address,
            },
            limits: Limits::default(),
            counters: Arc::new(Counters::default()),
            flows,
            names: Teller::channel().0,
            draining,
        });
        context.policy.set(1, Arc::new(Nothing));
        let from = client.local_addr().expect("its address");
        let engine = tokio::spawn(engine::serve(Arc::clone(&context), accepted, from));
        let said = async {
            // It may have had enough before.
            client.write_all(BEGINS).await.ok();
            client.write_all(bytes).await.ok();
            client.shutdown().await.ok();
            client.read_to_end(&mut Vec::new()).await.ok();
        };
        said.await;
        drop(client);
        engine.await.expect("no panic");
        assert_eq!(context.counters.requests_allowed.get(), 0);
    };
    let ended =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(8), served).await });
    ended.expect("an end");
});

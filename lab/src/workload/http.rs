//! HTTP/1 servers with keep-alive and an access log of one line a request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::{Options, flask, httpbin, ingress, pages};

pub type Answer = Response<Full<Bytes>>;

/// What a server answers.
pub enum Site {
    Httpbin,
    Nginx,
    Flask(flask::Database),
    Ingress { routes: PathBuf },
    Agnhost { pod: String },
    Echo { pod: String },
}

/// A request with its body read, and both ends of its connection.
pub struct Asked {
    pub request: Request<Bytes>,
    pub client: SocketAddr,
    pub server: SocketAddr,
}

// === impl Site ===

impl Site {
    pub fn of(options: &Options) -> Result<Self> {
        let pod = options.pod.clone();
        Ok(match options.kind.as_str() {
            "httpbin" => Site::Httpbin,
            "nginx" => Site::Nginx,
            "ingress" => Site::Ingress {
                routes: ingress::routes_beside(&options.zone),
            },
            "flask" => Site::Flask(flask::Database::of(options)),
            "agnhost" => Site::Agnhost { pod },
            "echo" => Site::Echo { pod },
            other => bail!("there is no workload {other:?}"),
        })
    }

    async fn answer(&self, asked: &Asked) -> Answer {
        match self {
            Site::Httpbin => httpbin::answer(asked).await,
            Site::Nginx => pages::nginx(asked),
            Site::Ingress { routes } => ingress::answer(asked, routes).await,
            Site::Flask(database) => flask::answer(asked, database).await,
            Site::Agnhost { pod } => pages::agnhost(asked, pod),
            Site::Echo { pod } => pages::echo(asked, pod),
        }
    }
}

// === impl Asked ===

impl Asked {
    /// The client's address as the labs show it: IPv4 without its IPv6 form.
    pub fn origin(&self) -> String {
        self.client.ip().to_canonical().to_string()
    }

    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    pub fn header(&self, name: HeaderName) -> &str {
        self.request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

pub async fn serve(listener: TcpListener, site: Rc<Site>) -> Result<()> {
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that left early: the next one may fare better.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        tokio::task::spawn_local(connection(stream, client, site.clone()));
    }
}

async fn connection(stream: TcpStream, client: SocketAddr, site: Rc<Site>) {
    let Ok(server) = stream.local_addr() else {
        return; // the client is gone already
    };
    if matches!(*site, Site::Echo { .. }) {
        // As `nc -v` says it, which is what people look for in a log.
        println!("connect to {server} from {client}");
    }
    if let Err(error) = stream.set_nodelay(true) {
        eprintln!("{client}: {error}");
    }
    let service = service_fn(|request: Request<Incoming>| {
        let site = &site;
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let asked = Asked {
                request: Request::from_parts(parts, body),
                client,
                server,
            };
            let answer = site.answer(&asked).await;
            log(&asked, answer.status());
            Ok::<_, hyper::Error>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        eprintln!("{client}: {error}");
    }
}

fn log(asked: &Asked, status: StatusCode) {
    let client = SocketAddr::new(asked.client.ip().to_canonical(), asked.client.port());
    println!(
        "{client} \"{} {} {:?}\" {}",
        asked.request.method(),
        asked.request.uri(),
        asked.request.version(),
        status.as_u16()
    );
}

pub fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// JSON with two spaces and a line's end, as httpbin and Flask write it.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    response(status, "application/json", format!("{value:#}\n"))
}

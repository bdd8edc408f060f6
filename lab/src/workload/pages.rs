//! The small sites: nginx's welcome, agnhost's netexec, and who answered whom.

use std::net::SocketAddr;

use hyper::StatusCode;

use super::http::{Answer, Asked, response};

const WELCOME: &str = "<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the nginx web server is successfully installed and
working. Further configuration is required.</p>
<p><em>Thank you for using nginx.</em></p>
</body>
</html>
";

pub fn nginx(asked: &Asked) -> Answer {
    match asked.path() {
        "/" | "/index.html" => response(StatusCode::OK, "text/html", WELCOME),
        _ => response(
            StatusCode::NOT_FOUND,
            "text/html",
            "<html>\r\n<head><title>404 Not Found</title></head>\r\n</html>\r\n",
        ),
    }
}

pub fn agnhost(asked: &Asked, pod: &str) -> Answer {
    let name = pod.rsplit('/').next().unwrap_or(pod).to_owned();
    let query = asked.request.uri().query().unwrap_or_default();
    let body = match asked.path() {
        "/clientip" => client(asked).to_string(),
        "/hostname" | "/hostName" => name,
        "/echo" => query.strip_prefix("msg=").unwrap_or_default().to_owned(),
        "/healthz" | "/" => "ok".to_owned(),
        _ => return response(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
    };
    response(StatusCode::OK, "text/plain; charset=utf-8", body)
}

pub fn echo(asked: &Asked, pod: &str) -> Answer {
    let body = format!(
        "pod: {pod}\nclient: {}\nserver: {}\nrequest: {} {}\n",
        client(asked),
        SocketAddr::new(asked.server.ip().to_canonical(), asked.server.port()),
        asked.request.method(),
        asked.request.uri(),
    );
    response(StatusCode::OK, "text/plain; charset=utf-8", body)
}

fn client(asked: &Asked) -> SocketAddr {
    SocketAddr::new(asked.client.ip().to_canonical(), asked.client.port())
}

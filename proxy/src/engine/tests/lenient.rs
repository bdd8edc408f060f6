//! A server that reads as leniently as servers ever did, all at once: what it takes for requests is
//! what an attacker would like it to take.

use std::{collections::BTreeMap, sync::Mutex};

use super::*;

/// What the server took for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub method: String,
    pub path: String,
    /// Names folded as CGI does it; the last line of a name counts, be it a trailer.
    pub fields: BTreeMap<String, String>,
}

pub(super) type Log = Arc<Mutex<Vec<Seen>>>;

/// Listens, answers everything with an empty 200 at once, and notes it.
pub(super) async fn server() -> (SocketAddr, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log)));
            }
        }
    });
    (address, log)
}

async fn serve(mut stream: TcpStream, log: Log) {
    let (mut read, mut answered) = (Vec::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        read.extend_from_slice(&buffer[..count]);
        let seen = requests(&read);
        for request in seen.iter().skip(answered) {
            log.lock().unwrap().push(request.clone());
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        answered = answered.max(seen.len());
    }
}

/// Everything in a stream that can be taken for a request.
fn requests(stream: &[u8]) -> Vec<Seen> {
    let mut rest = stream;
    let mut seen = Vec::new();
    while let Some(request) = request(&mut rest) {
        seen.push(request);
    }
    seen
}

fn request(rest: &mut &[u8]) -> Option<Seen> {
    // Whatever is no request line is passed over.
    let (method, path) = loop {
        let words: Vec<String> = line(rest)?.split(' ').map(str::to_owned).collect();
        if let [method, path, version] = words.as_slice()
            && version.starts_with("HTTP/1.")
        {
            break (method.clone(), path.clone());
        }
    };
    let mut fields = BTreeMap::new();
    read_fields(rest, &mut fields)?;
    let has = |name: &str| fields.get(name).map(String::as_str);
    let no_body = ["GET", "HEAD", "DELETE", "OPTIONS"].contains(&method.to_uppercase().as_str());
    // Answered at once: the body will not come.
    let answered = has("expect").is_some();
    // A tab is not white space here.
    let chunked = has("transfer-encoding") == Some("chunked");
    let length = has("content-length").and_then(|length| length.parse().ok());
    match (no_body || answered, chunked, length) {
        (false, true, _) => loop {
            let size = line(rest)?;
            let size = size.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).ok()?;
            if size == 0 {
                read_fields(rest, &mut fields)?;
                break;
            }
            *rest = rest.get(size..)?;
            line(rest)?;
        },
        (false, false, Some(length)) => *rest = rest.get::<std::ops::RangeFrom<usize>>(length..)?,
        _ => {}
    }
    let hidden = fields.get("connection").cloned().unwrap_or_default();
    for option in hidden.split(',').map(|option| folded(option.trim())) {
        // An offer is taken up.
        if option != "upgrade" {
            fields.remove(&option);
        }
    }
    Some(Seen {
        method,
        path,
        fields,
    })
}

fn read_fields(rest: &mut &[u8], fields: &mut BTreeMap<String, String>) -> Option<()> {
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Some(());
        }
        if let Some((name, value)) = line.split_once(':') {
            fields.insert(folded(name.trim()), value.trim_matches(' ').to_owned());
        }
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = lossy(&rest[..end]);
    *rest = &rest[end + 1..];
    Some(line.trim_end_matches('\r').to_owned())
}

// === impl Seen ===

impl Seen {
    /// Whether no server could take it for something below `/ok` by the user `good`.
    pub fn is_forbidden(&self) -> bool {
        let outside = |path: &str| !path.starts_with("/ok");
        let upgrade = self.fields.get("upgrade").map_or("", String::as_str);
        self.fields.get("x-user").map(String::as_str) != Some("good")
            || upgrade.contains("h2c")
            || outside(&self.path)
            || outside(&resolved(&self.path, false))
            || outside(&resolved(&decoded(self.path.clone()), true))
    }
}

/// Decodes until nothing is left to decode, overlong forms included.
fn decoded(mut path: String) -> String {
    let overlong = [
        ("%c0%ae", "."),
        ("%c0%af", "/"),
        ("%c1%9c", "\\"),
        ("%e0%80%ae", "."),
    ];
    let ascii = (b' '..=b'~').map(|byte| (format!("%{byte:02x}"), char::from(byte).to_string()));
    let overlong = overlong.map(|(escape, text)| (escape.to_owned(), text.to_owned()));
    let all: Vec<_> = overlong.into_iter().chain(ascii).collect();
    loop {
        let before = path.clone();
        for (escape, text) in &all {
            path = path.replace(escape, text);
            path = path.replace(&escape.to_uppercase(), text);
        }
        if path == before {
            return path;
        }
    }
}

/// Removes dot segments, and where it is lenient parameters, and reads backslashes.
fn resolved(path: &str, lenient: bool) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let path = if lenient {
        path.replace('\\', "/")
    } else {
        path.to_owned()
    };
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        let segment = if lenient {
            segment.split(';').next().unwrap_or_default()
        } else {
            segment
        };
        match segment {
            "" if lenient => {}
            "." => {}
            ".." => drop(out.pop()),
            other => out.push(other),
        }
    }
    format!("/{}", out.join("/"))
}

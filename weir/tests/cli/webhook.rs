//! `weir webhook` asked by curl, over TLS, with reviews as the API server sends them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "weir-webhook.weir-system.svc";
const LIMIT: Duration = Duration::from_secs(30);

struct Webhook {
    process: Child,
    port: u16,
    folder: TempDir,
}

/// Writes a certificate and its key; gives the certificate's path, which is its own authority.
pub fn certify(folder: &Path) -> PathBuf {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    // As a Secret is exchanged: at once, never half written.
    for (name, text) in [
        ("tls.crt", cert.pem()),
        ("tls.key", signing_key.serialize_pem()),
    ] {
        let new = folder.join("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, folder.join(name)).expect("renamed");
    }
    folder.join("tls.crt")
}

impl Webhook {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        certify(folder.path());
        let mut process = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["webhook", "--listen", "127.0.0.1:0", "--cert"])
            .arg(folder.path().join("tls.crt"))
            .arg("--key")
            .arg(folder.path().join("tls.key"))
            .args(flags)
            .env("WEIR_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let port = line.split("127.0.0.1:").nth(1).map(|rest| {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    digits.parse::<u16>().expect("a port")
                });
                port.map(|port| tell.send(port).ok());
            }
        });
        let port = told.recv_timeout(LIMIT).expect("it says where it listens");
        Self {
            process,
            port,
            folder,
        }
    }

    /// `curl` with this body; the status and what came.
    fn ask(
        &self,
        authority: &Path,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<(u16, String), String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "20", "-w", "\n%{http_code}", "--cacert"])
            .arg(authority)
            .arg("--resolve")
            .arg(format!("{NAME}:{}:127.0.0.1", self.port))
            .arg(format!("https://{NAME}:{}{path}", self.port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if body.is_some() {
            curl.args([
                "-H",
                "content-type: application/json",
                "--data-binary",
                "@-",
            ]);
        }
        let mut child = curl.spawn().expect("curl");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(body.unwrap_or_default())
            .ok();
        let output = child.wait_with_output().expect("curl ends");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).expect("text");
        let (body, code) = text.rsplit_once('\n').expect("a code");
        Ok((code.parse().expect("a number"), body.to_owned()))
    }

    fn post(&self, body: &[u8]) -> (u16, String) {
        let authority = self.folder.path().join("tls.crt");
        self.ask(&authority, "/validate", Some(body))
            .expect("an answer")
    }

    fn response(&self, request: Value) -> Value {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
        });
        let (code, body) = self.post(review.to_string().as_bytes());
        assert_eq!(code, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn request(operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation,
        "kind": {"group": "cilium.io", "version": "v2", "kind": "CiliumNetworkPolicy"},
        "resource": {"group": "cilium.io", "version": "v2", "resource": "ciliumnetworkpolicies"},
        "name": "", "namespace": "shop", "userInfo": {"username": "kim"},
        "object": object, "oldObject": old, "dryRun": false,
    })
}

fn policy(http: Value) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"generateName": "cart-"},
        "spec": {"endpointSelector": {}, "ingress": [{"toPorts": [{
            "ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [http]}}]}]},
    })
}

#[test]
fn what_the_agent_refuses_is_refused_with_its_field() {
    let webhook = Webhook::start();
    let good = policy(json!({"method": "POST", "path": "/cart.*"}));
    let bad = policy(json!({"method": "GET", "path": "/("}));
    let allowed = json!({"allowed": true, "uid": "705ab4f5-6393-11e8-b7cc-42010a800002"});
    assert_eq!(
        webhook.response(request("CREATE", &good, &Value::Null)),
        allowed
    );

    let refused = webhook.response(request("CREATE", &bad, &Value::Null));
    assert_eq!(refused["allowed"], false);
    assert_eq!(refused["status"]["code"], 422);
    let message = refused["status"]["message"].as_str().expect("a message");
    assert!(
        message.contains("spec.ingress[0].toPorts[0].rules.http[0].path: "),
        "{message}"
    );
    assert_eq!(
        webhook.response(request("UPDATE", &bad, &good))["allowed"],
        false
    );

    // What is there already may go, and may lose a finalizer.
    assert_eq!(
        webhook.response(request("DELETE", &Value::Null, &bad)),
        allowed
    );
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"team": "blue"});
    let kept = webhook.response(request("UPDATE", &labelled, &bad));
    assert_eq!(kept["allowed"], true);
    assert!(
        kept["warnings"][0]
            .as_str()
            .expect("a warning")
            .contains("path")
    );

    // However deep the JSON is: refused for what it says, not passed as no review.
    let mut deep = json!({});
    for _ in 0..300 {
        deep = json!({"a": [deep]});
    }
    let mut nested = good.clone();
    nested["spec"]["extra"] = deep;
    let refused = webhook.response(request("CREATE", &nested, &Value::Null));
    assert_eq!(refused["status"]["code"], 422, "{refused}");
    let message = refused["status"]["message"].as_str().expect("a message");
    assert!(message.contains("spec.extra: unknown field"), "{message}");

    // Other kinds pass, whatever is in them.
    let other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": 1});
    assert_eq!(
        webhook.response(request("CREATE", &other, &Value::Null)),
        allowed
    );
}

#[test]
fn mistakes_are_warnings_and_neighbours_are_not_guessed() {
    let webhook = Webhook::start();
    let prefix = policy(json!({"method": "GET", "path": "/api/*"}));
    let answer = webhook.response(request("CREATE", &prefix, &Value::Null));
    assert_eq!(answer["allowed"], true);
    let warnings = answer["warnings"].to_string();
    for id in ["W014", "W016"] {
        assert!(warnings.contains(id), "{warnings}");
    }
    let egress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "out", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 443}]}]},
    });
    let cilium = |egress: Value| {
        let mut spec = json!({"endpointSelector": {}});
        let sections = egress.as_object().expect("sections").clone();
        spec.as_object_mut().expect("a map").extend(sections);
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
               "metadata": {"name": "out", "namespace": "shop"}, "spec": spec})
    };
    let deny = cilium(json!({"egressDeny": [{"toEntities": ["world"]}]}));
    let names = cilium(json!({"egress": [{"toFQDNs": [{"matchName": "api.example.com"}]}]}));
    // Another policy may allow DNS, have the DNS rules, and allow what this one does not deny.
    for policy in [egress, deny, names] {
        let answer = webhook.response(request("CREATE", &policy, &Value::Null));
        assert!(answer["warnings"].is_null(), "{answer}");
    }
}

#[test]
fn what_is_no_review_is_told_so() {
    let webhook = Webhook::start();
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, said) in [
        (&b""[..], "not an AdmissionReview"),
        (b"{}", "missing field `apiVersion`"),
        (b"\xff\xfe", "not an AdmissionReview"),
        (nested.as_bytes(), "not an AdmissionReview"),
        (
            br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE"}}"#,
            "`admission.k8s.io/v1beta1`",
        ),
        (
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE"}}"#,
            "CREATE without `request.object`",
        ),
    ] {
        let (code, text) = webhook.post(body);
        assert_eq!(code, 400, "{text}");
        assert!(text.contains(said), "{text}");
    }
    let (code, text) = webhook.post(&vec![b' '; 8 << 20]);
    assert_eq!(code, 413, "{text}");
    let authority = webhook.folder.path().join("tls.crt");
    for (path, expected) in [
        ("/readyz", 200),
        ("/livez", 200),
        ("/validate", 405),
        ("/", 404),
    ] {
        let (code, _) = webhook.ask(&authority, path, None).expect("an answer");
        assert_eq!(code, expected, "{path}");
    }
}

/// Reviews that would take minutes, or hundreds of MiB.
#[test]
fn a_review_has_so_much_time_and_memory_and_holds_up_no_other() {
    let webhook = Webhook::start_with(&["--review-time", "1"]);
    let asked = |object: &Value| {
        let request = request("CREATE", object, &Value::Null);
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    };
    let slow = |number: usize| {
        let rule = |n| json!({"path": format!("/\\w+/\\d+/{n}/[^/]+/\\w+")});
        let mut object = policy(json!({}));
        object["spec"]["ingress"][0]["toPorts"][0]["rules"]["http"] =
            (0..number).map(rule).collect();
        asked(&object).to_string()
    };
    let (code, said) = webhook.post(slow(20_000).as_bytes());
    assert_eq!(code, 503, "{said}");
    assert!(said.contains("more than 1s"), "{said}");
    let mut wide = policy(json!({}));
    wide["spec"]["extra"] = json!("EXTRA");
    let lists = format!("[{}[]]", "[],".repeat(2 << 20));
    let wide = asked(&wide).to_string().replace("\"EXTRA\"", &lists);
    let (code, said) = webhook.post(wide.as_bytes());
    assert_eq!(code, 503, "{said}");
    assert!(said.contains("41943040 bytes of memory"), "{said}");
    let good = policy(json!({"method": "GET", "path": "/a"}));
    let answer = webhook.response(request("CREATE", &good, &Value::Null));
    assert_eq!(answer["allowed"], true);
    // Nobody is left behind.
    let tasks = format!("/proc/{}/task", webhook.process.id());
    let children = || -> String {
        let tasks = fs::read_dir(&tasks).expect("a process").flatten();
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
        tasks.filter_map(of).collect()
    };
    let until = Instant::now() + LIMIT;
    while !children().is_empty() {
        assert!(
            Instant::now() < until,
            "reviews go on that nobody waits for"
        );
    }
}

#[test]
fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let webhook = Webhook::start();
    let folder = webhook.folder.path();
    let old = folder.join("old.crt");
    fs::copy(folder.join("tls.crt"), &old).expect("copied");
    let new = certify(folder);
    let until = Instant::now() + LIMIT;
    // The clock of the file system may not have moved on between two writes.
    while webhook.ask(&new, "/readyz", None).is_err() {
        assert!(Instant::now() < until, "the new certificate is not served");
        certify(folder);
    }
    assert!(
        webhook.ask(&old, "/readyz", None).is_err(),
        "the old one is"
    );
    let served = folder.join("served.crt");
    fs::copy(&new, &served).expect("copied");
    fs::write(&new, "no certificate").expect("written");
    let (code, _) = webhook.ask(&served, "/readyz", None).expect("still served");
    assert_eq!(code, 200);
}

#[test]
fn bad_files_are_named_at_the_start() {
    let ran = crate::common::weir("webhook --cert /nonexistent.crt --key /nonexistent.key");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("the certificate /nonexistent.crt"),
        "{}",
        ran.err
    );
    let ran = crate::common::weir("webhook --cert README.md --key README.md");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the certificate README.md"), "{}", ran.err);
}

//! Who may look, and what the page may load.

use super::*;
use crate::Token;

const TOKEN: &str = "a-token-of-some-length";

fn token(text: &str) -> Result<Token, crate::TokenError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, text).expect("a file");
    Token::read(&path)
}

async fn local() -> SocketAddr {
    serve(observer(&Arc::new(Ring::new(4))), Access::Local, false).await
}

#[tokio::test]
async fn on_this_machine_only_its_own_names_are_served() {
    let address = local().await;
    for host in [
        "localhost:9",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]:12000",
        "LOCALHOST",
    ] {
        let answer = get(address, "/api/status", &[("Host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in [
        "rebound.example",
        "127.0.0.1.example:80",
        "10.0.0.1",
        "localhost.example",
    ] {
        for path in ["/", "/api/status", "/api/flows"] {
            let answer = get(address, path, &[("Host", host)]).await;
            assert_eq!(answer.status, 403, "{host}{path}");
        }
    }
    assert_eq!(
        get(address, "/", &[("Host", "")]).await.status,
        400,
        "no host"
    );
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let address = local().await;
    let own = format!("http://{address}");
    let answer = get(address, "/api/status", &[("Origin", &own)]).await;
    assert_eq!(answer.status, 200);
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let answer = get(address, "/api/flows", &[("Origin", origin)]).await;
        assert_eq!(answer.status, 403, "{origin}");
    }
}

#[tokio::test]
async fn elsewhere_the_token_opens_everything_and_nothing_else_does() {
    let access = Access::Token(token(&format!("{TOKEN}\n")).expect("a token"));
    let address = serve(observer(&Arc::new(Ring::new(4))), access, false).await;
    let host = ("Host", "weir.example");
    for path in [
        "/",
        "/api/status",
        "/api/flows",
        "/icon.svg",
        "/?token=wrong",
        "/?token=",
    ] {
        let answer = get(address, path, &[host]).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    let in_api = get(address, &format!("/api/status?token={TOKEN}"), &[host]).await;
    assert_eq!(in_api.status, 401, "in the page's own address only");
    for (name, value) in [
        ("Cookie", "weir-ui=wrong".to_owned()),
        ("Cookie", format!("other={TOKEN}")),
        ("Authorization", format!("Bearer {TOKEN}x")),
        ("Authorization", format!("Basic {TOKEN}")),
    ] {
        let answer = get(address, "/api/status", &[host, (name, &value)]).await;
        assert_eq!(answer.status, 401, "{name}: {value}");
    }

    let shown = get(address, &format!("/?token={TOKEN}"), &[host]).await;
    assert_eq!(shown.status, 303);
    assert!(shown.head.contains("\r\nlocation: /\r\n"), "{}", shown.head);
    let kept = format!("set-cookie: weir-ui={TOKEN}; httponly; samesite=lax; path=/");
    assert!(shown.head.contains(&kept), "{}", shown.head);
    for (name, value) in [
        ("Cookie", format!("other=1; weir-ui={TOKEN}")),
        ("Authorization", format!("Bearer {TOKEN}")),
    ] {
        let answer = get(address, "/api/status", &[host, (name, &value)]).await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[test]
fn a_token_is_made_off_loopback_and_must_be_one() {
    let anywhere: SocketAddr = "0.0.0.0:12000".parse().expect("an address");
    let made = |text: &str| {
        let address = text.parse().expect("an address");
        Access::at(address, None).expect("access").url("host:1")
    };
    for here in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(!made(here).contains("token"), "{here}");
    }
    let (one, other) = (made("0.0.0.0:1"), made("0.0.0.0:1"));
    assert_eq!(one.len(), "http://host:1/?token=".len() + 64);
    assert_ne!(one, other);
    let given = Access::at(anywhere, Some(token(TOKEN).expect("a token"))).expect("access");
    assert_eq!(given.url("host"), format!("http://host/?token={TOKEN}"));
    for (text, reason) in [
        ("short", "fewer than 16"),
        ("a token with spaces in it", "letters, digits"),
        ("", "fewer than 16"),
    ] {
        let error = token(text).expect_err(text).to_string();
        assert!(error.contains(reason) && error.contains("token"), "{error}");
    }
    let missing = Token::read(std::path::Path::new("/nonexistent/token"));
    assert!(
        missing
            .expect_err("no file")
            .to_string()
            .contains("/nonexistent/token")
    );
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let address = local().await;
    let page = get(address, "/", &[]).await;
    assert_eq!(page.status, 200);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "content-type: text/html",
    ] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    let html = String::from_utf8(page.body).expect("text");
    let script = html
        .split('"')
        .find(|text| text.ends_with(".js"))
        .expect("a script");
    let plain = get(address, script, &[]).await;
    assert!(plain.head.contains("immutable"), "{}", plain.head);
    let packed = get(address, script, &[("Accept-Encoding", "gzip")]).await;
    assert!(
        packed.head.contains("content-encoding: gzip"),
        "{}",
        packed.head
    );
    assert!(packed.body.len() * 2 < plain.body.len());
    let missing = get(address, "/assets/none.js", &[]).await;
    assert_eq!(missing.status, 404);
    assert!(missing.head.contains("content-security-policy"));
}

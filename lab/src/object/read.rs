//! Manifests in: files, folders and standard input; several documents a file, List kinds too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use weir_cluster::folder::{STDIN, read_text};
use weir_cluster::yaml;

use super::{Key, Object, kind};

/// Every object of the paths, in order; `-` is standard input, a folder means the manifests in it,
/// and what begins as a URL is fetched.
pub fn paths(paths: &[PathBuf], namespace: &str) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for path in paths {
        if path == Path::new(STDIN) {
            let input = read_text(path).context("cannot read standard input")?;
            objects.extend(text(&input, "standard input", namespace)?);
            continue;
        }
        if let Some(url) = path.to_str().filter(|text| is_url(text)) {
            objects.extend(text(&fetched(url)?, url, namespace)?);
            continue;
        }
        for file in files(path)? {
            let content =
                read_text(&file).with_context(|| format!("cannot read {}", file.display()))?;
            objects.extend(text(&content, &file.display().to_string(), namespace)?);
        }
    }
    Ok(objects)
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// By curl, which knows proxies and certificates.
fn fetched(url: &str) -> Result<String> {
    let output = Command::new("curl")
        .args([
            "-fsSL",
            "--max-time",
            "30",
            "--max-filesize",
            "10M",
            "--",
            url,
        ])
        .output()
        .context("cannot run `curl`, which fetches URLs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cannot fetch {url}: {}", said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{url} is no text"))
}

/// The objects of one text; a mistake is named with its line.
pub fn text(content: &str, source: &str, namespace: &str) -> Result<Vec<Object>> {
    yaml::documents(content, Path::new(source))?
        .into_iter()
        .map(|document| object(document.value, &document.place, namespace))
        .collect()
}

/// One value of YAML or JSON, as it is given on a command line.
pub fn value_from_yaml(text: &str) -> Result<Value> {
    serde_yaml_ng::from_str(text).with_context(|| format!("not YAML: {text:?}"))
}

pub fn value_to_yaml(value: &Value) -> Result<String> {
    serde_yaml_ng::to_string(value).context("cannot write YAML")
}

fn object(mut value: Value, place: &str, namespace: &str) -> Result<Object> {
    if !value.is_object() {
        bail!("{place}: not a Kubernetes object: a mapping with apiVersion and kind is wanted");
    }
    field(&value, "/apiVersion", place)?;
    let kind = field(&value, "/kind", place)?.to_owned();
    let name = field(&value, "/metadata/name", &format!("{place}: {kind}"))?.to_owned();
    check_name(&name).map_err(|reason| anyhow!("{place}: {kind}: metadata.name: {reason}"))?;
    let namespace = if kind::is_cluster_scoped(&kind) {
        None
    } else {
        let own = match &value["metadata"]["namespace"] {
            Value::Null => namespace.to_owned(),
            Value::String(own) => own.clone(),
            _ => bail!("{place}: {kind} {name}: metadata.namespace: a string is wanted"),
        };
        check_name(&own)
            .map_err(|reason| anyhow!("{place}: {kind} {name}: metadata.namespace: {reason}"))?;
        value["metadata"]["namespace"] = Value::String(own.clone());
        Some(own)
    };
    Ok(Object {
        key: Key {
            kind,
            namespace,
            name,
        },
        source: place.to_owned(),
        value,
    })
}

/// Names become file names and netns names, so nothing but a Kubernetes name may pass.
fn check_name(name: &str) -> Result<(), String> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if name.len() <= 253
        && bytes.iter().all(|b| inside(*b))
        && ends(bytes.first())
        && ends(bytes.last())
    {
        Ok(())
    } else {
        Err(format!("{name:?} is not a Kubernetes name"))
    }
}

fn field<'a>(value: &'a Value, pointer: &str, place: &str) -> Result<&'a str> {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    match value.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::Null) => bail!("{place}: {path}: missing"),
        Some(_) => bail!("{place}: {path}: a text is wanted"),
    }
}

/// The manifests of a folder in the order of their names; its sub-folders are left out, as kubectl
/// leaves them out.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot list {}", path.display()))?;
    let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    // A scenario's folder holds manifests and one file about them.
    entries.retain(|entry| entry.file_name().is_none_or(|name| name != "scenario.yaml"));
    entries.retain(|entry| {
        let extension = entry.extension().and_then(|e| e.to_str());
        matches!(extension, Some("yaml" | "yml" | "json")) && entry.is_file()
    });
    if entries.is_empty() {
        bail!("no .yaml, .yml or .json file in {}", path.display());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_namespaces() {
        let objects = text(
            "# a comment\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n\
             apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: n}}\n\
             - {apiVersion: v1, kind: Pod, metadata: {name: b, namespace: n}}\n",
            "x.yaml",
            "team",
        )
        .unwrap();
        let keys: Vec<String> = objects.iter().map(|o| o.key.to_string()).collect();
        assert_eq!(keys, ["Pod team/a", "Namespace n", "Pod n/b"]);
        assert_eq!(objects[0].value["metadata"]["namespace"], "team");
        assert_eq!(objects[2].source, "x.yaml:7 (item 2)");
    }

    #[test]
    fn messages_name_file_and_field() {
        let wrong = |content: &str| text(content, "x.yaml", "default").unwrap_err().to_string();
        assert_eq!(
            wrong("apiVersion: v1\nkind: Pod\n"),
            "x.yaml:1: Pod: metadata.name: missing"
        );
        assert_eq!(wrong("kind: Pod\n"), "x.yaml:1: apiVersion: missing");
        assert!(wrong("a: [b\n").starts_with("x.yaml:"));
        assert!(
            wrong("apiVersion: v1\nkind: Pod\nmetadata: {name: ../../etc}\n")
                .contains("not a Kubernetes name")
        );
    }
}

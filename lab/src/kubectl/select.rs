//! Which objects a command means: kinds and names, and label selectors.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::object::{Key, kind};

/// What `all` stands for.
const ALL: [&str; 5] = ["Pod", "Service", "DaemonSet", "Deployment", "StatefulSet"];

/// A kind, and names of it; without a name all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub kind: String,
    pub names: Vec<String>,
}

/// `KIND`, `KIND,KIND`, `KIND NAME...`, `KIND/NAME...`.
///
/// # Errors
/// A kind that is not known, or both forms at once.
pub fn asked(words: &[String]) -> Result<Vec<Asked>> {
    let (first, rest) = words
        .split_first()
        .context("name a kind: pods, svc, netpol")?;
    if first.contains('/') {
        return words.iter().map(|word| one(word)).collect();
    }
    if let Some(word) = rest.iter().find(|word| word.contains('/')) {
        bail!("{word:?}: there may be no KIND/NAME behind a kind");
    }
    let mut kinds = Vec::new();
    for word in first.split(',') {
        match word {
            "all" => kinds.extend(ALL.map(str::to_owned)),
            _ => kinds.push(known(word)?),
        }
    }
    let with_names = |kind| Asked {
        kind,
        names: rest.to_vec(),
    };
    Ok(kinds.into_iter().map(with_names).collect())
}

fn one(word: &str) -> Result<Asked> {
    let (kind, name) = word
        .split_once('/')
        .with_context(|| format!("{word:?} is not KIND/NAME"))?;
    Ok(Asked {
        kind: known(kind)?,
        names: vec![name.to_owned()],
    })
}

/// The kind that a word means.
///
/// # Errors
/// There is none.
pub fn known(word: &str) -> Result<String> {
    kind::from_word(word).with_context(|| format!("there is no kind {word:?}"))
}

/// Kind and name of one object, and the words behind them.
///
/// # Errors
/// No object is named.
pub fn object(words: &[String]) -> Result<(String, &str, &[String])> {
    let (first, rest) = words.split_first().context("name an object")?;
    let (word, name, rest) = match first.split_once('/') {
        Some((word, name)) => (word, name, rest),
        None => {
            let (name, rest) = rest.split_first().context("name an object: KIND NAME")?;
            (first.as_str(), name.as_str(), rest)
        }
    };
    Ok((known(word)?, name, rest))
}

/// The same, where nothing may follow.
///
/// # Errors
/// As [`object`], or something follows.
pub fn only_object(words: &[String]) -> Result<(String, &str)> {
    match object(words)? {
        (kind, name, []) => Ok((kind, name)),
        (_, _, [word, ..]) => bail!("{word:?} is too much"),
    }
}

/// The objects that are asked for, in the order of the question.
///
/// # Errors
/// There is no object of a name that was given.
pub fn find<'a>(
    objects: &'a [Value],
    asked: &Asked,
    namespace: Option<&str>,
) -> Result<Vec<&'a Value>> {
    let cluster_scoped = kind::is_cluster_scoped(&asked.kind);
    let namespace = namespace.filter(|_| !cluster_scoped);
    let of_kind: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == asked.kind.as_str())
        .filter(|object| namespace.is_none_or(|of| object["metadata"]["namespace"] == of))
        .collect();
    if asked.names.is_empty() {
        return Ok(of_kind);
    }
    let named = |name: &String| {
        let found = of_kind
            .iter()
            .find(|object| object["metadata"]["name"] == name.as_str());
        let missing = || Key::new(&asked.kind, namespace, name).not_found();
        found.copied().ok_or_else(missing)
    };
    asked.names.iter().map(named).collect()
}

/// What `-l` asks of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    HasNot(String),
}

/// `KEY=VALUE`, `KEY!=VALUE`, `KEY` and `!KEY`, with commas between them.
///
/// # Errors
/// Another form of selector, such as `KEY in (A, B)`.
pub fn selector(text: &str) -> Result<Vec<Term>> {
    if text.contains(['(', ')']) {
        bail!(
            "--selector {text:?}: sets are not understood here: KEY=VALUE, KEY!=VALUE, KEY, !KEY"
        );
    }
    let term = |part: &str| {
        let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
        let part = part.trim();
        let found = if let Some((key, value)) = part.split_once("!=").map(pair) {
            Term::IsNot(key, value)
        } else if let Some((key, value)) = part.split_once('=').map(pair) {
            Term::Is(key, value.trim_start_matches('=').to_owned())
        } else if let Some(key) = part.strip_prefix('!') {
            Term::HasNot(key.to_owned())
        } else {
            Term::Has(part.to_owned())
        };
        match part.is_empty() || part.contains(' ') {
            true => bail!("--selector: {part:?} is not KEY=VALUE, KEY!=VALUE, KEY or !KEY"),
            false => Ok(found),
        }
    };
    text.split(',').map(term).collect()
}

/// Whether an object's labels are as asked.
pub fn matches(object: &Value, terms: &[Term]) -> bool {
    let label = |key: &str| {
        object["metadata"]["labels"]
            .get(key)
            .and_then(Value::as_str)
    };
    terms.iter().all(|term| match term {
        Term::Is(key, value) => label(key) == Some(value),
        Term::IsNot(key, value) => label(key) != Some(value),
        Term::Has(key) => label(key).is_some(),
        Term::HasNot(key) => label(key).is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(Into::into).collect()
    }

    #[test]
    fn kinds_and_names() {
        let kinds = |text: &str| {
            let asked = asked(&words(text)).unwrap();
            asked
                .into_iter()
                .map(|asked| asked.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds("po,svc"), ["Pod", "Service"]);
        assert_eq!(kinds("all").len(), 5);
        assert_eq!(asked(&words("po a b")).unwrap()[0].names, ["a", "b"]);
        assert_eq!(kinds("po/a netpol/b"), ["Pod", "NetworkPolicy"]);
        assert!(asked(&words("po svc/b")).is_err() && asked(&words("nosuch")).is_err());
    }

    #[test]
    fn labels() {
        let object = serde_json::json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let is = |text: &str| matches(&object, &selector(text).unwrap());
        assert!(is("a=1,b!=1") && is("a==1") && is("a") && is("!c"));
        assert!(!is("a=2") && !is("c") && !is("!a"));
        assert!(selector("a in (1)").is_err() && selector("a=1,").is_err());
    }
}

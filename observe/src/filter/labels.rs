//! Label selectors as Kubernetes writes them, on labels as the API writes them.

/// A list of requirements, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// `KEY=VALUE`, `KEY!=VALUE`, `KEY in (A, B)`, `KEY notin (A, B)`, `KEY`, `!KEY`, with commas.
    /// A key without a source (`k8s:`, `reserved:`) means every source.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("is empty".to_owned());
        }
        while !rest.is_empty() {
            // A comma inside brackets does not end a requirement.
            let open = rest.find('(').unwrap_or(usize::MAX);
            let end = match rest.find(',') {
                Some(comma) if comma < open => comma,
                Some(_) => {
                    let close = rest.find(')').ok_or_else(|| format!("{text:?}: no `)`"))?;
                    let after = rest.get(close..).and_then(|tail| tail.find(','));
                    after.map_or(rest.len(), |comma| close + comma)
                }
                None => rest.len(),
            };
            let (part, after) = rest.split_at(end);
            requirements.push(requirement(part.trim())?);
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
        Ok(Self(requirements))
    }

    /// Whether labels in the form `SOURCE:KEY=VALUE` fit.
    pub fn matches(&self, labels: &[String]) -> bool {
        self.0.iter().all(|requirement| {
            let values: Vec<&str> = labels
                .iter()
                .filter_map(|label| value(label, &requirement.key))
                .collect();
            let one_of =
                |list: &[String]| values.iter().any(|value| list.iter().any(|v| v == value));
            match &requirement.test {
                Test::Exists => !values.is_empty(),
                Test::Missing => values.is_empty(),
                Test::In(list) => one_of(list),
                Test::NotIn(list) => !one_of(list),
            }
        })
    }
}

/// The value of a label, if it has this key.
fn value<'a>(label: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = label.split_once('=').unwrap_or((label, ""));
    let plain = name.split_once(':').map_or(name, |(_, plain)| plain);
    let wanted = key.strip_prefix("any:").unwrap_or(key);
    (name == wanted || plain == wanted).then_some(value)
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let made = |key: &str, test: Test| {
        let key = key.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
        match !key.is_empty() && key.chars().all(fits) {
            true => Ok(Requirement {
                key: key.to_owned(),
                test,
            }),
            false => Err(format!("{text:?} is no requirement on a label")),
        }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, Test::In(one(value)));
    }
    if let Some(list) = text.strip_suffix(')') {
        let (head, list) = list
            .split_once('(')
            .ok_or_else(|| format!("{text:?}: no `(`"))?;
        let list = list
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        return match head.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => made(key, Test::In(list)),
            Some((key, "notin")) => made(key, Test::NotIn(list)),
            _ => Err(format!("{text:?}: write `KEY in (A, B)`")),
        };
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, Test::Missing),
        None => made(text, Test::Exists),
    }
}

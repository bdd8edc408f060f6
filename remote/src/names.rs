//! Names as kubectl takes them: `NAME`, `KIND/NAME`, and with a namespace before either.

/// Kinds whose pods have their names in front.
const WORKLOADS: [&str; 6] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
];

/// What a name is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'e> {
    /// Kind, as in manifests.
    pub kind: &'e str,
    /// Namespace; empty where it has none.
    pub namespace: &'e str,
    /// Name.
    pub name: &'e str,
}

/// A list that can be narrowed.
pub trait List {
    /// Keeps the entries that the test holds for.
    fn keep(&mut self, test: &mut dyn FnMut(Entry<'_>) -> bool);
}

/// The names on a command line, and which of them were found.
#[derive(Debug)]
pub struct Names<'w> {
    namespace: Option<&'w str>,
    wanted: Vec<Wanted<'w>>,
}

#[derive(Debug)]
struct Wanted<'w> {
    written: &'w str,
    /// The kind that it names, if it names one.
    kind: Option<String>,
    namespace: Option<&'w str>,
    name: &'w str,
    found: bool,
}

// === impl Names ===

impl<'w> Names<'w> {
    /// Names of a namespace; none are all. `kind` knows kinds by their words (`deploy`, `cnp`).
    pub fn new(
        words: &'w [String],
        namespace: Option<&'w str>,
        kind: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let wanted = words.iter().map(|word| Wanted::of(word, &kind));
        Self {
            namespace,
            wanted: wanted.collect(),
        }
    }

    /// Whether one is meant; it is found then.
    pub fn hold(&mut self, entry: Entry<'_>) -> bool {
        if self.namespace.is_some_and(|of| of != entry.namespace) {
            return false;
        }
        let mut named = self.wanted.is_empty();
        for one in self.wanted.iter_mut().filter(|one| one.is(entry)) {
            (one.found, named) = (true, true);
        }
        named
    }

    /// The first that was not found.
    pub fn missing(&self) -> Option<&'w str> {
        let missing = self.wanted.iter().find(|one| !one.found);
        missing.map(|one| one.written)
    }
}

// === impl Wanted ===

impl<'w> Wanted<'w> {
    fn of(written: &'w str, kind: impl Fn(&str) -> Option<String>) -> Self {
        let (before, name) = match written.rsplit_once('/') {
            Some((before, name)) => (Some(before), name),
            None => (None, written),
        };
        // NAMESPACE/KIND/NAME, or one of the first two alone.
        let (namespace, word) = match before.and_then(|before| before.split_once('/')) {
            Some((namespace, word)) => (Some(namespace), Some(word)),
            None => (None, before),
        };
        let kind = word.and_then(kind);
        let namespace = match (&kind, namespace) {
            (None, None) => word,
            _ => namespace,
        };
        Self {
            written,
            kind,
            namespace,
            name,
            found: false,
        }
    }

    fn is(&self, entry: Entry<'_>) -> bool {
        if self.namespace.is_some_and(|of| of != entry.namespace) {
            return false;
        }
        match self.kind.as_deref() {
            None => entry.name == self.name,
            Some(kind) if kind == entry.kind => entry.name == self.name,
            Some(kind) if entry.kind == "Pod" && WORKLOADS.contains(&kind) => entry
                .name
                .strip_prefix(self.name)
                .is_some_and(|rest| rest.starts_with('-')),
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(word: &str) -> Option<String> {
        let kind = match word {
            "pod" | "po" => "Pod",
            "deploy" | "deployment" => "Deployment",
            "netpol" => "NetworkPolicy",
            "cnp" => "CiliumNetworkPolicy",
            _ => return None,
        };
        Some(kind.to_owned())
    }

    fn holds(word: &str, namespace: Option<&str>, entry: Entry<'_>) -> bool {
        let words = [word.to_owned()];
        let mut names = Names::new(&words, namespace, kind);
        let held = names.hold(entry);
        assert_eq!(names.missing(), (!held).then_some(word), "{word}");
        held
    }

    #[test]
    fn names_as_kubectl_takes_them() {
        let pod = Entry {
            kind: "Pod",
            namespace: "shop",
            name: "web-7d4b9-x2x5z",
        };
        for (word, is) in [
            ("web-7d4b9-x2x5z", true),
            ("pod/web-7d4b9-x2x5z", true),
            ("po/web", false),
            ("shop/web-7d4b9-x2x5z", true),
            ("other/web-7d4b9-x2x5z", false),
            ("shop/pod/web-7d4b9-x2x5z", true),
            ("deploy/web", true),
            ("shop/deployment/web", true),
            ("deploy/we", false),
            ("netpol/web", false),
            ("web", false),
        ] {
            assert_eq!(holds(word, None, pod), is, "{word}");
        }
        let policy = Entry {
            kind: "CiliumNetworkPolicy",
            namespace: "shop",
            name: "web",
        };
        for (word, is) in [
            ("web", true),
            ("cnp/web", true),
            ("netpol/web", false),
            ("shop/cnp/web", true),
            ("default/web", false),
        ] {
            assert_eq!(holds(word, None, policy), is, "{word}");
            assert!(!holds(word, Some("other"), policy), "{word}");
        }
    }

    #[test]
    fn no_names_are_all_of_the_namespace() {
        let entry = Entry {
            kind: "Pod",
            namespace: "shop",
            name: "web",
        };
        assert!(Names::new(&[], None, kind).hold(entry));
        assert!(Names::new(&[], Some("shop"), kind).hold(entry));
        assert!(!Names::new(&[], Some("other"), kind).hold(entry));
    }
}

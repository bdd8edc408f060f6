//! Whether all is well with an agent, by its status.

use super::answer::{Status, Unmanaged};

/// Entries of a map in per cent of its room from which on it is told as nearly full.
const NEARLY: u64 = 80;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Something that was asked for is not in force.
    pub grave: bool,
    /// In a word.
    pub word: &'static str,
    /// What, and what comes of it.
    pub text: String,
}

// === impl Status ===

impl Status {
    /// What is not well; empty where all is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(failure) = &self.failure {
            faults.push(format!("the last change is not in force: {failure}"));
        }
        match self.proxy.revision {
            None => {
                faults.push("no proxy is connected: flows that L7 rules select fail".to_owned());
            }
            Some(_) if !self.proxy.listens => faults
                .push("connections that L7 rules select find no listener of the proxy".to_owned()),
            Some(_) => {}
        }
        let lists = [
            ("refused", self.problems.len()),
            ("not under policy", self.unmanaged.len()),
        ];
        for (name, count) in lists.into_iter().filter(|(_, count)| *count > 0) {
            faults.push(format!("{count} {name}"));
        }
        for stale in &self.stale {
            faults.push(format!("{} are stale", stale.kind));
        }
        for map in &self.maps {
            if map.percent() >= NEARLY && map.map != "CONNTRACK" {
                faults.push(format!("map {} is nearly full", map.map));
            }
        }
        if self.self_check.mismatches > 0 {
            faults.push("the kernel decided otherwise than the rules say (self-check)".to_owned());
        }
        faults
    }

    /// Each thing that is not as it should be; `now` is in seconds since the Unix epoch.
    pub fn doubts(&self, now: u64) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut say = |grave, word, text| doubts.push(Doubt { grave, word, text });
        for problem in &self.problems {
            say(true, "refused", problem.to_string());
        }
        for Unmanaged { pod, reason } in &self.unmanaged {
            say(true, "not under policy", format!("{pod}: {reason}"));
        }
        for pod in &self.orphans {
            let why = "its object is gone, its interface is there: its policies stay";
            say(false, "orphan", format!("{pod}: {why}"));
        }
        if let count @ 1.. = self.unowned {
            let why = "interfaces deny everything until they are gone: no pod is known at them";
            say(false, "unowned", format!("{count} {why}"));
        }
        if let count @ 1.. = self.lookups_failed {
            let why = "times interfaces could not be looked up: what was in force stayed";
            say(false, "look-ups", format!("{count} {why}"));
        }
        for stale in &self.stale {
            let since = now.saturating_sub(stale.since);
            let (kind, reason) = (&stale.kind, &stale.reason);
            let text = format!("{kind} since {since} s: {reason}; what was known stays in force");
            say(false, "stale", text);
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::model::PodName;

    use super::*;
    use crate::tools::answer::{MapFill, Problem, ProxyStatus, Stale};

    fn well() -> Status {
        Status {
            proxy: ProxyStatus {
                revision: Some(3),
                pid: Some(7),
                listens: true,
                counters: None,
            },
            maps: vec![MapFill {
                map: "POLICY".into(),
                entries: 5,
                room: 100,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn what_stays_without_an_object_is_told() {
        assert_eq!(well().doubts(0), []);
        let status = Status {
            orphans: vec![PodName::new("default", "left")],
            unowned: 2,
            lookups_failed: 3,
            ..well()
        };
        assert_eq!(status.faults(), [""; 0], "it is meant to be so");
        let told: Vec<String> = status.doubts(0).into_iter().map(|of| of.text).collect();
        for (text, begin) in told.iter().zip([
            "default/left: its object is gone",
            "2 interfaces deny",
            "3 times",
        ]) {
            assert!(text.starts_with(begin), "{text}");
        }
        assert_eq!(told.len(), 3);
    }

    #[test]
    fn every_fault_is_told() {
        assert_eq!(well().faults(), [""; 0]);
        let faulty = |spoil: fn(&mut Status)| {
            let mut status = well();
            spoil(&mut status);
            assert_eq!(status.faults().len(), 1, "{:?}", status.faults());
        };
        faulty(|of| of.failure = Some("no room".into()));
        faulty(|of| of.proxy.revision = None);
        faulty(|of| of.proxy.listens = false);
        faulty(|of| of.problems.push(Problem::default()));
        faulty(|of| of.unmanaged.push(Unmanaged::default()));
        faulty(|of| of.stale.push(Stale::default()));
        faulty(|of| of.maps[0].entries = 80);
        faulty(|of| of.self_check.mismatches = 1);
    }
}

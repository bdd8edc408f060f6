//! What a pending policy would change for the flows of a page: judged in the world of the manifests.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use weir_cluster::{FolderSource, Reading, index::Options};
use weir_lab::Lab;
use weir_policy::{diff, objects::DEFAULT_NAMESPACE, record};
use weir_ui::{Change, Foreseen, Foresight, Pending};

use crate::observe_command::Place;

/// What is in force, read anew for each question: it changes.
#[derive(Debug)]
struct Manifests(Vec<PathBuf>);

/// Who judges: with the manifests that are given, or those of the lab that is shown.
pub fn foresight(place: &Place, given: Vec<PathBuf>) -> Result<Option<Arc<dyn Foresight>>> {
    let paths = match (given.is_empty(), place.lab()) {
        (false, _) => given,
        (true, Some(name)) => vec![Lab::open(&name)?.manifests()],
        (true, None) => return Ok(None),
    };
    // A mistake in what is given shows at the start, and not to whoever asks first.
    let manifests = Manifests(paths);
    manifests.read(None).whole().context("--manifests")?;
    Ok(Some(Arc::new(manifests)))
}

// === impl Manifests ===

impl Manifests {
    /// The world, with a file before it whose objects take the place of others.
    fn read(&self, first: Option<PathBuf>) -> Reading {
        let paths = first.into_iter().chain(self.0.iter().cloned());
        let options = Options {
            assign_addresses: true,
            expand_workloads: true,
            ..Options::default()
        };
        let source = FolderSource::new(paths, options);
        source.offline(DEFAULT_NAMESPACE.to_owned()).read()
    }

    fn judge(&self, pending: &Pending) -> Result<Foreseen> {
        let mut file = tempfile::Builder::new()
            .prefix("weir-pending-")
            .suffix(".yaml")
            .tempfile()
            .context("cannot keep the policy")?;
        file.write_all(pending.policy.as_bytes())
            .context("cannot keep the policy")?;
        let place = file.path().display().to_string();
        let (now, then) = (self.read(None), self.read(Some(file.path().to_owned())));
        now.whole().context("what is in force")?;
        let mut problems = Vec::new();
        for problem in then
            .problems
            .iter()
            .filter(|one| one.place.starts_with(&place))
        {
            let text = problem.to_string().replace(&place, "the policy");
            if problem.fatal {
                bail!("{text}");
            }
            problems.push(text);
        }
        if then.world == now.world && problems.is_empty() {
            bail!("nothing in it differs from what is in force: is it a policy?");
        }
        let mut places = Vec::new();
        let mut flows = Vec::new();
        for (at, line) in pending.flows.iter().enumerate() {
            if let Some(flow) = record::read(line).with_context(|| format!("flow {at}"))? {
                places.push(at);
                flows.push(flow);
            }
        }
        let found = diff::recorded(&now.world, &then.world, &flows);
        let changes = found.changes.into_iter().map(|change| Change {
            places: change.places.iter().map(|at| places[*at]).collect(),
            from: change.from,
            to: change.to,
            flow: change.flow,
            before: change.before.to_string(),
            after: change.after.to_string(),
            reason: change.reason,
        });
        Ok(Foreseen {
            judged: found.judged,
            not_judged: found.not_judged,
            changes: changes.collect(),
            problems,
        })
    }
}

impl Foresight for Manifests {
    fn foresee(&self, pending: &Pending) -> Result<Foreseen, String> {
        self.judge(pending).map_err(|error| format!("{error:#}"))
    }
}

//! Which of several proxies gets new connections.

use weir_link::proxy::ProxyId;

/// A connected proxy, as far as the choice depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub id: ProxyId,
    /// When its process started. Links come up in any order when an agent starts.
    pub started: u64,
    /// It was told to stop.
    pub draining: bool,
    /// It judges by a snapshot.
    pub ready: bool,
    /// Its listeners are here, and were not put in charge yet.
    pub listeners: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one in charge stays, or there is none to take.
    Keep,
    /// Put this one in charge.
    Switch(ProxyId),
    /// This one shall be in charge, and must bring its listeners again: have it connect anew.
    Recall(ProxyId),
}

/// The newest process that is not about to stop; one that is only stays in charge until another one
/// is ready.
pub fn choose(active: Option<ProxyId>, candidates: impl Iterator<Item = Candidate>) -> Choice {
    let ready = candidates.filter(|proxy| proxy.ready);
    let usable = ready.filter(|proxy| !proxy.draining || active == Some(proxy.id));
    let best = usable.max_by_key(|proxy| (!proxy.draining, proxy.started, proxy.id));
    match best {
        Some(best) if active == Some(best.id) => Choice::Keep,
        Some(best) if best.listeners => Choice::Switch(best.id),
        Some(best) => Choice::Recall(best.id),
        None => Choice::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(id: u64, started: u64) -> Candidate {
        Candidate {
            id: ProxyId::new(id),
            started,
            draining: false,
            ready: true,
            listeners: true,
        }
    }

    fn choice(active: Option<u64>, candidates: &[Candidate]) -> Choice {
        choose(active.map(ProxyId::new), candidates.iter().copied())
    }

    #[test]
    fn the_newest_process_counts_and_not_the_newest_link() {
        let (old, new) = (proxy(2, 100), proxy(1, 200));
        assert_eq!(choice(None, &[old]), Choice::Switch(old.id));
        assert_eq!(choice(Some(2), &[old, new]), Choice::Switch(new.id));
        assert_eq!(choice(Some(1), &[old, new]), Choice::Keep);
        let unready = Candidate {
            ready: false,
            ..new
        };
        assert_eq!(choice(Some(2), &[old, unready]), Choice::Keep);
        // Two of the same moment: the later link.
        assert_eq!(
            choice(None, &[proxy(1, 5), proxy(2, 5)]),
            Choice::Switch(ProxyId::new(2))
        );
    }

    #[test]
    fn who_is_about_to_stop_only_fills_in() {
        let leaving = |proxy: Candidate| Candidate {
            draining: true,
            ..proxy
        };
        let (old, new) = (proxy(1, 100), proxy(2, 200));
        assert_eq!(choice(Some(2), &[leaving(new)]), Choice::Keep);
        assert_eq!(
            choice(Some(2), &[old, leaving(new)]),
            Choice::Switch(old.id)
        );
        assert_eq!(choice(None, &[leaving(new)]), Choice::Keep);
    }

    #[test]
    fn an_older_one_is_called_back_when_the_newer_one_goes() {
        let old = Candidate {
            listeners: false,
            ..proxy(1, 100)
        };
        assert_eq!(choice(None, &[old]), Choice::Recall(old.id));
        assert_eq!(choice(Some(2), &[old, proxy(2, 200)]), Choice::Keep);
    }
}

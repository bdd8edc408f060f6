//! Tells that files may have changed.
//!
//! The kernel tells at once; besides, everything is looked at (not read) every two seconds, for
//! what it cannot tell: network file systems, a folder that was deleted and made again, too few
//! inotify watches.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use super::{
    FolderSource,
    files::{self, STDIN},
};

const QUIET: Duration = Duration::from_millis(5);
const AT_MOST: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(2);

/// Changes of the files, told one or many at a time. Ends when dropped.
#[derive(Debug)]
pub struct Changes {
    receiver: mpsc::Receiver<()>,
}

/// The files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread that watches files")]
pub struct WatchError {
    #[source]
    source: io::Error,
}

impl Changes {
    /// Waits until something may have changed since the last call; `None` if the watch has ended.
    ///
    /// Cancel safe: a change is not lost if the future is dropped.
    pub async fn changed(&mut self) -> Option<()> {
        self.receiver.recv().await
    }
}

impl FolderSource {
    /// Starts to watch. Call it before the first [`read`](Self::read), so that nothing changes
    /// unseen between them.
    ///
    /// # Errors
    /// [`WatchError`] where no thread can be started.
    pub fn watch(&self) -> Result<Changes, WatchError> {
        // One signal is enough, however many changes wait.
        let (sender, receiver) = mpsc::channel(1);
        let (events, source) = std_mpsc::channel();
        let roots: Vec<PathBuf> = self
            .paths
            .iter()
            .filter(|path| path.as_path() != Path::new(STDIN))
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            .collect();
        let mut watches = Watches::new(roots, events.clone());
        watches.renew();
        let look = watches.look();
        thread::Builder::new()
            .name("weir-files".to_owned())
            .spawn(move || run(watches, look, &source, &sender, events))
            .map_err(|source| WatchError { source })?;
        Ok(Changes { receiver })
    }
}

type Events = std_mpsc::Sender<notify::Result<Event>>;

/// `_open` keeps the channel open where there is no watcher: the looks go on.
fn run(
    mut watches: Watches,
    mut seen: Vec<Look>,
    events: &std_mpsc::Receiver<notify::Result<Event>>,
    sender: &mpsc::Sender<()>,
    _open: Events,
) {
    loop {
        match events.recv_timeout(LOOK) {
            Ok(event) => {
                if !watches.concerns(&event) {
                    continue;
                }
                let start = Instant::now();
                while start.elapsed() < AT_MOST && events.recv_timeout(QUIET).is_ok() {}
                watches.renew();
                seen = watches.look();
            }
            Err(std_mpsc::RecvTimeoutError::Timeout) => {
                watches.renew();
                let now = watches.look();
                if sender.is_closed() {
                    return;
                }
                if now == seen {
                    continue;
                }
                seen = now;
            }
            Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
            return;
        }
    }
}

/// What a file looks like from outside: path, inode, length, time of change.
type Look = (PathBuf, u64, u64, i64, i64);

struct Watches {
    roots: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// The folders that are watched, by device and inode: one that is made again is another.
    watched: HashMap<PathBuf, (u64, u64)>,
}

impl Watches {
    fn new(roots: Vec<PathBuf>, events: Events) -> Self {
        let handler = move |event| {
            // The other end is gone when nobody watches any more.
            drop(events.send(event));
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| {
                tracing::warn!(%error, "no file events: changes are seen every two seconds");
            })
            .ok();
        Self {
            roots,
            watcher,
            watched: HashMap::new(),
        }
    }

    /// Watches what is not watched yet: each root that is a folder, and the folder around each
    /// root, in which it is replaced or made again.
    fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for root in &self.roots {
            let around = root
                .parent()
                .map(|parent| (parent.to_owned(), RecursiveMode::NonRecursive));
            let inside = (root.clone(), RecursiveMode::Recursive);
            for (folder, mode) in around.into_iter().chain([inside]) {
                let Ok(meta) = fs::metadata(&folder) else {
                    self.watched.remove(&folder);
                    continue;
                };
                let identity = (meta.dev(), meta.ino());
                let is_root = mode == RecursiveMode::Recursive;
                // One root's surroundings may be another root: that watch must stay recursive.
                let skip = !meta.is_dir() || (!is_root && self.roots.contains(&folder));
                if skip || self.watched.get(&folder) == Some(&identity) {
                    continue;
                }
                match watcher.watch(&folder, mode) {
                    Ok(()) => {
                        self.watched.insert(folder, identity);
                    }
                    Err(error) => {
                        tracing::debug!(folder = %folder.display(), %error, "cannot watch");
                    }
                }
            }
        }
    }

    fn concerns(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else {
            // The queue overflowed, or a watch was lost.
            return true;
        };
        if event.need_rescan() {
            return true;
        }
        let matters = match event.kind {
            // A file that is being written is read when its writer closes it.
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Modify(ModifyKind::Data(_)) => false,
            _ => true,
        };
        matters
            && event
                .paths
                .iter()
                .any(|path| self.roots.iter().any(|root| path.starts_with(root)))
    }

    fn look(&self) -> Vec<Look> {
        let mut found = Vec::new();
        for root in &self.roots {
            if files::list(root, &mut found).is_err() {
                // Also a look: a root that is missing differs from an empty one.
                found.push(PathBuf::from(STDIN));
            }
        }
        found
            .into_iter()
            .map(|path| match fs::metadata(&path) {
                Ok(meta) => (
                    path,
                    meta.ino(),
                    meta.len(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                ),
                Err(_) => (path, 0, 0, 0, 0),
            })
            .collect()
    }
}

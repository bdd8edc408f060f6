//! Work for strangers in a process of its own: what takes too much time or memory there is ended, and
//! nobody else has to wait for it.
//!
//! The process reads its work from standard input and says lines. The last whole line counts, also
//! where it was ended later: what is cheap is said first, what may be dear after it.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use nix::sys::resource::{Resource, setrlimit};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::Peer;

/// Seconds of a CPU after which a process ends whose parent has not ended it.
const CPU: u64 = 60;

/// Work that is done apart.
#[derive(Debug)]
pub struct Apart {
    program: PathBuf,
    arguments: Vec<OsString>,
    time: Duration,
    turns: Semaphore,
    /// Each peer with its turn: one that asks for much waits for itself.
    peers: Mutex<HashMap<Peer, Weak<Semaphore>>>,
}

/// What came of a piece of work.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The last line that was said.
    pub line: String,
    /// It was said to the end; else the process was ended, or ended itself, before.
    pub whole: bool,
    /// The process says that it was given nonsense, by the exit status 2.
    pub refused: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Over {
    /// There was no time for it.
    Time(Duration),
    /// The process ended without a word: mostly for want of memory.
    Ended(String),
    /// There is no process.
    Failed(io::Error),
}

// === impl Apart ===

impl Apart {
    /// Work of a program with these arguments, so many pieces at once, each in so much time with what
    /// it waits for its turn.
    pub fn new(program: PathBuf, arguments: Vec<OsString>, at_once: usize, time: Duration) -> Self {
        Self {
            program,
            arguments,
            time,
            turns: Semaphore::new(at_once),
            peers: Mutex::default(),
        }
    }

    /// Has a piece of work done. The process ends where this is dropped.
    ///
    /// # Errors
    /// [`Over`] where nothing was said.
    pub async fn done(&self, peer: Peer, work: Vec<u8>) -> Result<Told, Over> {
        let until = Instant::now() + self.time;
        let own = self.own(peer.apart());
        let turn = async { (own.acquire().await, self.turns.acquire().await) };
        let turn = timeout_at(until, turn).await;
        let _turn = turn.map_err(|_| Over::Time(self.time))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Over::Failed)?;
        let mut line = None;
        let ended = timeout_at(until, finish(&mut child, work, &mut line)).await;
        let (status, in_time) = match ended {
            Ok(Ok(status)) => (Some(status), true),
            Ok(Err(error)) => return Err(Over::Failed(error)),
            Err(_) => (None, false),
        };
        let code = status.and_then(|status| status.code());
        match line {
            Some(line) => Ok(Told {
                line,
                whole: matches!(code, Some(0 | 2)),
                refused: code == Some(2),
            }),
            None if in_time => Err(Over::Ended(
                status.map_or_else(String::new, |status| status.to_string()),
            )),
            None => Err(Over::Time(self.time)),
        }
    }

    /// The turn of a peer.
    fn own(&self, peer: Peer) -> Arc<Semaphore> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, turn| turn.strong_count() > 0);
        peers.get(&peer).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::new(Semaphore::new(1));
            peers.insert(peer, Arc::downgrade(&turn));
            turn
        })
    }
}

/// Gives the work and takes what is said, to the end.
async fn finish(
    child: &mut Child,
    work: Vec<u8>,
    line: &mut Option<String>,
) -> io::Result<std::process::ExitStatus> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // A process that has ended says by its end what is wrong.
            stdin.write_all(&work).await.ok();
        }
        drop(work);
    };
    let take = async {
        match stdout {
            Some(stdout) => lines(stdout, line).await,
            None => Ok(()),
        }
    };
    let ((), taken) = tokio::join!(give, take);
    taken?;
    child.wait().await
}

/// Keeps the last whole line.
async fn lines(from: impl AsyncRead + Unpin, line: &mut Option<String>) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut next = String::new();
        from.read_line(&mut next).await?;
        match next.strip_suffix('\n') {
            Some(whole) => *line = Some(whole.to_owned()),
            None => return Ok(()),
        }
    }
}

/// Bounds this process: so many bytes of memory of its own, some time of a CPU, and no core is left.
///
/// # Errors
/// The limits cannot be set.
pub fn bound(memory: u64) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_DATA, memory, memory)?;
    setrlimit(Resource::RLIMIT_CPU, CPU, CPU)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, at_once: usize, time: Duration) -> Apart {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        Apart::new("/bin/sh".into(), arguments, at_once, time)
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    async fn done(apart: &Apart, work: &[u8]) -> Result<Told, Over> {
        apart.done(Peer::Anybody, work.to_vec()).await
    }

    #[tokio::test]
    async fn the_last_line_counts_and_the_status_says_what_it_is() {
        let told = |line: &str, whole, refused| Told {
            line: line.to_owned(),
            whole,
            refused,
        };
        let work = vec![b'x'; 1 << 20];
        let counted = shell("echo first; wc -c", 1, LONG);
        let answer = done(&counted, &work).await.expect("an answer");
        assert_eq!(answer, told("1048576", true, false));
        let refused = shell("echo no; exit 2", 1, LONG);
        let answer = done(&refused, &work).await.expect("an answer");
        assert_eq!(answer, told("no", true, true));
        let died = shell("echo first; printf half; kill -9 $$", 1, LONG);
        let answer = done(&died, b"").await.expect("an answer");
        assert_eq!(answer, told("first", false, false));
        let silent = shell("kill -9 $$", 1, LONG);
        assert!(matches!(done(&silent, b"").await, Err(Over::Ended(_))));
        let none = Apart::new("/nonexistent".into(), Vec::new(), 1, LONG);
        assert!(matches!(done(&none, b"").await, Err(Over::Failed(_))));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_and_others_have_their_turn() {
        let apart = shell(
            "read kind; [ $kind = quick ] || exec sleep 600; echo $kind",
            2,
            SHORT,
        );
        let from = |text: &str| Peer::Address(text.parse().expect("an address"));
        let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
        let slow = || apart.done(one, b"slow\n".to_vec());
        let mine = async {
            loop {
                match apart.done(other, b"quick\n".to_vec()).await {
                    Ok(told) => return told.line,
                    Err(over) => assert!(matches!(over, Over::Time(_)), "{over:?}"),
                }
            }
        };
        // Of one peer the second waits for the first: the other peer's comes between.
        let (first, second, quick) = tokio::join!(slow(), slow(), mine);
        assert!(matches!(first, Err(Over::Time(_))), "{first:?}");
        assert!(matches!(second, Err(Over::Time(_))), "{second:?}");
        assert_eq!(quick, "quick");
        assert_eq!(apart.turns.available_permits(), 2);
    }

    #[tokio::test]
    async fn what_was_said_before_the_end_counts() {
        let apart = shell("echo cheap; exec sleep 600", 1, Duration::from_secs(2));
        let told = done(&apart, b"").await.expect("a first answer");
        assert_eq!((told.line.as_str(), told.whole), ("cheap", false));
    }
}

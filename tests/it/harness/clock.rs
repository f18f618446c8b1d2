//! A wall clock that a test moves: libfaketime in front of the real binary. The clock that waits
//! are measured by goes on as always.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

#[derive(Debug, Clone)]
pub struct Clock {
    dir: Arc<tempfile::TempDir>,
    library: PathBuf,
    /// Seconds ahead of the real one.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// `None`, with a word about it, where the library is missing.
    pub fn at(moment: &str) -> Option<Clock> {
        let Some(library) = library() else {
            let required = std::env::var_os("HAWSER_TEST_DEPS").is_some();
            assert!(!required, "libfaketime is missing; tests/run installs it");
            eprintln!("skipped: libfaketime is not installed (tests/run installs it)");
            return None;
        };
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let clock = Clock { dir, library, ahead: Arc::default() };
        clock.set(moment);
        Some(clock)
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst))
    }

    /// To a moment such as `2026-11-30T15:59:50Z`.
    pub fn set(&self, moment: &str) {
        let moment: Timestamp = moment.parse().unwrap_or_else(|e| panic!("{moment}: {e}"));
        self.put(moment.as_second() - Timestamp::now().as_second());
    }

    fn put(&self, ahead: i64) {
        // Replaced as a whole: it is read at every look at the clock.
        let fresh = self.dir.path().join("fresh");
        std::fs::write(&fresh, format!("{ahead:+}\n")).expect("written");
        std::fs::rename(fresh, self.file()).expect("renamed");
        self.ahead.store(ahead, Ordering::SeqCst);
    }

    /// Seconds ahead of the real clock, with their sign.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    pub fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}

fn library() -> Option<PathBuf> {
    let below = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut homes: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
    homes.extend(["/usr/lib", "/usr/lib64"].map(PathBuf::from));
    let file = |home: &Path| home.join("faketime/libfaketimeMT.so.1");
    homes.iter().map(|home| file(home)).find(|path| path.exists())
}

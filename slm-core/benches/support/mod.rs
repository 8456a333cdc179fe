//! What the benches share: arguments, token ids, and the memory of this process.

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

/// Of a benchmark.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// `TASK DIRECTORY [name=value ..]`.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// What to measure.
    pub(crate) task: String,
    /// A model's directory.
    pub(crate) directory: PathBuf,
    named: Vec<(String, String)>,
}

impl Arguments {
    /// Of this process; `None` where there are none but those that cargo adds.
    pub(crate) fn read() -> Outcome<Option<Self>> {
        let mut all = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
        let Some(task) = all.next() else { return Ok(None) };
        let directory = all.next().ok_or("name a model's directory after the task")?.into();
        let pair = |a: String| a.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
        let named = all.map(|a| pair(a.clone()).ok_or(format!("expected name=value, found {a}")));
        Ok(Some(Self { task, directory, named: named.collect::<Result<_, _>>()? }))
    }

    /// A named value, or the default.
    pub(crate) fn get<T: FromStr<Err: Error + 'static>>(&self, name: &str, default: T) -> Outcome<T> {
        match self.text(name) {
            Some(text) => Ok(text.parse()?),
            None => Ok(default),
        }
    }

    /// A named value as it stands.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A prompt of `count` tokens below `limit`, the same in every engine (`prompt` in `tools/bench_engines.py`).
#[allow(dead_code, reason = "not every bench reads a prompt")]
pub(crate) fn prompt(count: usize, limit: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * 7919 + 13) % limit) as u32).collect()
}

/// Seconds since `start`.
pub(crate) fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// A figure of this process in bytes, from the kernel: `VmHWM` is the most memory it ever held, files that it mapped
/// included; `RssAnon` and `RssFile` are what it holds now, of its own and of files.
pub(crate) fn memory(field: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with(field)).ok_or("no such field")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no value")?.parse()?;
    Ok(kilobytes * 1024)
}

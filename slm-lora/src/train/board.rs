//! [`TensorBoardLog`]: scalars as TensorBoard reads them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use slm_core::Error as CoreError;

use super::StepLog;
use crate::Result;

/// What every file of events begins with.
const VERSION: &[u8] = b"brain.Event:2";

/// A file of events in a folder of runs: what TensorBoard, or anything that reads its files, plots. Each scalar is complete
/// once [`TensorBoardLog::write`] returns.
#[derive(Debug)]
pub struct TensorBoardLog {
    path: PathBuf,
    file: File,
}

impl TensorBoardLog {
    /// Begins a file in `folder`, which is made where there is none. A run that goes on begins another one, and TensorBoard
    /// joins them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| CoreError::io(folder, e))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{:010}.{:09}.slm", since.as_secs(), since.subsec_nanos());
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(|e| CoreError::io(&path, e))?;
        let mut log = Self { path, file };
        let mut event = stamped();
        bytes(&mut event, 3, VERSION);
        log.append(&event)?;
        Ok(log)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends scalars of a step, by name: `train/loss`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, step: usize, scalars: &[(&str, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (name, value) in scalars {
            let mut one = Vec::new();
            bytes(&mut one, 1, name.as_bytes());
            key(&mut one, 2, 5);
            one.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &one);
        }
        let mut event = stamped();
        key(&mut event, 2, 0);
        varint(&mut event, step as u64);
        bytes(&mut event, 5, &summary);
        self.append(&event)
    }

    /// Appends what a step did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn step(&mut self, log: &StepLog) -> Result<()> {
        let speed = log.tokens as f64 / log.seconds.max(f64::MIN_POSITIVE);
        self.write(
            log.step,
            &[
                ("train/loss", f64::from(log.loss)),
                ("train/learning_rate", log.learning_rate),
                ("train/gradient_norm", f64::from(log.gradient_norm)),
                ("train/epoch", log.epoch),
                ("train/tokens_per_second", speed),
            ],
        )
    }

    /// A record: length, its checksum, the event, its checksum.
    fn append(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked(&length), event, &masked(event)];
        Ok(self.file.write_all(&parts.concat()).map_err(|e| CoreError::io(&self.path, e))?)
    }
}

/// An event with the time.
fn stamped() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut event = Vec::new();
    key(&mut event, 1, 1);
    event.extend(now.as_secs_f64().to_le_bytes());
    event
}

/// Protocol buffers' key of a field.
fn key(to: &mut Vec<u8>, field: u8, kind: u8) {
    to.push(field << 3 | kind);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn bytes(to: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(to, field, 2);
    varint(to, value.len() as u64);
    to.extend(value);
}

/// The checksum as these records have it: turned and shifted.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records whose checksums hold.
    fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some((head, rest)) = file.split_at_checked(12) {
            let length = head[..8].iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
            assert_eq!(head[8..], masked(&head[..8]));
            let (event, after) = rest.split_at(length);
            assert_eq!(after[..4], masked(event));
            all.push(event.to_vec());
            file = &after[4..];
        }
        assert!(file.is_empty());
        all
    }

    #[test]
    fn records_are_whole_and_hold_what_was_written() -> Result<()> {
        let folder = tempfile::tempdir().map_err(|e| CoreError::io(Path::new("temporary"), e))?;
        let mut log = TensorBoardLog::create(&folder.path().join("run"))?;
        log.write(300, &[("train/loss", 1.5)])?;
        let file = std::fs::read(log.path()).map_err(|e| CoreError::io(log.path(), e))?;
        let all = records(&file);
        assert_eq!(all.len(), 2);
        assert!(all[0].ends_with(VERSION));
        // Step 300, and a summary of one value.
        let mut want = vec![0x10, 0xac, 0x02, 0x2a, 19, 0x0a, 17, 0x0a, 10];
        want.extend(b"train/loss");
        want.push(0x15);
        want.extend(1.5_f32.to_le_bytes());
        assert_eq!(all[1][9..], want);
        Ok(())
    }
}

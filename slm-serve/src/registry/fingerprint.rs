//! Which files exactly answer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 over a file, or over the names and contents of the files of a directory (not of its folders), as 64
/// hexadecimal digits.
///
/// # Errors
/// When one cannot be read.
pub fn fingerprint(path: &Path) -> Result<String> {
    let io = |path: &Path| {
        let path = PathBuf::from(path);
        move |source| Error::Io { path, source }
    };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let listed = std::fs::read_dir(path).map_err(io(path))?.map(|e| e.map(|e| e.path()));
        files = listed.collect::<std::io::Result<_>>().map_err(io(path))?;
        files.retain(|p| p.is_file());
        files.sort();
    }
    let mut all = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        all.update((name.len() as u64).to_le_bytes());
        all.update(name.as_bytes());
        let mut reader = File::open(file).map_err(io(file))?;
        let mut one = Sha256::new();
        loop {
            let read = reader.read(&mut buffer).map_err(io(file))?;
            if read == 0 {
                break;
            }
            one.update(&buffer[..read]);
        }
        all.update(one.finalize());
    }
    Ok(hex(&all.finalize()))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

//! Lines of a text file, plain or gzip, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Calls `visit` with the number (from 1) and text of each line that is not blank.
///
/// A line that is not UTF-8 is handed on as an error text. Gzip is recognised by its first two bytes, so a
/// wrong file name does no harm.
pub(super) fn for_each_line(path: &Path, mut visit: impl FnMut(usize, Result<&str, String>)) -> Result<()> {
    let mut reader = open(path)?;
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        if reader.read_until(b'\n', &mut buffer).map_err(|source| Error::io(path, source))? == 0 {
            break;
        }
        match std::str::from_utf8(&buffer) {
            Ok(line) => {
                let line = if number == 1 { line.trim_start_matches(BYTE_ORDER_MARK) } else { line };
                if !line.trim().is_empty() {
                    visit(number, Ok(line.trim()));
                }
            }
            Err(error) => visit(number, Err(format!("not UTF-8: {error}"))),
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let fail = |source| Error::io(path, source);
    let mut magic = Vec::new();
    File::open(path).map_err(fail)?.take(2).read_to_end(&mut magic).map_err(fail)?;
    let file = BufReader::new(File::open(path).map_err(fail)?);
    if magic == GZIP_MAGIC {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

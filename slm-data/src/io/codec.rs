//! Compression: recognised by the first bytes when reading, by the name when writing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::{Error, Result};

const GZIP_MAGIC: [u8; 4] = [0x1f, 0x8b, 0, 0];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Opens a file and unpacks gzip and zstd on the way, whatever the name says.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let fail = |source| Error::io(path, source);
    let mut magic = Vec::new();
    File::open(path).map_err(fail)?.take(4).read_to_end(&mut magic).map_err(fail)?;
    let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(fail)?);
    if magic.starts_with(&GZIP_MAGIC[..2]) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))));
    }
    if magic == ZSTD_MAGIC {
        return unpack_zstd(file, path);
    }
    Ok(Box::new(file))
}

#[cfg(feature = "zstd")]
fn unpack_zstd(file: BufReader<File>, path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(|source| Error::io(path, source))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, decoder)))
}

#[cfg(not(feature = "zstd"))]
fn unpack_zstd(_: BufReader<File>, path: &Path) -> Result<Box<dyn BufRead + Send>> {
    Err(Error::Feature { path: path.to_owned(), format: "zstd", feature: "zstd" })
}

/// The name without `.gz` or `.zst`, in lower case.
pub(super) fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = [".gz", ".zst"].into_iter().find_map(|ending| name.strip_suffix(ending));
    plain.map_or(name.clone(), str::to_owned)
}

/// A file being written, packed as its name says.
pub(super) enum Packer {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Packer {
    /// Packs into `file` as the name of `path` says.
    pub(super) fn new(path: &Path, file: File) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 16, file);
        let ends = |with: &str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(with));
        if ends("gz") {
            return Ok(Self::Gzip(GzEncoder::new(file, Compression::default())));
        }
        if ends("zst") {
            return Self::zstd(file);
        }
        Ok(Self::Plain(file))
    }

    #[cfg(feature = "zstd")]
    fn zstd(file: BufWriter<File>) -> io::Result<Self> {
        Ok(Self::Zstd(zstd::stream::write::Encoder::new(file, 3)?))
    }

    #[cfg(not(feature = "zstd"))]
    fn zstd(_: BufWriter<File>) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "zstd needs the feature `zstd`"))
    }

    /// Writes what is left, and waits until the disk has it.
    pub(super) fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(gzip) => gzip.finish()?,
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(gzip) => gzip.write(bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(gzip) => gzip.flush(),
            #[cfg(feature = "zstd")]
            Self::Zstd(zstd) => zstd.flush(),
        }
    }
}

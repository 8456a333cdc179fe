//! Near duplicates among rows that do not fit into memory.
//!
//! The rows are read four times, a few thousand at once. Their keys go to files by the key's bits, so that equal keys
//! meet in one file; rows that share a key, directly or through others, go to files by the first of them, and are
//! settled there as in memory. What is held is eight bytes for each row, the sample for the template, and one file of
//! each kind at a time: the largest family of similar rows must fit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::config::NearDuplicateConfig;
use super::near::{may_equal, normal, verdict};
use super::reason::{DropReason, Verdict};
use super::structure::check_turns;
use crate::duplicates::{Buffers, Rules, Sketcher, banded, sample};
use crate::io::write_line;
use crate::sets::DisjointSets;
use crate::text::mix;
use crate::{Entry, Error, Example, Result, RowReader};

/// Files of each kind.
const FILES: usize = 64;
/// Rows that are sketched at once.
const PIECE: usize = 4096;
/// Bytes of a key and its row's number.
const RECORD: usize = 16;

/// The verdicts on the rows of a file, in their order. Rows without the right turns are not counted.
pub(crate) struct Verdicts {
    files: Vec<Lines<BufReader<File>>>,
    /// The next verdict of each file.
    heads: BinaryHeap<Reverse<(usize, usize)>>,
    next: Vec<Option<Found>>,
    at: usize,
}

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdicts").field("at", &self.at).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Found {
    at: usize,
    detail: String,
    of: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    root: usize,
    at: usize,
    row: Example,
}

/// Compares the rows of `path` through files in the folder `scratch`, which may be removed when the verdicts are read.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn near_on_disk(path: &Path, scratch: &Path, config: &NearDuplicateConfig) -> Result<Verdicts> {
    fs::create_dir_all(scratch).map_err(|source| Error::io(scratch, source))?;
    let mut count = 0;
    each_piece(path, |_, rows| {
        count += rows.len();
        Ok(())
    })?;
    let similarity = config.similarity();
    let places = sample(count, &similarity);
    let mut sets = Vec::with_capacity(places.len());
    if !places.is_empty() {
        each_piece(path, |start, rows| {
            let wanted = places.iter().skip(sets.len()).take_while(|at| **at < start + rows.len());
            let wanted: Vec<usize> = wanted.map(|at| at - start).collect();
            let set = |at: &usize| similarity.shingle.set(&normal(&rows[*at], config.compared));
            sets.par_extend(wanted.par_iter().map(set));
            Ok(())
        })?;
    }
    let sketcher = Sketcher::new(&similarity, sets);
    let disk = Disk { path, scratch, config, sketcher };
    let families = disk.families(count)?;
    disk.spill_members(families)?;
    (0..FILES).try_for_each(|file| disk.settle(file))?;
    Verdicts::open(scratch)
}

struct Disk<'a> {
    path: &'a Path,
    scratch: &'a Path,
    config: &'a NearDuplicateConfig,
    sketcher: Sketcher<'a>,
}

impl Disk<'_> {
    fn keys(&self, start: usize, rows: &[Example]) -> Vec<u64> {
        let bands = self.sketcher.bands();
        let mut keys = vec![0; rows.len() * bands];
        keys.par_chunks_mut(bands).zip(rows).enumerate().for_each_init(
            Buffers::default,
            |buffers, (at, (out, row))| {
                self.sketcher.keys(start + at, &normal(row, self.config.compared), buffers, out);
            },
        );
        keys
    }

    /// Rows that share keys, directly or through others.
    fn families(&self, count: usize) -> Result<DisjointSets> {
        let mut files = Files::create(self.scratch, "keys")?;
        each_piece(self.path, |start, rows| {
            for (at, keys) in self.keys(start, &rows).chunks(self.sketcher.bands()).enumerate() {
                for key in banded(keys) {
                    let mut record = [0; RECORD];
                    record[..8].copy_from_slice(&key.to_le_bytes());
                    record[8..].copy_from_slice(&((start + at) as u64).to_le_bytes());
                    files.write(key, &record)?;
                }
            }
            Ok(())
        })?;
        files.finish()?;
        let mut sets = DisjointSets::new(count);
        for file in 0..FILES {
            let path = name(self.scratch, "keys", file);
            let bytes = fs::read(&path).map_err(|source| Error::io(&path, source))?;
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
            let mut records: Vec<(u64, u64)> = bytes
                .chunks_exact(RECORD)
                .map(|record| (number(&record[..8]), number(&record[8..])))
                .collect();
            records.par_sort_unstable();
            for pair in records.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                sets.join(at(pair[0].1), at(pair[1].1));
            }
            fs::remove_file(&path).map_err(|source| Error::io(&path, source))?;
        }
        Ok(sets)
    }

    /// Writes the rows of all families but those of one row.
    fn spill_members(&self, mut families: DisjointSets) -> Result<()> {
        let count = families.len();
        let mut shared = vec![false; count];
        for at in 0..count {
            let root = families.root(at);
            if root != at {
                (shared[root], shared[at]) = (true, true);
            }
        }
        let mut files = Files::create(self.scratch, "members")?;
        each_piece(self.path, |start, rows| {
            for (at, row) in rows.into_iter().enumerate().map(|(at, row)| (start + at, row)) {
                if shared[at] {
                    let root = families.root(at);
                    files.write_line(mix(root as u64), &Member { root, at, row })?;
                }
            }
            Ok(())
        })?;
        files.finish()
    }

    /// Settles the families of a file, and writes the verdicts in the order of the rows.
    fn settle(&self, file: usize) -> Result<()> {
        let path = name(self.scratch, "members", file);
        let mut families: BTreeMap<usize, Vec<Member>> = BTreeMap::new();
        for line in lines(&path)? {
            let member: Member = parse(&line.map_err(|source| Error::io(&path, source))?, &path)?;
            families.entry(member.root).or_default().push(member);
        }
        let mut found: Vec<Found> = families
            .into_values()
            .collect::<Vec<_>>()
            .into_par_iter()
            .flat_map_iter(|m| self.family(&m))
            .collect();
        found.sort_by_key(|found| found.at);
        let to = name(self.scratch, "verdicts", file);
        let mut out = BufWriter::new(File::create(&to).map_err(|source| Error::io(&to, source))?);
        let written =
            found.iter().try_for_each(|found| write_line(&mut out, found)).and_then(|()| out.flush());
        written.map_err(|source| Error::io(&to, source))?;
        fs::remove_file(&path).map_err(|source| Error::io(&path, source))
    }

    fn family(&self, members: &[Member]) -> Vec<Found> {
        let bands = self.sketcher.bands();
        let mut keys = vec![0; members.len() * bands];
        let texts: Vec<String> = members.iter().map(|m| normal(&m.row, self.config.compared)).collect();
        let mut buffers = Buffers::default();
        for ((member, text), out) in members.iter().zip(&texts).zip(keys.chunks_mut(bands)) {
            self.sketcher.keys(member.at, text, &mut buffers, out);
        }
        let same = |at: usize, of: usize| may_equal(&members[at].row, &members[of].row, self.config.rule);
        let rules = Rules { may_equal: &same, duplicates_count: false };
        let order: Vec<usize> = (0..members.len()).collect();
        let settled = self.sketcher.settle(&order, &keys, &rules, |at| self.sketcher.set(&texts[at]));
        let found = settled.into_iter().map(|(at, found)| {
            let Verdict { detail, of, .. } = verdict(found.similarity, &members[found.of].row);
            Found { at: members[at].at, detail, of }
        });
        found.collect()
    }
}

impl Verdicts {
    fn open(scratch: &Path) -> Result<Self> {
        let files =
            (0..FILES).map(|file| lines(&name(scratch, "verdicts", file))).collect::<Result<Vec<_>>>()?;
        let next = files.iter().map(|_| None).collect();
        let mut verdicts = Self { files, heads: BinaryHeap::new(), next, at: 0 };
        (0..FILES).try_for_each(|file| verdicts.advance(file))?;
        Ok(verdicts)
    }

    fn advance(&mut self, file: usize) -> Result<()> {
        let path = Path::new("verdicts");
        let line = self.files[file].next().transpose().map_err(|source| Error::io(path, source))?;
        let found: Option<Found> = line.map(|line| parse(&line, path)).transpose()?;
        self.heads.extend(found.as_ref().map(|found| Reverse((found.at, file))));
        self.next[file] = found;
        Ok(())
    }

    /// The verdict on the next row.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn of_next(&mut self, row: &Example) -> Result<Option<Verdict>> {
        if let Some(verdict) = check_turns(row) {
            return Ok(Some(verdict));
        }
        let at = self.at;
        self.at += 1;
        let Some(&Reverse((_, file))) = self.heads.peek().filter(|head| head.0.0 == at) else {
            return Ok(None);
        };
        self.heads.pop();
        let found = self.next[file].take();
        self.advance(file)?;
        Ok(found.map(|Found { detail, of, .. }| Verdict { reason: DropReason::NearDuplicate, detail, of }))
    }
}

/// The rows with the right turns, some at a time, with the number of the first.
fn each_piece(path: &Path, mut visit: impl FnMut(usize, Vec<Example>) -> Result<()>) -> Result<()> {
    let mut start = 0;
    let mut rows = Vec::with_capacity(PIECE);
    for entry in RowReader::<Example>::open(path)? {
        if let Entry::Row(row) = entry?
            && check_turns(&row).is_none()
        {
            rows.push(row);
        }
        if rows.len() == PIECE {
            visit(start, std::mem::replace(&mut rows, Vec::with_capacity(PIECE)))?;
            start += PIECE;
        }
    }
    if rows.is_empty() { Ok(()) } else { visit(start, rows) }
}

/// Files that records go to by a hash.
struct Files(Vec<(PathBuf, BufWriter<File>)>);

impl Files {
    fn create(folder: &Path, kind: &str) -> Result<Self> {
        let create = |file| {
            let path = name(folder, kind, file);
            let created = File::create(&path).map_err(|source| Error::io(&path, source))?;
            Ok((path, BufWriter::with_capacity(1 << 15, created)))
        };
        (0..FILES).map(create).collect::<Result<_>>().map(Self)
    }

    fn write(&mut self, hash: u64, record: &[u8]) -> Result<()> {
        let (path, out) = &mut self.0[(hash >> 58) as usize];
        out.write_all(record).map_err(|source| Error::io(path.as_path(), source))
    }

    fn write_line(&mut self, hash: u64, value: &impl Serialize) -> Result<()> {
        let (path, out) = &mut self.0[(hash >> 58) as usize];
        write_line(out, value).map_err(|source| Error::io(path.as_path(), source))
    }

    fn finish(self) -> Result<()> {
        self.0
            .into_iter()
            .try_for_each(|(path, mut out)| out.flush().map_err(|source| Error::io(path, source)))
    }
}

fn name(folder: &Path, kind: &str, file: usize) -> PathBuf {
    folder.join(format!("{kind}.{file}"))
}

fn lines(path: &Path) -> Result<Lines<BufReader<File>>> {
    Ok(BufReader::new(File::open(path).map_err(|source| Error::io(path, source))?).lines())
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str, path: &Path) -> Result<T> {
    serde_json::from_str(line).map_err(|error| Error::io(path, error.into()))
}

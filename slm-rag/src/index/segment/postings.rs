//! Which entries have a term, and how often: numbers in order, as differences, in few bytes, with the ends of blocks before
//! them, so that a reader may leave blocks out.

use super::bytes::{put_varint, take_varint};

/// Entries of a block.
const BLOCK: u32 = 128;

/// A list in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Postings {
    bytes: Vec<u8>,
    /// Of each whole block: its last entry less that of the one before, and its bytes.
    blocks: Vec<u8>,
    pub(super) count: u32,
    /// The largest frequency.
    pub(super) most: u32,
    last: u32,
    block_last: u32,
    block_start: usize,
}

impl Postings {
    /// Adds an entry, which must come after those before it.
    pub(super) fn push(&mut self, id: u32, frequency: u32) {
        if self.count > 0 && self.count.is_multiple_of(BLOCK) {
            put_varint(&mut self.blocks, u64::from(self.last - self.block_last));
            put_varint(&mut self.blocks, (self.bytes.len() - self.block_start) as u64);
            (self.block_last, self.block_start) = (self.last, self.bytes.len());
        }
        // The lowest bit says whether a frequency follows; most terms occur once.
        let step = u64::from(id - self.last) << 1;
        if frequency == 1 {
            put_varint(&mut self.bytes, step);
        } else {
            put_varint(&mut self.bytes, step | 1);
            put_varint(&mut self.bytes, u64::from(frequency));
        }
        self.last = id;
        self.count += 1;
        self.most = self.most.max(frequency);
    }

    /// The list as it is kept.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + self.blocks.len() + 3);
        put_varint(&mut out, self.blocks.len() as u64);
        out.extend(self.blocks);
        out.extend(self.bytes);
        out
    }
}

/// An entry and its frequency; `None` where the bytes are no list.
#[inline(always)]
fn take(bytes: &mut &[u8], last: u32) -> Option<(u32, u32)> {
    let step = take_varint(bytes)?;
    let id = last.checked_add(u32::try_from(step >> 1).ok()?)?;
    let frequency = if step & 1 == 0 { 1 } else { u32::try_from(take_varint(bytes)?).ok()? };
    Some((id, frequency))
}

/// The ends of blocks, and the entries.
fn parts(mut bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let blocks = usize::try_from(take_varint(&mut bytes)?).ok()?;
    bytes.split_at_checked(blocks)
}

/// Calls `each` with every entry and its frequency, in order. `None` where the bytes are no list.
#[inline(always)]
pub(crate) fn for_each_posting(bytes: &[u8], mut each: impl FnMut(u32, u32)) -> Option<()> {
    let (_, mut bytes) = parts(bytes)?;
    let mut last = 0;
    while !bytes.is_empty() {
        let (id, frequency) = take(&mut bytes, last)?;
        each(id, frequency);
        last = id;
    }
    Some(())
}

/// A place in a list.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Where the next entry is.
    at: usize,
    /// Of each whole block: its last entry, and where it ends.
    blocks: Vec<(u32, usize)>,
    /// The entry here; [`u32::MAX`] behind the last.
    pub(crate) id: u32,
    pub(crate) frequency: u32,
}

impl<'a> Cursor<'a> {
    /// At the first entry; `None` where the bytes are no list.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (mut ends, entries) = parts(bytes)?;
        let mut at = bytes.len() - entries.len();
        let (start, mut last, mut blocks) = (at, 0_u32, Vec::new());
        while !ends.is_empty() {
            last = last.checked_add(u32::try_from(take_varint(&mut ends)?).ok()?)?;
            at = at.checked_add(usize::try_from(take_varint(&mut ends)?).ok()?)?;
            blocks.push((last, at));
        }
        let mut cursor = Self { bytes, at: start, blocks, id: 0, frequency: 0 };
        cursor.next()?;
        Some(cursor)
    }

    /// To the next entry. `None` where the bytes are no list.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<()> {
        let mut rest = self.bytes.get(self.at..)?;
        if rest.is_empty() {
            self.id = u32::MAX;
            return Some(());
        }
        (self.id, self.frequency) = take(&mut rest, self.id)?;
        self.at = self.bytes.len() - rest.len();
        Some(())
    }

    /// To the first entry that is not before `id`. `None` where the bytes are no list.
    #[inline]
    pub(crate) fn seek(&mut self, id: u32) -> Option<()> {
        if self.id >= id {
            return Some(());
        }
        let whole = self.blocks.partition_point(|(last, _)| *last < id);
        if let Some((last, end)) = whole.checked_sub(1).and_then(|n| self.blocks.get(n))
            && *end > self.at
        {
            (self.id, self.at) = (*last, *end);
        }
        while self.id < id {
            self.next()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: impl IntoIterator<Item = (u32, u32)>) -> Postings {
        let mut postings = Postings::default();
        entries.into_iter().for_each(|(id, frequency)| postings.push(id, frequency));
        postings
    }

    #[test]
    fn lists_come_back() {
        let long: Vec<(u32, u32)> = (0..1000).map(|n| (n * n + 3, 1 + n % 5)).collect();
        for entries in [vec![(0, 1), (1, 7), (5, 1), (1_000_000, 2), (u32::MAX - 1, 1)], long, Vec::new()] {
            let postings = list(entries.iter().copied());
            assert_eq!(postings.count as usize, entries.len());
            assert_eq!(postings.most, entries.iter().map(|(_, frequency)| *frequency).max().unwrap_or(0));
            let bytes = postings.finish();
            let mut got = Vec::new();
            assert_eq!(for_each_posting(&bytes, |id, frequency| got.push((id, frequency))), Some(()));
            assert_eq!(got, entries);
        }
        assert_eq!(for_each_posting(&[0, 0x83], |_, _| ()), None);
        assert_eq!(for_each_posting(&[9, 0], |_, _| ()), None, "fewer bytes than it says");
        let beyond = [0, 0xfe, 0xff, 0xff, 0xff, 0x1f, 0x02];
        assert_eq!(for_each_posting(&beyond, |_, _| ()), None, "beyond the last id");
    }

    #[test]
    fn a_reader_may_leave_entries_out() {
        let entries: Vec<(u32, u32)> = (0..5000).map(|n| (7 * n + n % 3, 1 + n % 4)).collect();
        let bytes = list(entries.iter().copied()).finish();
        for step in [1, 2, 3, 100, 901, 4000, 34_000] {
            let mut cursor = Cursor::new(&bytes).expect("a list");
            for target in (0..36_000).step_by(step) {
                assert_eq!(cursor.seek(target), Some(()));
                let expected = entries.iter().find(|(id, _)| *id >= target);
                let got = (cursor.id != u32::MAX).then_some((cursor.id, cursor.frequency));
                assert_eq!(got.as_ref(), expected, "{target} by {step}");
            }
        }
        assert!(Cursor::new(&[0, 0x83]).is_none());
        // A block that ends behind the list is noticed where it is read.
        let mut damaged = Cursor::new(&[2, 9, 99, 2, 2]).expect("a first entry");
        assert_eq!(damaged.seek(20), None);
    }
}

//! Which entries have a term, and how often: numbers in order, as differences, in few bytes.

use super::bytes::{put_varint, take_varint};

/// A list in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Postings {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
    last: u32,
}

impl Postings {
    /// Adds an entry, which must come after those before it.
    pub(super) fn push(&mut self, id: u32, frequency: u32) {
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
    }
}

/// Calls `each` with every entry and its frequency, in order. `None` where the bytes are no list.
#[inline(always)]
pub(crate) fn for_each_posting(mut bytes: &[u8], mut each: impl FnMut(u32, u32)) -> Option<()> {
    let mut id = 0_u32;
    while !bytes.is_empty() {
        let step = take_varint(&mut bytes)?;
        id = id.checked_add(u32::try_from(step >> 1).ok()?)?;
        let frequency = if step & 1 == 0 { 1 } else { u32::try_from(take_varint(&mut bytes)?).ok()? };
        each(id, frequency);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let list = [(0, 1), (1, 7), (5, 1), (1_000_000, 2), (u32::MAX, 1)];
        let mut postings = Postings::default();
        list.iter().for_each(|&(id, frequency)| postings.push(id, frequency));
        let mut got = Vec::new();
        assert_eq!(for_each_posting(&postings.bytes, |id, frequency| got.push((id, frequency))), Some(()));
        assert_eq!((got.as_slice(), postings.count), (list.as_slice(), 5));
        assert_eq!(for_each_posting(&[0x83], |_, _| ()), None);
        assert_eq!(
            for_each_posting(&[0xfe, 0xff, 0xff, 0xff, 0x1f, 0x02], |_, _| ()),
            None,
            "beyond the last id"
        );
    }
}

//! Seeded choices, and the identifiers that both the general tasks and the log lines are made of.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
const VOWELS: &[u8] = b"aeiou";
/// Syllables at random do make real words; these no reader wants to meet.
const UNWELCOME: &[&str] = &["nazi", "rape", "rapi", "puta", "kike", "dago", "niga"];

/// Rolls of one seed. Each generator has its own stream, so that equal seeds do not correlate.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A number of `low..=high`.
    pub(super) fn number(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high)
    }

    /// An index below `len`, which must not be zero.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.0.random_range(0..n) == 0
    }

    /// One entry of a table, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.index(table.len())]
    }

    /// `n` different entries of a table, or all of a shorter one, in random order.
    pub(super) fn several<T: Copy>(&mut self, table: &[T], n: usize) -> Vec<T> {
        let mut all = table.to_vec();
        self.shuffle(&mut all);
        all.truncate(n);
        all
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }

    /// A pronounceable word of two or three syllables that means nothing.
    pub(super) fn word(&mut self) -> String {
        loop {
            let syllables = self.number(2, 3);
            let letters = (0..syllables).flat_map(|_| [self.pick(CONSONANTS), self.pick(VOWELS)]);
            let word: String = letters.map(char::from).collect();
            if !UNWELCOME.iter().any(|unwelcome| word.contains(unwelcome)) {
                return word;
            }
        }
    }

    /// A host-like identifier of the given roles: `web-03`.
    pub(super) fn host(&mut self, roles: &[&str]) -> String {
        format!("{}-{:02}", self.pick(roles), self.number(1, 99))
    }

    /// `2026-03-14`.
    pub(super) fn date(&mut self) -> String {
        format!("2026-{:02}-{:02}", self.number(1, 12), self.number(1, 28))
    }

    /// `09:26:53`.
    pub(super) fn time(&mut self) -> String {
        format!("{:02}:{:02}:{:02}", self.number(0, 23), self.number(0, 59), self.number(0, 59))
    }

    /// A private address: `10.4.0.17`.
    pub(super) fn ip(&mut self) -> String {
        format!("10.{}.{}.{}", self.number(0, 9), self.number(0, 9), self.number(1, 99))
    }

    /// Four hexadecimal digits, at least one of them a letter: `7fa3`.
    pub(super) fn hex(&mut self) -> String {
        format!(
            "{}{}{:02x}",
            self.number(0, 9),
            self.pick(&["a", "b", "c", "d", "e", "f"]),
            self.number(0, 255)
        )
    }
}

/// FNV-1a: stable across platforms and releases, unlike the hashers of the standard library.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_roll_equally_and_streams_differ() {
        let roll = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            (dice.word(), dice.time(), dice.ip(), dice.hex(), dice.host(&["web", "db"]))
        };
        assert_eq!(roll(7, 1), roll(7, 1));
        assert_ne!(roll(7, 1), roll(7, 2));
        assert_ne!(roll(7, 1), roll(8, 1));
    }

    #[test]
    fn fnv1a_matches_the_published_vectors() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }
}

//! Guesses at the next tokens, from the text itself.

use super::config::Lookup;

/// What followed the longest run of last tokens, of at most `max_ngram`, where it occurred before; the last
/// occurrence counts. Empty where there is none.
pub(super) fn guess<'a>(lookup: &Lookup, seen: &'a [u32], most: usize) -> &'a [u32] {
    let most = most.min(lookup.max_guess);
    for length in (1..=lookup.max_ngram.min(seen.len().saturating_sub(1))).rev() {
        let (earlier, run) = (&seen[..seen.len() - 1], &seen[seen.len() - length..]);
        if let Some(at) = earlier.windows(length).rposition(|w| w == run) {
            let next = at + length;
            return &seen[next..(next + most).min(seen.len())];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_latest_run_decides() {
        let lookup = Lookup { max_ngram: 2, max_guess: 3 };
        let seen = [1, 2, 3, 9, 1, 2, 4, 5, 2, 7, 1, 2];
        assert_eq!(guess(&lookup, &seen, 8), [4, 5, 2]);
        assert_eq!(guess(&lookup, &seen, 1), [4]);
        assert_eq!(guess(&lookup, &[5, 5, 5], 8), [5]);
        assert!(guess(&lookup, &[1, 2, 3], 8).is_empty());
        assert!(guess(&lookup, &[], 8).is_empty());
    }
}

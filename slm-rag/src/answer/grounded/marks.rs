//! The marks `[1]` of an answer.

/// An answer without its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BareText {
    pub(super) text: String,
    /// Per mark, in order: the byte of `text` that it followed, and the number of the passage from 0.
    pub(super) marks: Vec<(usize, usize)>,
    /// Marks for passages that do not exist.
    pub(super) dropped: usize,
}

/// Takes the marks out of `answer`: `[2]`, `[1, 3]` or `[1][3]`, where there are `passages` passages. Code keeps its
/// brackets.
pub(super) fn unmark(answer: &str, passages: usize) -> BareText {
    let mut in_code = false;
    let mut out = BareText { text: String::with_capacity(answer.len()), marks: Vec::new(), dropped: 0 };
    let mut rest = answer;
    while let Some(at) = rest.find('[') {
        let (before, from_bracket) = rest.split_at(at);
        out.text.push_str(before);
        // One backtick or three: an odd number begins or ends code, where `[1]` is an index.
        in_code ^= before.matches('`').count() % 2 == 1;
        match numbers_of(from_bracket).filter(|_| !in_code) {
            Some((numbers, after)) => {
                out.mark(&numbers, passages);
                // "Restart it [1]." leaves no space before the full stop, "Restart it. [1] Wait." one.
                if !after.starts_with(|c: char| c.is_alphanumeric()) {
                    let kept = out.text.trim_end_matches(' ').len();
                    out.text.truncate(kept);
                }
                rest = after;
            }
            None => {
                out.text.push('[');
                rest = from_bracket.get(1..).unwrap_or("");
            }
        }
    }
    out.text.push_str(rest);
    out
}

impl BareText {
    fn mark(&mut self, numbers: &[usize], passages: usize) {
        let place = self.text.trim_end().len().saturating_sub(1);
        for &number in numbers {
            match number.checked_sub(1).filter(|&index| index < passages) {
                Some(index) => self.marks.push((place, index)),
                None => self.dropped += 1,
            }
        }
    }
}

/// The numbers between brackets at the start of `text`, and what follows; `None` if it is no mark.
fn numbers_of(text: &str) -> Option<(Vec<usize>, &str)> {
    let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
    let numbers: Option<Vec<usize>> =
        inside.split([',', ';']).map(|number| number.trim().parse().ok()).collect();
    Some((numbers?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_out() {
        for (answer, text, marks, dropped) in [
            ("Restart it [1].", "Restart it.", vec![(9, 0)], 0),
            ("Restart it. [2] Wait [1][3].", "Restart it. Wait.", vec![(10, 1), (15, 0), (15, 2)], 0),
            ("One [1, 2] two", "One two", vec![(2, 0), (2, 1)], 0),
            ("One [4] [0].", "One.", vec![], 2),
            ("See [note] and list[0", "See [note] and list[0", vec![], 0),
            ("[1] Start.", " Start.", vec![(0, 0)], 0),
            ("Größe [1]!", "Größe!", vec![(6, 0)], 0),
            ("Use `a[1]` [2].", "Use `a[1]`.", vec![(9, 1)], 0),
            ("```\na[1]\n```\n[1]", "```\na[1]\n```\n", vec![(11, 0)], 0),
            ("", "", vec![], 0),
        ] {
            let expected = BareText { text: text.into(), marks, dropped };
            assert_eq!(unmark(answer, 3), expected, "{answer}");
        }
    }
}

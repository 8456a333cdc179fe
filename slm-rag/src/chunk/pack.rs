//! Units packed into chunks, greedily.

use std::ops::Range;

use slm_data::Document;

use super::measure::{Measure, fitting};
use super::outline::{Heading, Leaf, Node, Section};
use super::{Chunk, ChunkConfig, Sections};

/// Packs `sections` of `document` into chunks.
pub(super) fn pack(
    document: &Document,
    sections: &[Section],
    config: &ChunkConfig,
    measure: Measure<'_>,
) -> Vec<Chunk> {
    let mut packer = Packer {
        document,
        config,
        measure,
        max_size: config.max_size.max(1),
        path: &[],
        leaves: Vec::new(),
        fresh: 0,
        size: 0,
        chunks: Vec::new(),
    };
    for section in sections {
        if config.sections == Sections::Split && !packer.only_headings() {
            packer.emit();
        }
        let size: usize = section.nodes.iter().map(Node::size).sum();
        if packer.size + size > packer.max_size && size <= packer.max_size && !packer.only_headings() {
            packer.emit();
        }
        packer.path = &section.path;
        for node in &section.nodes {
            packer.place(node);
        }
    }
    packer.emit();
    packer.chunks
}

/// A unit with its headings.
type Placed<'a> = (Leaf, &'a [Heading]);

struct Packer<'a> {
    document: &'a Document,
    config: &'a ChunkConfig,
    measure: Measure<'a>,
    max_size: usize,
    /// The headings in force.
    path: &'a [Heading],
    /// What the next chunk has so far.
    leaves: Vec<Placed<'a>>,
    /// How many of them, counted from the last, are in no chunk yet.
    fresh: usize,
    size: usize,
    chunks: Vec<Chunk>,
}

impl<'a> Packer<'a> {
    fn only_headings(&self) -> bool {
        self.leaves.iter().all(|(leaf, _)| leaf.is_heading)
    }

    fn place(&mut self, node: &Node) {
        let size = node.size();
        if self.size + size <= self.max_size {
            return self.push_all(node);
        }
        match node {
            // A heading alone is no chunk: rather cut what follows it.
            Node::Branch { children, .. } if size > self.max_size || self.only_headings() => {
                for child in children {
                    self.place(child);
                }
            }
            Node::Leaf(leaf) if size > self.max_size => {
                for range in pieces(&self.document.text, &leaf.range, self.measure, self.max_size) {
                    let text = self.document.text.get(range.clone()).unwrap_or("");
                    // One letter may have more tokens than fit; it must go somewhere.
                    let size = self.measure.of(text).clamp(1, self.max_size);
                    self.place(&Node::Leaf(Leaf { range, size, ..leaf.clone() }));
                }
            }
            Node::Leaf(_) | Node::Branch { .. } => {
                self.break_before(size);
                self.push_all(node);
            }
        }
    }

    fn push_all(&mut self, node: &Node) {
        match node {
            Node::Leaf(leaf) => {
                self.size += leaf.size;
                self.fresh += 1;
                self.leaves.push((leaf.clone(), self.path));
            }
            Node::Branch { children, .. } => children.iter().for_each(|child| self.push_all(child)),
        }
    }

    /// Ends the chunk; the next one begins with the headings at its end, which belong to what follows, or else
    /// with the sentences that both are to have, as far as `size` more leave room.
    fn break_before(&mut self, size: usize) {
        let room = self.max_size.saturating_sub(size);
        let headings = self.leaves.iter().rev().take_while(|(leaf, _)| leaf.is_heading).count();
        let carried = self.leaves.split_off(self.leaves.len() - headings);
        let carried_size: usize = carried.iter().map(|(leaf, _)| leaf.size).sum();
        if headings > 0 && headings <= self.fresh && carried_size <= room {
            self.size -= carried_size;
            self.fresh -= headings;
            self.emit();
            (self.leaves, self.fresh, self.size) = (carried, headings, carried_size);
            return;
        }
        self.leaves.extend(carried);
        let last = self.emit();
        let overlap = self.overlap(&last, room);
        self.size = overlap.iter().map(|(leaf, _)| leaf.size).sum();
        self.leaves = overlap;
    }

    /// What a chunk after one of the units `last` repeats of it.
    fn overlap(&self, last: &[Placed<'a>], room: usize) -> Vec<Placed<'a>> {
        let mut room = room;
        let mut count = 0;
        for (leaf, path) in last.iter().rev().take(self.config.overlap_sentences) {
            if leaf.is_heading || leaf.size > room || *path != self.path {
                break;
            }
            room -= leaf.size;
            count += 1;
        }
        // A chunk must not begin where the last one did.
        let count = count.min(last.len().saturating_sub(1));
        last.get(last.len() - count..).unwrap_or_default().to_vec()
    }

    /// Ends the chunk, or chunks where the units are larger together than each alone; gives the units of the last one.
    fn emit(&mut self) -> Vec<Placed<'a>> {
        let mut last = Vec::new();
        while self.fresh > 0 && !self.leaves.is_empty() {
            let count = self.fitting();
            let rest = self.leaves.split_off(count);
            if rest.len() < self.fresh {
                self.push_chunk();
            }
            self.fresh = self.fresh.min(rest.len());
            last = std::mem::replace(&mut self.leaves, rest);
        }
        self.leaves.clear();
        (self.fresh, self.size) = (0, 0);
        last
    }

    /// How many of the units fit together: all, but where the whole has a larger size than its parts together.
    fn fitting(&self) -> usize {
        let start = self.leaves.first().map_or(0, |(leaf, _)| leaf.range.start);
        if self.measure.adds_up() {
            return self.leaves.len();
        }
        let fits = |count: usize| {
            let end = self.leaves.get(count - 1).map_or(start, |(leaf, _)| leaf.range.end);
            let text = self.document.text.get(start..end).unwrap_or("");
            self.measure.of(text) <= self.max_size
        };
        (1..=self.leaves.len()).rev().find(|&count| fits(count)).unwrap_or(1)
    }

    fn push_chunk(&mut self) {
        if let (Some((first, _)), Some((last, last_path))) = (self.leaves.first(), self.leaves.last()) {
            let body = self.leaves.iter().find(|(leaf, _)| !leaf.is_heading);
            let path = body.map_or(*last_path, |(_, path)| path);
            self.chunks.push(Chunk {
                source: self.document.id.clone(),
                start: first.range.start,
                end: last.range.end,
                heading: path.iter().map(|heading| heading.title.clone()).collect(),
                inherited: path.iter().filter(|heading| heading.start < first.range.start).count(),
            });
        }
    }
}

/// Cuts a range into pieces of at most `max_size`, between words where it can.
fn pieces(text: &str, range: &Range<usize>, measure: Measure<'_>, max_size: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = range.start;
    while let Some(rest) = text.get(start..range.end).filter(|rest| !rest.is_empty()) {
        let end = start + fitting(rest, measure, max_size);
        let piece = text.get(start..end).unwrap_or("");
        // UAX #29 counts a space before a combining mark to the word.
        let first = start + (piece.len() - piece.trim_start().len());
        if !piece.trim().is_empty() {
            out.push(first..first + piece.trim().len());
        }
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::chunk;

    fn cut(
        text: &str,
        max_size: usize,
        overlap_sentences: usize,
        sections: Sections,
    ) -> Vec<(Vec<String>, String)> {
        let document = Document { id: "d".into(), text: text.into() };
        let config = ChunkConfig { max_size, overlap_sentences, sections };
        let chunks = chunk(&document, &config);
        chunks.into_iter().map(|c| (c.heading.clone(), text[c.range()].to_owned())).collect()
    }

    fn texts(text: &str, max_size: usize, overlap: usize) -> Vec<String> {
        cut(text, max_size, overlap, Sections::Split).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_section_is_a_chunk_with_its_headings() {
        let text = "# Book\n\n## One\n\nFirst text.\n\n## Two\n\nSecond text.\n";
        let book = |title: &str| vec!["Book".to_owned(), title.to_owned()];
        assert_eq!(
            cut(text, 50, 0, Sections::Split),
            [
                (book("One"), "# Book\n\n## One\n\nFirst text.".to_owned()),
                (book("Two"), "## Two\n\nSecond text.".to_owned()),
            ]
        );
        assert_eq!(cut(text, 50, 0, Sections::Join).len(), 1);
        let document = Document { id: "d".into(), text: text.into() };
        let config = ChunkConfig { sections: Sections::Split, ..Default::default() };
        let chunks = chunk(&document, &config);
        assert_eq!(chunks.iter().map(|c| c.inherited).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn lists_paragraphs_and_code_stay_whole_where_they_fit() {
        let text = "Intro of four words.\n\n- item one here\n- item two here\n\n```\nlet a = 1;\n\nlet b = 2;\n```\n";
        assert_eq!(
            texts(text, 8, 0),
            [
                "Intro of four words.",
                "- item one here\n- item two here",
                "```\nlet a = 1;\n\nlet b = 2;\n```",
            ]
        );
        let small = ["- item one here", "- item two here", "```\nlet a = 1;", "let b = 2;\n```"];
        assert_eq!(texts(text, 3, 0)[2..], small);
    }

    #[test]
    fn long_sections_are_cut_between_sentences_and_overlap() {
        let text = "One two three. Four five six. Seven eight nine.";
        assert_eq!(texts(text, 6, 0), ["One two three. Four five six.", "Seven eight nine."]);
        assert_eq!(texts(text, 6, 1), ["One two three. Four five six.", "Four five six. Seven eight nine."]);
        assert_eq!(texts(text, 3, 1), ["One two three.", "Four five six.", "Seven eight nine."], "no room");
    }

    #[test]
    fn long_sentences_are_cut_between_words() {
        assert_eq!(texts("one two, three four five", 2, 1), ["one two,", "three four", "five"]);
        assert_eq!(texts("日本語文", 3, 0), ["日本語", "文"]);
    }

    #[test]
    fn a_heading_goes_with_the_words_below_it() {
        let text = "# A\n\nOne two three four.\n\n# B\n\nFive six seven eight. Nine ten eleven twelve.\n";
        let chunks = cut(text, 6, 0, Sections::Join);
        let expected =
            ["# A\n\nOne two three four.", "# B\n\nFive six seven eight.", "Nine ten eleven twelve."];
        // A single letter is a word.
        assert_eq!(chunks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(chunks[2].0, ["B"]);
    }

    #[test]
    fn headings_without_text_are_kept() {
        assert_eq!(texts("# A\n## B\n", 10, 0), ["# A\n## B"]);
        assert_eq!(texts("text\n\n# End", 10, 0), ["text", "# End"]);
        assert!(texts(" \n\n", 10, 0).is_empty());
    }
}

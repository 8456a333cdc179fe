//! Units packed into chunks, greedily.

use std::ops::Range;

use slm_data::Document;
use unicode_segmentation::UnicodeSegmentation;

use super::outline::{Heading, Leaf, Node, Section};
use super::{Chunk, ChunkConfig, Sections};
use crate::text::word_count;

/// Packs `sections` of `document` into chunks.
pub(super) fn pack(document: &Document, sections: &[Section], config: &ChunkConfig) -> Vec<Chunk> {
    let max_words = config.max_words.max(1);
    let mut packer = Packer {
        document,
        config,
        max_words,
        path: &[],
        leaves: Vec::new(),
        fresh: 0,
        words: 0,
        chunks: Vec::new(),
    };
    for section in sections {
        if config.sections == Sections::Split && !packer.only_headings() {
            packer.emit();
        }
        let words: usize = section.nodes.iter().map(Node::words).sum();
        if packer.words + words > max_words && words <= max_words && !packer.only_headings() {
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

struct Packer<'a> {
    document: &'a Document,
    config: &'a ChunkConfig,
    max_words: usize,
    /// The headings in force.
    path: &'a [Heading],
    /// What the next chunk has so far, each unit with its headings.
    leaves: Vec<(Leaf, &'a [Heading])>,
    /// How many of them, counted from the last, are in no chunk yet.
    fresh: usize,
    words: usize,
    chunks: Vec<Chunk>,
}

impl<'a> Packer<'a> {
    fn only_headings(&self) -> bool {
        self.leaves.iter().all(|(leaf, _)| leaf.is_heading)
    }

    fn place(&mut self, node: &Node) {
        let words = node.words();
        if self.words + words <= self.max_words {
            return self.push_all(node);
        }
        match node {
            // A heading alone is no chunk: rather cut what follows it.
            Node::Branch { children, .. } if words > self.max_words || self.only_headings() => {
                for child in children {
                    self.place(child);
                }
            }
            Node::Leaf(leaf) if words > self.max_words => {
                for range in pieces(&self.document.text, &leaf.range, self.max_words) {
                    let text = self.document.text.get(range.clone()).unwrap_or("");
                    let words = word_count(text).max(1);
                    self.place(&Node::Leaf(Leaf { range, words, ..leaf.clone() }));
                }
            }
            Node::Leaf(_) | Node::Branch { .. } => {
                self.break_before(words);
                self.push_all(node);
            }
        }
    }

    fn push_all(&mut self, node: &Node) {
        match node {
            Node::Leaf(leaf) => {
                self.words += leaf.words;
                self.fresh += 1;
                self.leaves.push((leaf.clone(), self.path));
            }
            Node::Branch { children, .. } => children.iter().for_each(|child| self.push_all(child)),
        }
    }

    /// Ends the chunk; the next one begins with the headings at its end, which belong to what follows, or else
    /// with the sentences that both are to have, as far as `words` more leave room.
    fn break_before(&mut self, words: usize) {
        let room = self.max_words.saturating_sub(words);
        let headings = self.leaves.iter().rev().take_while(|(leaf, _)| leaf.is_heading).count();
        let carried = self.leaves.split_off(self.leaves.len() - headings);
        let carried_words: usize = carried.iter().map(|(leaf, _)| leaf.words).sum();
        if headings > 0 && headings <= self.fresh && carried_words <= room {
            self.words -= carried_words;
            self.fresh -= headings;
            self.emit();
            (self.leaves, self.fresh, self.words) = (carried, headings, carried_words);
            return;
        }
        self.leaves.extend(carried);
        let overlap = self.overlap(room);
        self.emit();
        self.words = overlap.iter().map(|(leaf, _)| leaf.words).sum();
        self.leaves = overlap;
    }

    fn overlap(&self, room: usize) -> Vec<(Leaf, &'a [Heading])> {
        let mut room = room;
        let mut count = 0;
        for (leaf, path) in self.leaves.iter().rev().take(self.config.overlap_sentences) {
            if leaf.is_heading || leaf.words > room || *path != self.path {
                break;
            }
            room -= leaf.words;
            count += 1;
        }
        // A chunk must not begin where the last one did.
        let count = count.min(self.leaves.len().saturating_sub(1));
        self.leaves.get(self.leaves.len() - count..).unwrap_or_default().to_vec()
    }

    fn emit(&mut self) {
        if self.fresh > 0
            && let (Some((first, _)), Some((last, last_path))) = (self.leaves.first(), self.leaves.last())
        {
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
        self.leaves.clear();
        (self.fresh, self.words) = (0, 0);
    }
}

/// Cuts a range into pieces of at most `max_words` words, between words.
fn pieces(text: &str, range: &Range<usize>, max_words: usize) -> Vec<Range<usize>> {
    let slice = text.get(range.clone()).unwrap_or("");
    let mut cuts: Vec<usize> =
        slice.unicode_word_indices().step_by(max_words).skip(1).map(|(offset, _)| offset).collect();
    cuts.push(slice.len());
    let mut start = 0;
    let mut out = Vec::new();
    for end in cuts {
        let piece = slice.get(start..end).unwrap_or("");
        // UAX #29 counts a space before a combining mark to the word.
        let first = range.start + start + (piece.len() - piece.trim_start().len());
        out.push(first..first + piece.trim().len());
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
        max_words: usize,
        overlap_sentences: usize,
        sections: Sections,
    ) -> Vec<(Vec<String>, String)> {
        let document = Document { id: "d".into(), text: text.into() };
        let config = ChunkConfig { max_words, overlap_sentences, sections };
        let chunks = chunk(&document, &config);
        chunks.into_iter().map(|c| (c.heading.clone(), text[c.range()].to_owned())).collect()
    }

    fn texts(text: &str, max_words: usize, overlap: usize) -> Vec<String> {
        cut(text, max_words, overlap, Sections::Split).into_iter().map(|(_, text)| text).collect()
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

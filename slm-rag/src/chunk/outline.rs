//! A document as sections of nested units: group (list, table), block, sentence.

use std::ops::Range;

use super::blocks::{Block, Kind, blocks};
use super::measure::Measure;
use crate::text::sentences;

/// A heading and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) start: usize,
    pub(super) level: usize,
    pub(super) title: String,
}

/// The smallest unit: a sentence, a line of code, a row of a table, a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) range: Range<usize>,
    /// At least 1.
    pub(super) size: usize,
    pub(super) is_heading: bool,
}

/// A unit that should stay whole.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch { size: usize, children: Vec<Node> },
}

impl Node {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.size,
            Self::Branch { size, .. } => *size,
        }
    }

    fn branch(mut children: Vec<Node>) -> Self {
        match children.pop() {
            Some(only) if children.is_empty() => only,
            last => {
                children.extend(last);
                Self::Branch { size: children.iter().map(Node::size).sum(), children }
            }
        }
    }
}

/// What stands between two headings, the first included.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// The headings in force, outermost first.
    pub(super) path: Vec<Heading>,
    pub(super) nodes: Vec<Node>,
}

/// The sections of a text, in order.
pub(super) fn outline(text: &str, measure: Measure<'_>) -> Vec<Section> {
    let blocks = blocks(text);
    let mut sections = vec![Section { path: Vec::new(), nodes: Vec::new() }];
    for group in blocks.chunk_by(|a, b| belongs_to(&a.kind, &b.kind)) {
        if let [Block { kind: Kind::Heading { level, title }, range, .. }] = group {
            let mut path: Vec<Heading> =
                sections.last().map(|section| section.path.clone()).unwrap_or_default();
            path.retain(|heading| heading.level < *level);
            path.push(Heading { start: range.start, level: *level, title: title.clone() });
            let leaf = Leaf { range: range.clone(), size: size(text, range, measure), is_heading: true };
            sections.push(Section { path, nodes: vec![Node::Leaf(leaf)] });
        } else if let Some(section) = sections.last_mut() {
            section.nodes.push(Node::branch(group.iter().map(|block| node(text, block, measure)).collect()));
        }
    }
    sections.retain(|section| !section.nodes.is_empty());
    sections
}

/// Items make a list and rows a table.
fn belongs_to(a: &Kind, b: &Kind) -> bool {
    matches!((a, b), (Kind::Item, Kind::Item) | (Kind::Row, Kind::Row))
}

fn node(text: &str, block: &Block, measure: Measure<'_>) -> Node {
    let mut ranges = match block.kind {
        Kind::Prose | Kind::Item => sentences(text, block.body..block.range.end),
        Kind::Code => lines(text, &block.range),
        Kind::Row | Kind::Heading { .. } => Vec::new(),
    };
    match ranges.first_mut() {
        // The marker of an item goes with its first sentence.
        Some(first) => first.start = block.range.start,
        None => ranges.push(block.range.clone()),
    }
    let leaf = |range: Range<usize>| Leaf { size: size(text, &range, measure), range, is_heading: false };
    Node::branch(ranges.into_iter().map(leaf).map(Node::Leaf).collect())
}

/// The lines of a block of code, the fences with their neighbours.
fn lines(text: &str, range: &Range<usize>) -> Vec<Range<usize>> {
    let mut start = range.start;
    let mut out = Vec::new();
    for line in text.get(range.clone()).unwrap_or("").split_inclusive('\n') {
        let first = start + (line.len() - line.trim_start().len());
        if !line.trim().is_empty() {
            out.push(first..first + line.trim().len());
        }
        start += line.len();
    }
    if let [opening, first, ..] = out.as_mut_slice() {
        first.start = opening.start;
        out.remove(0);
    }
    if let [.., last, closing] = out.as_mut_slice() {
        last.end = closing.end;
        out.pop();
    }
    out
}

/// Size of a unit; marks alone count as one.
fn size(text: &str, range: &Range<usize>, measure: Measure<'_>) -> usize {
    text.get(range.clone()).map_or(0, |unit| measure.of(unit)).max(1)
}

/// A stretch of text that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) range: Range<usize>,
    /// The number of the list item it is in, 0 where there is none.
    pub(crate) number: u32,
    /// Whether it is a heading, which is read but not quoted.
    pub(crate) is_heading: bool,
}

/// The statements of a text, in order: sentences of paragraphs and items (without the marker), rows of tables,
/// blocks of code, headings. Every word but the numbers of items is in one of them.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let has_words =
        |range: &Range<usize>| text.get(range.clone()).is_some_and(|t| t.contains(char::is_alphanumeric));
    let of_block = |block: Block| {
        let is_heading = matches!(block.kind, Kind::Heading { .. });
        let number = if block.kind == Kind::Item { number_of(text, &block) } else { 0 };
        let ranges = match block.kind {
            Kind::Prose | Kind::Item => sentences(text, block.body..block.range.end),
            Kind::Row | Kind::Code | Kind::Heading { .. } => vec![block.range],
        };
        let statement = move |range| Statement { range, number, is_heading };
        ranges.into_iter().filter(has_words).map(statement).collect::<Vec<_>>()
    };
    blocks(text).into_iter().flat_map(of_block).collect()
}

fn number_of(text: &str, item: &Block) -> u32 {
    let marker = text.get(item.range.start..item.body).unwrap_or("");
    marker.trim_end().trim_end_matches(['.', ')']).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_leave_markers_and_rules_out() {
        let text = "# No\n\nOne. Two.\n\n3. Three. Four.\n- five\n\n| a |\n|---|\n\n```\ncode\n```\n";
        let (headings, quotes): (Vec<_>, Vec<_>) = statements(text).into_iter().partition(|s| s.is_heading);
        assert_eq!(headings.iter().map(|s| &text[s.range.clone()]).collect::<Vec<_>>(), ["# No"]);
        let quotes: Vec<(&str, u32)> = quotes.into_iter().map(|s| (&text[s.range], s.number)).collect();
        let expected = [
            ("One.", 0),
            ("Two.", 0),
            ("Three.", 3),
            ("Four.", 3),
            ("five", 0),
            ("| a |", 0),
            ("```\ncode\n```", 0),
        ];
        assert_eq!(quotes, expected);
    }
}

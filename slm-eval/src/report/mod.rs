//! Reports that a person and a program can read: [`Report`].
//!
//! A report is data: sections of figures, texts, tables and charts. It is written as one HTML file that needs
//! nothing else (no script, no font, no network), and as JSON with the same content.

mod chart;
mod html;
mod load;
mod markup;
mod sections;
mod table;

use std::path::Path;

pub use chart::{
    Bar, BarChart, BarSeries, Bin, Histogram, LineChart, LineSeries, RocCurve, RocSeries, Scatter,
    ScatterPoint,
};
use serde::{Deserialize, Serialize};
use slm_core::model::write_atomically;
pub use table::{Cell, Table};

use crate::{Error, Result};

/// A document of sections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// A line or two below it: what was measured, on what.
    pub subtitle: String,
    /// The sections, first to last.
    pub sections: Vec<Section>,
}

/// A heading and what stands below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The content, first to last.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block {
    /// Paragraphs of plain text, separated by empty lines.
    Text {
        /// The text.
        text: String,
    },
    /// Figures to see first, side by side.
    Figures {
        /// The figures, the most important first.
        figures: Vec<KeyFigure>,
    },
    /// A table.
    Table(Table),
    /// Lines over a common axis.
    Line(LineChart),
    /// Bars per category.
    Bar(BarChart),
    /// How values are distributed.
    Histogram(Histogram),
    /// Receiver operating characteristics.
    Roc(RocCurve),
    /// Named points: quality over cost, say.
    Scatter(Scatter),
}

/// A number that stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFigure {
    /// What it is.
    pub label: String,
    /// The number with its unit.
    pub value: String,
    /// Small print below it: an interval, a count; may be empty.
    pub note: String,
}

impl KeyFigure {
    /// A figure with its small print.
    pub fn new(label: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into() }
    }
}

impl Report {
    /// A report without sections yet.
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: subtitle.into(), sections: Vec::new() }
    }

    /// The same report with `section` at its end.
    #[must_use]
    pub fn with(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// The page, complete in itself; all text in it is escaped.
    ///
    /// # Errors
    /// When a number of a chart or table is not finite, or the parts of one do not fit each other.
    pub fn to_html(&self) -> Result<String> {
        self.check()?;
        Ok(html::page(self))
    }

    /// The content as JSON; `serde_json` reads it back into an equal report.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html).
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        serde_json::to_string_pretty(self).map_err(|e| report_error(&self.title, e.to_string()))
    }

    /// Writes [`to_html`](Self::to_html) to `path`, beside its place first and then renamed.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html), and when the file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        Ok(write_atomically(path, self.to_html()?.as_bytes())?)
    }

    /// Writes [`to_json`](Self::to_json) to `path`, beside its place first and then renamed.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json), and when the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        Ok(write_atomically(path, self.to_json()?.as_bytes())?)
    }

    fn check(&self) -> Result<()> {
        self.sections.iter().flat_map(|s| &s.blocks).try_for_each(|block| match block {
            Block::Text { .. } | Block::Figures { .. } => Ok(()),
            Block::Table(table) => table.check(),
            Block::Line(chart) => chart.check(),
            Block::Bar(chart) => chart.check(),
            Block::Histogram(chart) => chart.check(),
            Block::Roc(chart) => chart.check(),
            Block::Scatter(chart) => chart.check(),
        })
    }
}

impl Section {
    /// A section without content yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// The same section with `block` at its end.
    #[must_use]
    pub fn with(mut self, block: impl Into<Block>) -> Self {
        self.blocks.push(block.into());
        self
    }

    /// The same section with paragraphs at its end, separated by empty lines.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Block::Text { text: text.into() })
    }
}

macro_rules! block_from {
    ($($type:ty => $variant:ident),+) => {
        $(impl From<$type> for Block {
            fn from(content: $type) -> Self {
                Self::$variant(content)
            }
        })+
    };
}

block_from!(Table => Table, LineChart => Line, BarChart => Bar, Histogram => Histogram, RocCurve => Roc, Scatter => Scatter);

impl From<Vec<KeyFigure>> for Block {
    fn from(figures: Vec<KeyFigure>) -> Self {
        Self::Figures { figures }
    }
}

pub(crate) fn report_error(part: &str, reason: impl Into<String>) -> Error {
    Error::Report { part: part.into(), reason: reason.into() }
}

/// A number for a reader: integers whole and grouped, others with four significant digits.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return grouped(&format!("{value:.0}"));
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", grouped(whole)),
        None => grouped(&text),
    }
}

/// Digits in threes, with a comma between them.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("−", rest));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration for a reader.
pub fn seconds(value: f64) -> String {
    match value.abs() {
        v if v >= 120.0 => format!("{:.1} min", value / 60.0),
        v if v >= 1.0 => format!("{value:.2} s"),
        v if v >= 1e-3 => format!("{:.1} ms", value * 1e3),
        _ => format!("{:.1} µs", value * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_a_reader() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.25, "−0.2500"),
            (12_345_678.0, "12,345,678"),
            (1234.5678, "1,235"),
            (12.3456, "12.35"),
            (0.000_123_456, "0.0001235"),
            (1.5e-9, "1.500e-9"),
            (-1000.0, "−1,000"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0.000_05, "50.0 µs"), (0.012, "12.0 ms"), (3.0, "3.00 s"), (150.0, "2.5 min")]
        {
            assert_eq!(seconds(value), expected);
        }
    }
}

//! Tables.

use serde::{Deserialize, Serialize};

use super::markup::{Attributes, Markup};
use super::{number, report_error};
use crate::Result;

/// Rows under a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows, each with one cell per column.
    pub rows: Vec<Vec<Cell>>,
}

/// Content of a cell. Numbers keep their full precision in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number, shown with four significant digits.
    Number(f64),
    /// A text.
    Text(String),
}

impl Cell {
    /// Whether it is a number, or a text that begins with one; `None` for a text that stands where there is none.
    fn is_figure(&self) -> Option<bool> {
        match self {
            Self::Number(_) => Some(true),
            Self::Text(text) if matches!(text.as_str(), "" | "–" | "never" | "none right") => None,
            Self::Text(text) => {
                Some(text.trim_start_matches(['+', '−']).starts_with(|c: char| c.is_ascii_digit()))
            }
        }
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::Number(value as f64)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Table {
    /// A table without rows yet.
    pub fn new<S: Into<String>>(caption: impl Into<String>, header: impl IntoIterator<Item = S>) -> Self {
        let header = header.into_iter().map(Into::into).collect();
        Self { caption: caption.into(), header, rows: Vec::new() }
    }

    /// The same table with a row at its end.
    #[must_use]
    pub fn row(mut self, cells: impl IntoIterator<Item = Cell>) -> Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for (index, row) in self.rows.iter().enumerate() {
            if row.len() != self.header.len() {
                let reason =
                    format!("row {index} has {} cells; the header has {}", row.len(), self.header.len());
                return Err(report_error(&self.caption, reason));
            }
            if let Some(bad) = row.iter().find(|c| matches!(c, Cell::Number(n) if !n.is_finite())) {
                return Err(report_error(&self.caption, format!("row {index} holds {bad:?}")));
            }
        }
        Ok(())
    }

    pub(super) fn draw(&self, m: &mut Markup) {
        // A wide table scrolls in its own box, also by keyboard.
        let scroll: Attributes<'_> =
            &[("class", &"scroll"), ("tabindex", &"0"), ("role", &"region"), ("aria-label", &self.caption)];
        m.element("div", scroll, |m| {
            m.element("table", &[], |m| {
                m.line("caption", &[], &self.caption);
                m.element("thead", &[], |m| {
                    m.element("tr", &[], |m| {
                        for (column, name) in self.header.iter().enumerate() {
                            let class = if self.is_numeric(column) { "number" } else { "text" };
                            m.line("th", &[("scope", &"col"), ("class", &class)], name);
                        }
                    });
                });
                m.element("tbody", &[], |m| self.rows.iter().for_each(|row| self.draw_row(m, row)));
            });
        });
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut figures = self.rows.iter().filter_map(|row| row.get(column)?.is_figure());
        !self.rows.is_empty() && figures.all(|is_figure| is_figure)
    }

    fn draw_row(&self, m: &mut Markup, row: &[Cell]) {
        m.newline();
        m.element("tr", &[], |m| {
            for (column, cell) in row.iter().enumerate() {
                let class: Attributes<'_> =
                    if self.is_numeric(column) { &[("class", &"number")] } else { &[] };
                match cell {
                    Cell::Number(value) => m.line("td", class, &number(*value)),
                    Cell::Text(text) => m.line("td", class, text),
                }
            }
        });
    }
}

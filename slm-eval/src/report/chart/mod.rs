//! Charts in SVG.

mod bar;
mod frame;
mod histogram;
mod line;
mod roc;
mod scatter;

pub use bar::{Bar, BarChart, BarSeries};
pub use histogram::{Bin, Histogram};
pub use line::{LineChart, LineSeries};
pub use roc::{RocCurve, RocSeries};
pub use scatter::{Scatter, ScatterPoint};

use super::markup::{Attributes, Markup, Px};
use super::report_error;
use crate::Result;

/// Width of a chart in its own units; the page scales it.
const WIDTH: f64 = 760.0;

/// Colours of the style sheet; the dash of a line then tells series apart.
const COLOURS: usize = 6;

/// The dashes of a line, by series.
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

/// The class that colours series `index`.
fn colour(index: usize) -> String {
    format!("s{}", index % COLOURS)
}

/// The dash of series `index`: each has its own, so that colour is not needed to tell them apart.
fn dash(index: usize) -> &'static str {
    DASHES[index % DASHES.len()]
}

/// How a series is shown in the legend.
#[derive(Clone, Copy)]
enum Mark {
    Line,
    Area,
}

/// A figure: caption, legend where there are several series, the drawing, and its data as a table.
struct Figure<'a> {
    id: usize,
    title: &'a str,
    /// For those who do not see the drawing.
    description: String,
    size: (f64, f64),
    legend: Vec<&'a str>,
    mark: Mark,
    data: super::Table,
}

impl Figure<'_> {
    fn draw(&self, m: &mut Markup, drawing: impl FnOnce(&mut Markup)) {
        let (title_id, text_id) = (format!("figure-{}-title", self.id), format!("figure-{}-text", self.id));
        let labels = format!("{title_id} {text_id}");
        let view = format!("0 0 {} {}", Px(self.size.0), Px(self.size.1));
        m.element("figure", &[], |m| {
            m.line("figcaption", &[], self.title);
            if self.legend.len() > 1 {
                self.draw_legend(m);
            }
            m.element("svg", &[("viewBox", &view), ("role", &"img"), ("aria-labelledby", &labels)], |m| {
                m.line("title", &[("id", &title_id)], self.title);
                m.line("desc", &[("id", &text_id)], &self.description);
                drawing(m);
            });
            m.element("details", &[], |m| {
                m.line("summary", &[], "Values");
                self.data.draw(m);
            });
        });
        m.newline();
    }

    fn draw_legend(&self, m: &mut Markup) {
        m.element("ul", &[("class", &"legend")], |m| {
            for (index, name) in self.legend.iter().enumerate() {
                m.element("li", &[], |m| {
                    let swatch: Attributes<'_> =
                        &[("class", &"swatch"), ("viewBox", &"0 0 28 12"), ("aria-hidden", &"true")];
                    m.element("svg", swatch, |m| match self.mark {
                        Mark::Line => m.leaf(
                            "path",
                            &[
                                ("class", &format!("line {}", colour(index))),
                                ("stroke-dasharray", &dash(index)),
                                ("d", &"M0 6H28"),
                            ],
                        ),
                        Mark::Area => m.leaf(
                            "rect",
                            &[
                                ("class", &format!("area {}", colour(index))),
                                ("width", &"28"),
                                ("height", &"12"),
                                ("rx", &"2"),
                            ],
                        ),
                    });
                    m.text(name);
                });
            }
        });
    }
}

/// Refuses a number that cannot be drawn.
fn check_numbers(chart: &str, part: &str, mut numbers: impl Iterator<Item = f64>) -> Result<()> {
    match numbers.find(|n| !n.is_finite()) {
        Some(bad) => Err(report_error(chart, format!("{part} holds {bad}; expected finite numbers"))),
        None => Ok(()),
    }
}

/// Places of `count` rows to show of `of`, evenly spread, the first and the last among them.
fn spread(count: usize, of: usize) -> Vec<usize> {
    if of <= count {
        return (0..of).collect();
    }
    (0..count).map(|i| i * (of - 1) / (count - 1).max(1)).collect()
}

//! Line charts.

use serde::{Deserialize, Serialize};

use super::frame::{Axis, Frame, path};
use super::{Figure, Mark, WIDTH, check_numbers, colour, dash, spread};
use crate::Result;
use crate::report::markup::{Markup, Px};
use crate::report::{Table, number};

/// Most rows of the table of values; the JSON has them all.
const TABLE_ROWS: usize = 60;

/// Lines over a common horizontal axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// The lines.
    pub series: Vec<LineSeries>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineSeries {
    /// Its name in the legend.
    pub name: String,
    /// Its points `(x, y)`, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

impl LineChart {
    /// A chart without lines yet.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self { title: title.into(), x_label: x_label.into(), y_label: y_label.into(), series: Vec::new() }
    }

    /// The same chart with one more line.
    #[must_use]
    pub fn series(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series.push(LineSeries { name: name.into(), points: points.into_iter().collect() });
        self
    }

    pub(in crate::report) fn check(&self) -> Result<()> {
        self.series.iter().try_for_each(|s| {
            check_numbers(&self.title, &s.name, s.points.iter().flat_map(|(x, y)| [*x, *y]))
        })
    }

    pub(in crate::report) fn draw(&self, m: &mut Markup, id: usize) {
        let all = || self.series.iter().flat_map(|s| s.points.iter().copied());
        let frame = Frame {
            left: 72.0,
            top: 12.0,
            width: WIDTH - 96.0,
            height: 260.0,
            x: Axis::over(&self.x_label, all().map(|p| p.0)),
            y: Axis::over(&self.y_label, all().map(|p| p.1)),
        };
        let names: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let figure = Figure {
            id,
            title: &self.title,
            description: format!("{} over {}: {}.", self.y_label, self.x_label, names.join(", ")),
            size: (WIDTH, 324.0),
            legend: names,
            mark: Mark::Line,
            data: self.table(),
        };
        figure.draw(m, |m| {
            frame.draw(m);
            for (index, series) in self.series.iter().enumerate() {
                draw_series(m, &frame, index, series);
            }
        });
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&self.title, ["Series", &self.x_label, &self.y_label]);
        for series in &self.series {
            let shown = spread(TABLE_ROWS, series.points.len());
            if shown.len() < series.points.len() {
                table.caption =
                    format!("{} (every {}th point or so)", self.title, series.points.len() / TABLE_ROWS);
            }
            for (x, y) in shown.into_iter().map(|at| series.points[at]) {
                table = table.row([series.name.as_str().into(), x.into(), y.into()]);
            }
        }
        table
    }
}

fn draw_series(m: &mut Markup, frame: &Frame, index: usize, series: &LineSeries) {
    let class = format!("line {}", colour(index));
    let d = path(frame, series.points.iter().copied());
    m.element("path", &[("class", &class), ("stroke-dasharray", &dash(index)), ("d", &d)], |m| {
        m.line("title", &[], &series.name);
    });
    // A few points are worth seeing, many only blur the line.
    if series.points.len() > 30 {
        return;
    }
    for (x, y) in &series.points {
        let class = format!("dot {}", colour(index));
        let (cx, cy) = (Px(frame.px(*x)), Px(frame.py(*y)));
        m.element("circle", &[("class", &class), ("cx", &cx), ("cy", &cy), ("r", &"3.5")], |m| {
            let text = format!("{}: {}, {}", series.name, number(*x), number(*y));
            m.line("title", &[], &text);
        });
    }
}

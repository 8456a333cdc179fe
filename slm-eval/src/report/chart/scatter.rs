//! Named points: what is gained over what it takes.

use serde::{Deserialize, Serialize};

use super::frame::{Axis, Frame, path, text};
use super::{Figure, Mark, WIDTH, check_numbers, colour};
use crate::Result;
use crate::metrics::Interval;
use crate::report::markup::{Attributes, Markup, Px};
use crate::report::{Cell, Table, number};

/// Points of which each has a name. Lower is better on the horizontal axis, higher on the vertical one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// The points.
    pub points: Vec<ScatterPoint>,
}

/// A named point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScatterPoint {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub x: f64,
    /// What it gains.
    pub y: f64,
    /// Interval of `y`, drawn as a whisker.
    pub interval: Option<Interval>,
}

impl Scatter {
    /// A chart without points yet.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self { title: title.into(), x_label: x_label.into(), y_label: y_label.into(), points: Vec::new() }
    }

    /// The same chart with one more point.
    #[must_use]
    pub fn point(mut self, name: impl Into<String>, x: f64, y: f64, interval: Option<Interval>) -> Self {
        self.points.push(ScatterPoint { name: name.into(), x, y, interval });
        self
    }

    /// The points that no other one beats in both, from left to right (Pareto).
    pub fn front(&self) -> Vec<&ScatterPoint> {
        let beats = |a: &ScatterPoint, b: &ScatterPoint| a.x <= b.x && a.y >= b.y && (a.x < b.x || a.y > b.y);
        let unbeaten = |b: &&ScatterPoint| !self.points.iter().any(|a| beats(a, b));
        let mut front: Vec<&ScatterPoint> = self.points.iter().filter(unbeaten).collect();
        front.sort_by(|a, b| a.x.total_cmp(&b.x));
        front
    }

    pub(in crate::report) fn check(&self) -> Result<()> {
        self.points.iter().try_for_each(|p| {
            let ends = p.interval.iter().flat_map(|i| [i.low, i.high]);
            check_numbers(&self.title, &p.name, [p.x, p.y].into_iter().chain(ends))
        })
    }

    pub(in crate::report) fn draw(&self, m: &mut Markup, id: usize) {
        let ends = |p: &ScatterPoint| p.interval.map_or([p.y, p.y], |i| [i.low, i.high]);
        let frame = Frame {
            left: 72.0,
            top: 12.0,
            width: WIDTH - 96.0,
            height: 280.0,
            x: Axis::over(&self.x_label, self.points.iter().map(|p| p.x).chain([0.0])),
            y: Axis::over(&self.y_label, self.points.iter().flat_map(ends)),
        };
        let figure = Figure {
            id,
            title: &self.title,
            description: format!(
                "{} over {} of {} contenders.",
                self.y_label,
                self.x_label,
                self.points.len()
            ),
            size: (WIDTH, 344.0),
            legend: self.points.iter().map(|p| p.name.as_str()).collect(),
            mark: Mark::Area,
            data: self.table(),
        };
        figure.draw(m, |m| {
            frame.draw(m);
            let front = self.front();
            if front.len() > 1 {
                let d = path(&frame, front.iter().map(|p| (p.x, p.y)));
                m.leaf("path", &[("class", &"chance"), ("d", &d)]);
            }
            for (index, point) in self.points.iter().enumerate() {
                draw_point(m, &frame, index, point);
            }
            draw_names(m, &frame, &self.points);
        });
    }

    fn table(&self) -> Table {
        let header = ["Name", &self.x_label, &self.y_label, "Not beaten in both"];
        let front = self.front();
        self.points.iter().fold(Table::new(&self.title, header), |table, point| {
            let unbeaten: Cell = if front.contains(&point) { "yes" } else { "no" }.into();
            table.row([point.name.as_str().into(), point.x.into(), point.y.into(), unbeaten])
        })
    }
}

fn draw_point(m: &mut Markup, frame: &Frame, index: usize, point: &ScatterPoint) {
    let (x, y) = (frame.px(point.x), frame.py(point.y));
    if let Some(interval) = point.interval {
        let d = format!("M{} {}V{}", Px(x), Px(frame.py(interval.low)), Px(frame.py(interval.high)));
        m.leaf("path", &[("class", &"whisker"), ("d", &d)]);
    }
    let class = format!("dot {}", colour(index));
    let dot: Attributes<'_> = &[("class", &class), ("cx", &Px(x)), ("cy", &Px(y)), ("r", &"6")];
    m.element("circle", dot, |m| {
        m.line("title", &[], &format!("{}: {}, {}", point.name, number(point.x), number(point.y)));
    });
}

/// Names above the points, to their right, moved down where another one stands already.
fn draw_names(m: &mut Markup, frame: &Frame, points: &[ScatterPoint]) {
    const LINE: f64 = 15.0;
    const LETTER: f64 = 7.0;
    let mut taken: Vec<[f64; 3]> = Vec::new();
    let mut sorted: Vec<&ScatterPoint> = points.iter().collect();
    sorted.sort_by(|a, b| b.y.total_cmp(&a.y));
    for point in sorted {
        let width = LETTER * point.name.chars().count() as f64;
        let right = frame.px(point.x) + 10.0;
        let fits = right + width < frame.left + frame.width;
        let (class, left) =
            if fits { ("value label", right) } else { ("value label end", right - 20.0 - width) };
        let mut y = frame.py(point.y) - 9.0;
        while taken.iter().any(|[l, w, at]| (at - y).abs() < LINE && left < l + w && *l < left + width) {
            y += LINE;
        }
        taken.push([left, width, y]);
        text(m, class, [if fits { left } else { left + width }, y], &point.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let chart = [
            ("cheap", 1.0, 0.4),
            ("beaten", 3.0, 0.5),
            ("good", 2.0, 0.6),
            ("best", 9.0, 0.9),
            ("twin", 9.0, 0.9),
        ]
        .into_iter()
        .fold(Scatter::new("t", "x", "y"), |chart, (name, x, y)| chart.point(name, x, y, None));
        let names: Vec<&str> = chart.front().iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["cheap", "good", "best", "twin"]);
    }
}

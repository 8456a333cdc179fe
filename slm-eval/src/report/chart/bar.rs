//! Bar charts: horizontal, so that names of any length fit.

use serde::{Deserialize, Serialize};

use super::frame::{Axis, Frame, text};
use super::{Figure, Mark, WIDTH, check_numbers, colour};
use crate::Result;
use crate::metrics::Interval;
use crate::report::markup::{Attributes, Markup, Px};
use crate::report::{Cell, Table, number, report_error};

/// Height of a bar.
const BAR: f64 = 18.0;
/// Room between two categories.
const GAP: f64 = 14.0;
/// Most characters of a category's name that fit beside its bars.
const NAME: usize = 28;

/// Bars per category, one for each series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarChart {
    /// What it shows.
    pub title: String,
    /// Name and unit of the values.
    pub value_label: String,
    /// Names of the categories, from top to bottom.
    pub categories: Vec<String>,
    /// The series, each with one bar per category.
    pub series: Vec<BarSeries>,
}

/// A series of bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// Its name in the legend.
    pub name: String,
    /// One bar per category.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its length.
    pub value: f64,
    /// Drawn as a whisker.
    pub interval: Option<Interval>,
}

impl From<f64> for Bar {
    fn from(value: f64) -> Self {
        Self { value, interval: None }
    }
}

impl BarChart {
    /// A chart of `categories` without bars yet.
    pub fn new<S: Into<String>>(
        title: impl Into<String>,
        value_label: impl Into<String>,
        categories: impl IntoIterator<Item = S>,
    ) -> Self {
        let categories = categories.into_iter().map(Into::into).collect();
        Self { title: title.into(), value_label: value_label.into(), categories, series: Vec::new() }
    }

    /// The same chart with one more series.
    #[must_use]
    pub fn series<B: Into<Bar>>(
        mut self,
        name: impl Into<String>,
        bars: impl IntoIterator<Item = B>,
    ) -> Self {
        self.series.push(BarSeries { name: name.into(), bars: bars.into_iter().map(Into::into).collect() });
        self
    }

    pub(in crate::report) fn check(&self) -> Result<()> {
        self.series.iter().try_for_each(|s| {
            if s.bars.len() != self.categories.len() {
                let reason =
                    format!("{} has {} bars for {} categories", s.name, s.bars.len(), self.categories.len());
                return Err(report_error(&self.title, reason));
            }
            check_numbers(&self.title, &s.name, s.bars.iter().flat_map(|b| ends(*b)))
        })
    }

    pub(in crate::report) fn draw(&self, m: &mut Markup, id: usize) {
        let group = BAR * self.series.len() as f64 + GAP;
        let height = group * self.categories.len() as f64;
        let values = || self.series.iter().flat_map(|s| s.bars.iter().flat_map(|b| ends(*b)));
        // The values of negative bars stand between them and the names.
        let left = if values().any(|v| v < 0.0) { 250.0 } else { 200.0 };
        let frame = Frame {
            left,
            top: 6.0,
            width: WIDTH - 70.0 - left,
            height,
            x: Axis::over(&self.value_label, values().chain([0.0])),
            y: Axis::exact("", 0.0, 1.0),
        };
        let names: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let figure = Figure {
            id,
            title: &self.title,
            description: format!("{} by category: {}.", self.value_label, names.join(", ")),
            size: (WIDTH, height + 56.0),
            legend: names,
            mark: Mark::Area,
            data: self.table(),
        };
        figure.draw(m, |m| {
            frame.draw_x(m);
            for (at, category) in self.categories.iter().enumerate() {
                let top = frame.top + group * at as f64 + GAP / 2.0;
                draw_name(m, [190.0, top + (group - GAP) / 2.0 + 4.0], category);
                for (index, series) in self.series.iter().enumerate() {
                    draw_bar(m, &frame, top + BAR * index as f64, (index, series.bars[at]));
                }
            }
            let zero = format!("M{} {}V{}", Px(frame.px(0.0)), Px(frame.top), Px(frame.top + height));
            m.leaf("path", &[("class", &"base"), ("d", &zero)]);
        });
    }

    fn table(&self) -> Table {
        let any = self.series.iter().any(|s| s.bars.iter().any(|b| b.interval.is_some()));
        let header = ["Category", "Series", &self.value_label, "Interval"];
        let mut table = Table::new(&self.title, header.into_iter().take(if any { 4 } else { 3 }));
        for (at, category) in self.categories.iter().enumerate() {
            for series in &self.series {
                let bar = series.bars[at];
                let interval = bar.interval.map_or_else(String::new, |i| {
                    format!("{} to {} ({:.0} %)", number(i.low), number(i.high), i.level * 100.0)
                });
                let (category, name): (Cell, Cell) = (category.as_str().into(), series.name.as_str().into());
                let cells = [category, name, bar.value.into()];
                table = table.row(cells.into_iter().chain(any.then(|| interval.into())));
            }
        }
        table
    }
}

/// All that a bar reaches to.
fn ends(bar: Bar) -> impl Iterator<Item = f64> {
    [bar.value].into_iter().chain(bar.interval.into_iter().flat_map(|i| [i.low, i.high]))
}

/// The name of a category; a long one is cut, and whole in its tooltip.
fn draw_name(m: &mut Markup, [x, y]: [f64; 2], name: &str) {
    let cut = name.chars().count() > NAME;
    let shown = if cut { name.chars().take(NAME - 1).chain(['…']).collect() } else { name.to_owned() };
    m.element("text", &[("class", &"name end"), ("x", &Px(x)), ("y", &Px(y))], |m| {
        m.text(&shown);
        if cut {
            m.line("title", &[], name);
        }
    });
}

fn draw_bar(m: &mut Markup, frame: &Frame, top: f64, (index, bar): (usize, Bar)) {
    let (zero, at) = (frame.px(0.0), frame.px(bar.value));
    let rect: Attributes<'_> = &[
        ("class", &format!("area {}", colour(index))),
        ("x", &Px(zero.min(at))),
        ("y", &Px(top + 1.0)),
        ("width", &Px((at - zero).abs())),
        ("height", &Px(BAR - 2.0)),
    ];
    m.leaf("rect", rect);
    let middle = top + BAR / 2.0;
    let value = number(bar.value);
    let Some(interval) = bar.interval else {
        let (class, x) = if bar.value < 0.0 { ("value end", at - 6.0) } else { ("value", at + 6.0) };
        return text(m, class, [x, middle + 4.0], &value);
    };
    let (low, high) = (Px(frame.px(interval.low)), Px(frame.px(interval.high)));
    let (up, down) = (Px(middle - 4.0), Px(middle + 4.0));
    let whisker = format!("M{low} {up}V{down}M{low} {}H{high}M{high} {up}V{down}", Px(middle));
    // Seen on the bar as well as beside it.
    m.leaf("path", &[("class", &"halo"), ("d", &whisker)]);
    m.leaf("path", &[("class", &"whisker"), ("d", &whisker)]);
    // At the end of the whisker the value would be taken for that of the end.
    text(m, "value", [frame.left + frame.width + 10.0, middle + 4.0], &value);
}

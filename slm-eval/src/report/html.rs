//! The page around the blocks.

use super::markup::Markup;
use super::{Block, KeyFigure, Report, Section};

/// All of the page's style; it must not hold `<` or `&`, which it would have to escape.
const STYLE: &str = include_str!("style.css");

/// The whole document of a report that was checked.
pub(super) fn page(report: &Report) -> String {
    let mut m = Markup::default();
    m.element("html", &[("lang", &"en")], |m| {
        m.element("head", &[], |m| {
            m.leaf("meta", &[("charset", &"utf-8")]);
            m.leaf("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
            m.line("title", &[], &report.title);
            m.element("style", &[], |m| m.verbatim(STYLE));
        });
        m.newline();
        m.element("body", &[], |m| m.element("main", &[], |m| draw_body(m, report)));
    });
    format!("<!DOCTYPE html>\n{}\n", m.finish())
}

fn draw_body(m: &mut Markup, report: &Report) {
    m.element("header", &[], |m| {
        m.line("h1", &[], &report.title);
        if !report.subtitle.is_empty() {
            m.line("p", &[("class", &"subtitle")], &report.subtitle);
        }
    });
    if report.sections.len() > 2 {
        m.element("nav", &[("aria-label", &"Sections")], |m| {
            m.element("ul", &[], |m| {
                for (index, section) in report.sections.iter().enumerate() {
                    let target = format!("#section-{index}");
                    m.element("li", &[], |m| m.line("a", &[("href", &target)], &section.title));
                }
            });
        });
    }
    let mut figures = 0;
    for (index, section) in report.sections.iter().enumerate() {
        draw_section(m, index, section, &mut figures);
    }
}

fn draw_section(m: &mut Markup, index: usize, section: &Section, figures: &mut usize) {
    let (id, heading) = (format!("section-{index}"), format!("section-{index}-title"));
    m.newline();
    m.element("section", &[("id", &id), ("aria-labelledby", &heading)], |m| {
        m.line("h2", &[("id", &heading)], &section.title);
        for block in &section.blocks {
            *figures += 1;
            draw_block(m, block, *figures);
        }
    });
}

fn draw_block(m: &mut Markup, block: &Block, id: usize) {
    match block {
        Block::Text { text } => {
            text.split("\n\n").filter(|p| !p.trim().is_empty()).for_each(|p| m.line("p", &[], p.trim()));
        }
        Block::Figures { figures } => draw_figures(m, figures),
        Block::Table(table) => table.draw(m),
        Block::Line(chart) => chart.draw(m, id),
        Block::Bar(chart) => chart.draw(m, id),
        Block::Histogram(chart) => chart.draw(m, id),
        Block::Roc(chart) => chart.draw(m, id),
        Block::Scatter(chart) => chart.draw(m, id),
    }
}

fn draw_figures(m: &mut Markup, figures: &[KeyFigure]) {
    m.element("dl", &[], |m| {
        for figure in figures {
            m.element("div", &[], |m| {
                m.line("dt", &[], &figure.label);
                m.line("dd", &[("class", &"figure")], &figure.value);
                if !figure.note.is_empty() {
                    m.line("dd", &[("class", &"note")], &figure.note);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_style_needs_no_escape() {
        assert!(!super::STYLE.contains(['<', '&']));
    }
}

//! The page and the JSON of a report with every kind of block.

use quick_xml::Reader;
use quick_xml::events::Event;
use slm_eval::metrics::Interval;
use slm_eval::report::{Bar, BarChart, Block, Histogram, KeyFigure, LineChart, RocCurve, Table};
use slm_eval::{Report, Result, Section};

const NASTY: &str = "<script>alert(\"1\")</script> & 'x' ]]> \u{0}\u{1b}";

fn report() -> Result<Report> {
    let interval = Interval { low: 0.1, high: 0.4, level: 0.95 };
    let bars = [Bar { value: 0.25, interval: Some(interval) }, Bar { value: -0.5, interval: None }];
    let first = Section::new(NASTY)
        .text(format!("One paragraph.\n\nAnother, {NASTY}"))
        .with(vec![KeyFigure::new(NASTY, NASTY, NASTY), KeyFigure::new("plain", "1", "")])
        .with(
            Table::new(NASTY, [NASTY, "n"]).row([NASTY.into(), 0.1.into()]).row(["b".into(), 7_usize.into()]),
        );
    let second = Section::new("charts")
        .with(
            LineChart::new(NASTY, NASTY, "y")
                .series(NASTY, [(0.0, 1.0), (1.0, 0.5), (2.0, 0.1 + 0.2)])
                .series("many", (0..500).map(|i| (f64::from(i) / 100.0, f64::from(i).sin()))),
        )
        .with(BarChart::new("bars", NASTY, [NASTY, "b"]).series(NASTY, bars).series("other", [1.0, 2.0]))
        .with(Histogram::of("counts", NASTY, &[1.0, 2.0, 2.5, 9.0], 5))
        .with(RocCurve::new("roc").series(NASTY, &[0.9, 0.4], &[0.4, 0.1])?);
    Ok(Report::new(NASTY, "sub").with(first).with(second).with(Section::new("empty")))
}

/// Names of the elements of a page, which must be well-formed; and all its text.
fn parse(html: &str) -> (Vec<String>, String) {
    let mut reader = Reader::from_str(html);
    reader.config_mut().check_end_names = true;
    let (mut names, mut text, mut depth) = (Vec::new(), String::new(), 0);
    loop {
        match reader.read_event().expect("well-formed markup") {
            Event::Start(e) => {
                depth += 1;
                names.push(e.name().as_ref().to_owned());
                e.attributes().for_each(|a| assert!(a.is_ok(), "{a:?}"));
            }
            Event::Empty(e) => {
                names.push(e.name().as_ref().to_owned());
                e.attributes().for_each(|a| assert!(a.is_ok(), "{a:?}"));
            }
            Event::End(_) => depth -= 1,
            Event::Text(t) => text.push_str(&t),
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an element is not closed");
    (names, text)
}

#[test]
fn the_page_is_well_formed_and_complete_in_itself() -> Result<()> {
    let html = report()?.to_html()?;
    let (names, text) = parse(&html);
    assert!(!names.iter().any(|n| ["script", "link", "img", "iframe", "object"].contains(&n.as_str())));
    for outside in ["http:", "https:", "url(", "@import", "src=", "<script"] {
        assert!(!html.contains(outside), "the page holds {outside}");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("prefers-color-scheme: dark"));
    assert!(text.contains("Another") && text.contains("plain"));
    // Four charts: a drawing with a name and a description each, and their values as a table.
    for (element, count) in [("figure", 4), ("figcaption", 4), ("desc", 4), ("details", 4), ("table", 5)] {
        assert_eq!(names.iter().filter(|n| *n == element).count(), count, "{element}");
    }
    let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(ids.len(), unique.len(), "an id is used twice: {ids:?}");
    let labels = html.split("aria-labelledby=\"").skip(1).filter_map(|rest| rest.split('"').next());
    for label in labels.flat_map(str::split_whitespace) {
        assert!(ids.contains(&label), "no element has the id {label}");
    }
    Ok(())
}

#[test]
fn values_can_be_read() -> Result<()> {
    let html = report()?.to_html()?;
    for shown in
        ["0.2500", "0.1000 to 0.4000 (95 %)", "−0.5000", "AUROC 0.875", ">0.3000<", "every 8th point"]
    {
        assert!(html.contains(shown), "{shown} is not on the page");
    }
    Ok(())
}

#[test]
fn json_holds_the_same_content() -> Result<()> {
    let report = report()?;
    let json = report.to_json()?;
    let back: Report = serde_json::from_str(&json).expect("a report");
    assert_eq!(back, report);
    assert_eq!(back.to_html()?, report.to_html()?);
    assert!(json.contains("0.30000000000000004"), "full precision is lost");
    Ok(())
}

#[test]
fn files_are_replaced_whole() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (html, json) = (folder.path().join("out/r.html"), folder.path().join("out/r.json"));
    Report::new("first", "").write_html(&html)?;
    report()?.write_html(&html)?;
    report()?.write_json(&json)?;
    assert_eq!(std::fs::read_to_string(&html).expect("the page"), report()?.to_html()?);
    assert_eq!(std::fs::read_to_string(&json).expect("the content"), report()?.to_json()?);
    assert_eq!(std::fs::read_dir(folder.path().join("out")).expect("the folder").count(), 2);
    Ok(())
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let bad: [(Block, &str); 5] = [
        (LineChart::new("losses", "x", "y").series("a", [(0.0, f64::NAN)]).into(), "losses: a holds NaN"),
        (
            BarChart::new("bars", "v", ["a", "b"]).series("s", [1.0]).into(),
            "bars: s has 1 bars for 2 categories",
        ),
        (
            Table::new("table", ["a", "b"]).row(["x".into()]).into(),
            "table: row 0 has 1 cells; the header has 2",
        ),
        (Table::new("table", ["a"]).row([f64::INFINITY.into()]).into(), "table: row 0 holds Number(inf)"),
        (Histogram::of("spread", "x", &[f64::NAN, 1.0, f64::INFINITY], 3).into(), "spread: a bin holds inf"),
    ];
    for (block, expected) in bad {
        let report = Report::new("r", "").with(Section::new("s").with(block));
        let error = report.to_html().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(report.to_json().is_err(), "{expected}");
    }
}

#[test]
fn charts_without_data_still_draw() -> Result<()> {
    let section = Section::new("nothing yet")
        .with(LineChart::new("line", "x", "y"))
        .with(LineChart::new("point", "x", "y").series("one", [(3.0, 3.0)]))
        .with(BarChart::new::<&str>("bar", "v", []))
        .with(Histogram::of("histogram", "v", &[], 4))
        .with(RocCurve::new("roc"))
        .with(Table::new("table", ["a"]));
    let html = Report::new("empty", "").with(section).to_html()?;
    parse(&html);
    assert!(!html.contains("NaN") && !html.contains("inf"), "a coordinate is not a number");
    Ok(())
}

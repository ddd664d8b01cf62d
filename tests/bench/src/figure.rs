//! What was measured, beside what was aimed at.

use std::fmt;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use serde::Serialize;

use crate::contest::Spread;

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// No more than that.
    AtMost(f64),
    /// No less than that.
    AtLeast(f64),
    /// Shown beside the others.
    None,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Against what, if against anything.
    pub against: String,
    /// The number.
    pub value: Spread,
    /// What the number counts; nothing for a ratio.
    pub unit: &'static str,
    /// What is aimed at.
    pub bar: Bar,
    /// The numbers behind it, in words.
    pub detail: String,
}

impl Figure {
    /// Whether it is as it should be, if anything is aimed at.
    fn holds(&self) -> Option<bool> {
        match self.bar {
            Bar::AtMost(most) => Some(self.value.median <= most),
            Bar::AtLeast(least) => Some(self.value.median >= least),
            Bar::None => None,
        }
    }
}

/// Numbers that follow a size.
#[derive(Debug, Serialize)]
pub struct Curve {
    /// The file's name.
    pub name: &'static str,
    /// What is drawn.
    pub title: String,
    /// What the sizes are.
    pub x: &'static str,
    /// What the numbers are.
    pub y: &'static str,
    /// Each line with its name.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The table.
    pub figures: Vec<Figure>,
    /// The plots.
    pub curves: Vec<Curve>,
}

impl Report {
    /// Adds a line, and says it at once.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("  {figure}");
        self.figures.push(figure);
    }

    /// Writes `results.json` and a plot of each curve.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::write(folder.join("results.json"), serde_json::to_vec_pretty(self)?)?;
        for curve in &self.curves {
            let file = folder.join(format!("{}.svg", curve.name));
            curve.draw(&file).map_err(|error| anyhow!("{}: {error}", file.display()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures.iter().try_for_each(|figure| writeln!(f, "{figure}"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, low, high } = self.value;
        let (sign, bar) = match self.bar {
            Bar::AtMost(bar) => ("≤", bar.to_string()),
            Bar::AtLeast(bar) => ("≥", bar.to_string()),
            Bar::None => ("", String::new()),
        };
        let verdict = match self.holds() {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        let value = format!("{} ({} to {}){}", number(median), number(low), number(high), self.unit);
        let bar = format!("{sign}{bar}");
        let (what, detail) = (&self.what, &self.detail);
        let against =
            if self.against.is_empty() { String::new() } else { format!("against {}: ", self.against) };
        write!(f, "{what:<62} {value:>28} {bar:>7} {verdict:<7} {against}{detail}")
    }
}

/// With three digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Curve {
    fn draw(&self, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(file, (720, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.0).fold(1.0, f64::max);
        let highest = points().map(|point| point.1).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.1)?;
        chart.configure_mesh().x_desc(self.x).y_desc(self.y).draw()?;
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart.configure_series_labels().border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
        area.present()?;
        Ok(())
    }
}

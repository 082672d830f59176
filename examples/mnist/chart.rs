//! The chart: test accuracy against steps, one panel per comparison.

use std::{fs, path::Path};

use plotters::prelude::*;

use crate::{Result, train::Curve};

const PANEL: (u32, u32) = (560, 380);
const HEADER: u32 = 70;
const COLUMNS: usize = 2;
const FONT: &str = "sans-serif";

/// Blue and orange that stay apart for colour-blind eyes (Okabe and Ito).
const WITH: RGBColor = RGBColor(0, 114, 178);
const WITHOUT: RGBColor = RGBColor(230, 159, 0);

/// One comparison.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) without: Curve,
    pub(crate) with: Curve,
}

/// Writes the panels, two in a row, as SVG.
pub(crate) fn write(path: &Path, panels: &[Panel]) -> Result<()> {
    let svg = draw(panels).map_err(|error| format!("{}: {error}", path.display()))?;
    fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn draw(panels: &[Panel]) -> Result<String> {
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32 + HEADER);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (header, body) = root.split_vertically(HEADER);
        draw_header(&header)?;
        for (area, panel) in body.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        root.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One legend for all panels, where it hides no curve.
fn draw_header(area: &Area<'_>) -> Result<()> {
    area.draw(&Text::new(
        "Test accuracy without and with batch normalization",
        (16, 12),
        (FONT, 22).into_font(),
    ))?;
    for (x, name, colour) in [
        (16, "without batch norm", WITHOUT),
        (200, "with batch norm", WITH),
    ] {
        let line = vec![(x, 52), (x + 26, 52)];
        area.draw(&PathElement::new(line, colour.stroke_width(3)))?;
        area.draw(&Text::new(name, (x + 34, 44), (FONT, 15).into_font()))?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let curves = [(&panel.without, WITHOUT), (&panel.with, WITH)];
    let last_step = curves
        .iter()
        .flat_map(|(curve, _)| &curve.0)
        .map(|&(step, _)| step)
        .max()
        .unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(54)
        .build_cartesian_2d(0..last_step, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc("test accuracy")
        .x_labels(8)
        .y_labels(6)
        .y_label_formatter(&|accuracy| format!("{accuracy:.1}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 15))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (curve, colour) in curves {
        chart.draw_series(LineSeries::new(
            curve.0.iter().copied(),
            colour.stroke_width(2),
        ))?;
    }
    Ok(())
}

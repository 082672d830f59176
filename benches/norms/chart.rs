//! The chart: how near each pass comes to the speed of a copy.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::cases::Pass;
use super::machine::{self, Machine};
use super::summary::Row;
use crate::Result;

const WIDTH: i32 = 1000;
const HEADER: i32 = 112;
const FOOTER: i32 = 36;
/// Where 0 is.
const LEFT: i32 = 230;
/// What a bar as fast as a copy has.
const FULL: f64 = 600.0;
/// Bars beyond are cut off.
const MOST: f64 = 1.2;
const BAR: i32 = 15;
const GAP: i32 = 10;
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(110, 110, 110);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colours stay apart for colour-blind eyes (Okabe and Ito).
const fn colour(pass: Pass) -> RGBColor {
    match pass {
        Pass::Forward => RGBColor(0, 114, 178),
        Pass::Backward => RGBColor(230, 159, 0),
        Pass::Eval => RGBColor(0, 158, 115),
        Pass::DoubleBackward => RGBColor(204, 121, 167),
    }
}

/// The rows that were compared with a copy, in groups of one norm and shape, as SVG.
pub(crate) fn draw(rows: &[Row], machine: &Machine) -> Result<String> {
    let compared = rows
        .iter()
        .filter(|row| row.is_plain)
        .filter_map(|row| Some((row, row.share_of_copy()?)));
    let compared: Vec<(&Row, f64)> = compared.collect();
    let groups = compared.chunk_by(|(a, _), (b, _)| (a.op, &a.shape) == (b.op, &b.shape));
    let bars = compared.len() as i32 * BAR + groups.clone().count() as i32 * GAP;
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, (HEADER + bars + FOOTER) as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        header(&area, machine)?;
        axis(&area, HEADER + bars)?;
        let mut y = HEADER;
        for group in groups {
            bar_group(&area, y, group)?;
            y += group.len() as i32 * BAR + GAP;
        }
        area.present()?;
    }
    Ok(svg)
}

fn x(share: f64) -> i32 {
    LEFT + (FULL * share.min(MOST)) as i32
}

fn text(area: &Area<'_>, text: String, at: (i32, i32), size: i32, anchor: HPos) -> Result<()> {
    let colour = if size < 14 { &GREY } else { &BLACK };
    let style = (FONT, size).into_font().color(colour);
    let style = style.pos(Pos::new(anchor, VPos::Center));
    Ok(area.draw(&Text::new(text, at, style))?)
}

fn header(area: &Area<'_>, machine: &Machine) -> Result<()> {
    let title = "Share of the memory roof: speed as a share of a copy of the same bytes";
    text(area, title.to_owned(), (16, 22), 20, HPos::Left)?;
    let device = format!("{}, {}", machine.device(), machine::date());
    text(area, device, (16, 48), 14, HPos::Left)?;
    let bytes = [
        (Pass::Forward, "forward, training: 2N bytes"),
        (Pass::Backward, "backward: 3N bytes"),
        (Pass::Eval, "forward, running statistics: 2N bytes"),
    ];
    for ((pass, name), at) in bytes.into_iter().zip([16, 250, 430]) {
        let corners = [(at, 68), (at + 16, 80)];
        area.draw(&Rectangle::new(corners, colour(pass).filled()))?;
        text(area, name.to_owned(), (at + 22, 74), 14, HPos::Left)?;
    }
    Ok(())
}

fn axis(area: &Area<'_>, bottom: i32) -> Result<()> {
    for percent in (0..=120).step_by(20) {
        let x = x(f64::from(percent) / 100.0);
        let style = match percent {
            100 => BLACK.stroke_width(2),
            _ => RGBColor(220, 220, 220).stroke_width(1),
        };
        let line = vec![(x, HEADER - 8), (x, bottom)];
        area.draw(&PathElement::new(line, style))?;
        text(
            area,
            format!("{percent} %"),
            (x, bottom + 14),
            13,
            HPos::Center,
        )?;
    }
    text(
        area,
        "copy".to_owned(),
        (x(1.0), HEADER - 16),
        13,
        HPos::Center,
    )
}

fn bar_group(area: &Area<'_>, top: i32, group: &[(&Row, f64)]) -> Result<()> {
    let middle = top + group.len() as i32 * BAR / 2;
    if let Some((row, _)) = group.first() {
        let name = format!("{} {}", row.op, row.shape);
        text(area, name, (LEFT - 10, middle), 14, HPos::Right)?;
    }
    for ((row, share), i) in group.iter().zip(0..) {
        let y = top + i * BAR;
        let corners = [(LEFT, y + 1), (x(*share), y + BAR - 1)];
        area.draw(&Rectangle::new(corners, colour(row.pass).filled()))?;
        let label = format!("{:.0} %", 100.0 * share);
        text(area, label, (x(*share) + 5, y + BAR / 2), 13, HPos::Left)?;
    }
    Ok(())
}

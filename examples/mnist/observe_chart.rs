//! The charts of what was observed: two columns, without and with batch norm.

use std::{fs, ops::Range, path::Path};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::{
    Result,
    observe::{Moment, Observed, Spread, quantile},
};

const PANEL: (u32, u32) = (560, 330);
const HEADER: u32 = 60;
const ROWS: usize = 4;
const FONT: &str = "sans-serif";

/// Three colours that stay apart for colour-blind eyes (Okabe and Ito): the hidden layers.
const LAYERS: [RGBColor; 3] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
];

/// Quantiles that bound the bands, from the outside to the inside, and how dark these are.
const BANDS: [(f64, f64, f64); 2] = [(0.05, 0.95, 0.2), (0.25, 0.75, 0.35)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn write(path: &Path, observed: &Observed<'_>) -> Result<()> {
    let size = (2 * PANEL.0, ROWS as u32 * PANEL.1 + HEADER);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (header, body) = root.split_vertically(HEADER);
        let title = format!("What passes through the network: {}", observed.title);
        header.draw(&Text::new(title, (16, 16), (FONT, 22).into_font()))?;
        let areas = body.split_evenly((ROWS, 2));
        let moments = [(&observed.without, "without"), (&observed.with, "with")];
        let inputs = value_range(&observed.without, &observed.with);
        let gradients = gradient_range(&observed.without, &observed.with);
        for ((moments, name), column) in moments.into_iter().zip(0..) {
            draw_inputs(&areas[column], moments, name, &inputs)?;
            draw_gradients(&areas[2 + column], moments, name, &gradients)?;
        }
        draw_spreads(&areas[4], "means", &observed.spreads, |spread| spread.mean)?;
        draw_spreads(&areas[5], "variances", &observed.spreads, |spread| {
            spread.var
        })?;
        let parameters = observed.model.norm_parameters();
        let weights: Vec<&[f32]> = parameters.iter().map(|(weight, _)| *weight).collect();
        let biases: Vec<&[f32]> = parameters.iter().map(|(_, bias)| *bias).collect();
        draw_sorted(&areas[6], "weight (gamma) after training", &weights)?;
        draw_sorted(&areas[7], "bias (beta) after training", &biases)?;
        root.present()?;
    }
    fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// From the lowest to the highest number, a little wider.
fn range(numbers: impl Iterator<Item = f64>) -> Range<f64> {
    let finite = numbers.filter(|number| number.is_finite());
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    if low > high {
        return 0.0..1.0;
    }
    let margin = 0.05 * (high - low).max(1e-6);
    low - margin..high + margin
}

/// Of the quantiles; a training that diverges leaves the chart.
fn value_range(without: &[Moment], with: &[Moment]) -> Range<f64> {
    let quantiles = |moments: &[Moment]| {
        let last = moments.iter().filter_map(|moment| moment.inputs.last());
        let ends = last.flat_map(|seen| [0.05, 0.95].map(|share| quantile(&seen.histogram, share)));
        range(ends)
    };
    let (without, with) = (quantiles(without), quantiles(with));
    let most = 3.0 * (with.end - with.start);
    without.start.clamp(with.start - most, with.start)..without.end.clamp(with.end, with.end + most)
}

/// Of the standard deviations, as far as they are within a factor of 1000 of those with batch norm.
fn gradient_range(without: &[Moment], with: &[Moment]) -> Range<f64> {
    let ends = |moments: &[Moment]| {
        let deviations = moments.iter().flat_map(|moment| &moment.gradients);
        let deviations = deviations.map(|seen| seen.moments.var.sqrt());
        let positive = deviations.filter(|x| *x > 0.0 && x.is_finite());
        positive.fold((f64::MAX, f64::MIN), |(low, high), x| {
            (low.min(x), high.max(x))
        })
    };
    let ((low, high), with) = (ends(without), ends(with));
    if with.0 > with.1 {
        return 1e-6..1.0;
    }
    let low = low.clamp(with.0 / 1000.0, with.0);
    low / 1.5..high.clamp(with.1, with.1 * 1000.0) * 1.5
}

fn last_step(moments: &[Moment]) -> usize {
    moments.last().map_or(1, |moment| moment.step).max(1)
}

/// The last hidden layer's inputs over time: bands between quantiles, and the median.
fn draw_inputs(area: &Area<'_>, moments: &[Moment], name: &str, values: &Range<f64>) -> Result<()> {
    let caption = format!("{name} batch norm: inputs of the last ReLU (median, 25-75 %, 5-95 %)");
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 16))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(58)
        .build_cartesian_2d(0..last_step(moments), values.clone())?;
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc("value")
        .x_labels(8)
        .y_labels(6)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let line = |share: f64| {
        let last = |moment: &Moment| {
            let seen = moment.inputs.last()?;
            let value = quantile(&seen.histogram, share);
            let value = value.clamp(values.start, values.end);
            (!value.is_nan()).then_some((moment.step, value))
        };
        moments.iter().filter_map(last).collect::<Vec<_>>()
    };
    let colour = LAYERS[0];
    for (low, high, dark) in BANDS {
        let mut outline = line(low);
        outline.extend(line(high).into_iter().rev());
        chart.draw_series([Polygon::new(outline, colour.mix(dark))])?;
    }
    chart.draw_series(LineSeries::new(line(0.5), colour.stroke_width(2)))?;
    Ok(())
}

/// Standard deviations of the gradients of all layers' inputs over time.
fn draw_gradients(
    area: &Area<'_>,
    moments: &[Moment],
    name: &str,
    deviations: &Range<f64>,
) -> Result<()> {
    let caption = format!("{name} batch norm: gradients of the ReLUs' inputs");
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 16))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(
            0..last_step(moments),
            deviations.clone().log_scale().base(2.0),
        )?;
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc("standard deviation")
        .x_labels(8)
        .y_labels(5)
        .y_label_formatter(&|deviation| format!("{deviation:.1e}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (layer, colour) in LAYERS.into_iter().enumerate() {
        let deviation = |moment: &Moment| {
            // The last layer's came first.
            let seen = moment.gradients.iter().rev().nth(layer)?;
            let deviation = seen.moments.var.sqrt();
            let deviation = deviation.clamp(deviations.start, deviations.end);
            (!deviation.is_nan()).then_some((moment.step, deviation))
        };
        let line = moments.iter().filter_map(deviation);
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(format!("layer {}", layer + 1))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .label_font((FONT, 13))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperRight)
        .draw()?;
    Ok(())
}

/// How far batch statistics lie apart, against the size of the batch, both by powers of two.
fn draw_spreads(
    area: &Area<'_>,
    what: &str,
    spreads: &[Spread],
    of: impl Fn(&Spread) -> f64,
) -> Result<()> {
    let points: Vec<(f64, f64)> = spreads.iter().map(|s| (s.size as f64, of(s))).collect();
    let values = points
        .iter()
        .map(|&(_, y)| y)
        .filter(|y| *y > 0.0 && y.is_finite());
    let (low, high) = values.fold((1.0, 0.0), |(low, high): (f64, f64), y| {
        (low.min(y), high.max(y))
    });
    let sizes = points.first().map_or(1.0, |p| p.0)..points.last().map_or(2.0, |p| p.0);
    let unit = if what == "means" {
        "standard deviations"
    } else {
        "variances"
    };
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("spread of the {what} of batches, last layer"),
            (FONT, 16),
        )
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(
            sizes.log_scale().base(2.0),
            (low / 1.3..high.max(low) * 1.3).log_scale().base(2.0),
        )?;
    chart
        .configure_mesh()
        .x_desc("batch size")
        .y_desc(format!("in {unit} of the values"))
        .x_labels(9)
        .y_labels(6)
        .x_label_formatter(&|size| format!("{size:.0}"))
        .y_label_formatter(&|spread| format!("{spread:.3}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    chart.draw_series(LineSeries::new(
        points.iter().copied(),
        LAYERS[0].stroke_width(2),
    ))?;
    chart.draw_series(
        points
            .iter()
            .map(|&at| Circle::new(at, 4, LAYERS[0].filled())),
    )?;
    Ok(())
}

/// The parameters of each layer in ascending order.
fn draw_sorted(area: &Area<'_>, caption: &str, layers: &[&[f32]]) -> Result<()> {
    let all = layers.iter().flat_map(|values| values.iter());
    let values = range(all.map(|&value| value.into()));
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 16))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..100.0, values)?;
    chart
        .configure_mesh()
        .x_desc("units of the layer in ascending order, %")
        .y_desc("value")
        .x_label_formatter(&|share| format!("{share:.0}"))
        .x_labels(6)
        .y_labels(6)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for ((layer, values), colour) in layers.iter().enumerate().zip(LAYERS) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let share = 100.0 / (sorted.len().max(2) - 1) as f64;
        let line = sorted.into_iter().enumerate();
        let line = line.map(|(k, value)| (k as f64 * share, f64::from(value)));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(format!("layer {}", layer + 1))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .label_font((FONT, 13))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    Ok(())
}

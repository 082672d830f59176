//! The parameters of a launch that come from the problem and from the walk.

use crate::geometry::{Lengths, Problem, Walk};
use crate::params::Params;
use crate::source::Tile;
use crate::strategy::Layout;

/// A walk in the units of the shader: vectors. And whether partners are loaded as vectors.
pub(super) fn walk_params(
    problem: &Problem,
    walk: &Walk,
    layout: Layout,
    tile: Tile,
) -> (Params, bool) {
    let (vector, step) = (layout.vector, tile.step());
    let partner_vector = vector == 4 && walk.partner.per_element != 0;
    // Where channels are loaded as vectors, partners count vectors too.
    let unit = if partner_vector { vector } else { 1 };
    let (p, run_length) = (walk.partner, walk.run_length / vector);
    let params = Params {
        items: walk.items,
        first_item: walk.first_item,
        all_items: walk.items,
        item_vectors: layout.vectors(walk),
        items_per_outer: walk.items_per_outer,
        outer_stride: walk.outer_stride / vector,
        item_stride: walk.item_stride / vector,
        run_length,
        run_stride: walk.run_stride / vector,
        step_runs: step / run_length,
        step_within: step % run_length,
        partner_first: p.first / unit,
        partner_multiplier: p.multiplier / unit,
        partner_divisor: p.divisor,
        partner_modulus: p.modulus / unit,
        partner_per_run: p.per_run / unit,
        runs_per_partner: p.runs_per_partner,
        partner_per_element: p.per_element,
        ..common_params(problem)
    };
    (params, partner_vector)
}

/// What all launches share; what a walk would say is as of none.
pub(super) fn common_params(problem: &Problem) -> Params {
    let count = f64::from(problem.groups.elements());
    let (eps_scale, eps_in_scale) = scaled(problem.eps);
    let lengths = problem.lengths.unwrap_or(Lengths {
        sample_elements: 1,
        position_stride: 1,
        positions: 1,
        groups_per_block: 1,
        samples_per_group: 1,
        groups_per_position: 0,
        group_elements: 1,
    });
    Params {
        chunk: 1,
        parts: 1,
        items_per_outer: 1,
        items_per_group: 1,
        run_length: 1,
        partner_divisor: 1,
        runs_per_partner: 1,
        partner_modulus: 1,
        sample_elements: lengths.sample_elements,
        position_stride: lengths.position_stride,
        positions: lengths.positions,
        groups_per_block: lengths.groups_per_block,
        samples_per_group: lengths.samples_per_group,
        groups_per_position: lengths.groups_per_position,
        group_elements: lengths.group_elements,
        rows_per_block: 1,
        chunks_per_block: 1,
        groups: problem.groups.items,
        count: count as f32,
        eps_scale: eps_scale as f32,
        eps_in_scale: eps_in_scale as f32,
        unbiased: (count / (count - 1.0)) as f32,
        scale: 1.0,
        ..Params::default()
    }
}

/// A power of two near the square root of `eps`, and `eps` in units of its square; zeros for zero.
fn scaled(eps: f64) -> (f64, f64) {
    // The scales of the shaders end at 2^-126; an eps below its square is lost beside any variance but 0.
    let scale = eps.sqrt().log2().floor().max(-126.0).exp2();
    if eps == 0.0 {
        (0.0, 0.0)
    } else {
        (scale, eps / (scale * scale))
    }
}

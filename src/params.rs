//! The parameter block of all kernels: one definition gives the Rust struct and the WGSL one.

macro_rules! params {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ident,)+) => {
        /// Parameters of one dispatch, as the shader gets them.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Params {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// The same struct in WGSL.
        pub(crate) const WGSL: &str = concat!(
            "struct Params {\n",
            $("    ", stringify!($name), ": ", stringify!($type), ",\n",)+
            "}\n",
        );
    };
}

params! {
    /// Items of the walk.
    items: u32,
    /// Number of the first of them in the whole tensor.
    first_item: u32,
    /// Items of the whole tensor.
    all_items: u32,
    /// Partial results of the parts before the first one.
    first_partial: u32,
    /// Vectors per item.
    item_vectors: u32,
    /// Vectors per part of an item; the last part may have fewer.
    part_vectors: u32,
    /// Items of a team.
    chunk: u32,
    /// Parts per item.
    parts: u32,
    /// Vectors in the binding before the first one.
    base: u32,
    /// [`Walk::items_per_outer`](crate::geometry::Walk).
    items_per_outer: u32,
    /// Vectors between jumps of the base.
    outer_stride: u32,
    /// Vectors between neighbouring items.
    item_stride: u32,
    /// Vectors per run.
    run_length: u32,
    /// Vectors between the beginnings of runs.
    run_stride: u32,
    /// Runs that a lane advances by at least, per step.
    step_runs: u32,
    /// Vectors along the run that a lane advances by, per step.
    step_within: u32,
    /// [`Partner::first`](crate::geometry::Partner).
    partner_first: u32,
    /// [`Partner::multiplier`](crate::geometry::Partner).
    partner_multiplier: u32,
    /// [`Partner::divisor`](crate::geometry::Partner).
    partner_divisor: u32,
    /// [`Partner::modulus`](crate::geometry::Partner).
    partner_modulus: u32,
    /// [`Partner::per_run`](crate::geometry::Partner).
    partner_per_run: u32,
    /// [`Partner::runs_per_partner`](crate::geometry::Partner).
    runs_per_partner: u32,
    /// Partners from one vector of a run to the next, in the units that the shader loads partners by.
    partner_per_element: u32,
    /// Groups: numbers per plane of the statistics.
    groups: u32,
    /// Numbers per plane of the partial sums or averages.
    plane: u32,
    /// Items of a group, where items are runs.
    items_per_group: u32,
    /// Rows of the slice that share groups, where items are rows.
    rows_per_block: u32,
    /// Chunks that these are divided into, none of which has rows of two blocks.
    chunks_per_block: u32,
    /// Blocks of rows before the slice.
    first_block: u32,
    /// Elements of the tensor before the binding.
    first_element: u32,
    /// [`Lengths::sample_elements`](crate::geometry::Lengths).
    sample_elements: u32,
    /// [`Lengths::position_stride`](crate::geometry::Lengths).
    position_stride: u32,
    /// [`Lengths::positions`](crate::geometry::Lengths).
    positions: u32,
    /// [`Lengths::groups_per_block`](crate::geometry::Lengths).
    groups_per_block: u32,
    /// [`Lengths::samples_per_group`](crate::geometry::Lengths).
    samples_per_group: u32,
    /// [`Lengths::groups_per_position`](crate::geometry::Lengths).
    groups_per_position: u32,
    /// [`Lengths::group_elements`](crate::geometry::Lengths).
    group_elements: u32,
    /// Elements per group.
    count: f32,
    /// A power of two near the square root of eps, or 0.
    eps_scale: f32,
    /// What is added to the variance, eps, in units of `eps_scale`².
    eps_in_scale: f32,
    /// Weight of the batch in the running statistics.
    momentum: f32,
    /// n / (n - 1): makes a biased variance unbiased.
    unbiased: f32,
    /// Makes averages of sums.
    scale: f32,
    /// 0, which no compiler knows.
    zero: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_multiple_of_16_bytes_as_uniform_blocks_of_opengl_need() {
        assert_eq!(size_of::<Params>() % 16, 0);
    }
}

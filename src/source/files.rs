//! The WGSL files of a kernel variant.

use super::{Team, Variant};
use crate::kernel::{Kernel, Slot};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../shaders/", $name, ".wgsl"))
    };
}

/// All of them, the entry point's last.
pub(super) fn of(kernel: Kernel, variant: &Variant) -> Vec<&'static str> {
    let team = match variant.tile.team {
        Team::Single => vec![file!("lib/team_single")],
        Team::Subgroup { .. } => vec![file!("lib/subgroup"), file!("lib/team_subgroup")],
        Team::Subgroups { .. } => vec![file!("lib/subgroup"), file!("lib/team_subgroups")],
        Team::Workgroup { .. } => vec![file!("lib/team_workgroup")],
    };
    let of_statistics = matches!(
        kernel,
        Kernel::NormalizeGroups | Kernel::Statistics | Kernel::MergeStatistics
    ) || kernel == Kernel::Normalize && !variant.batch_statistics;
    let (partial, shuffle) = if of_statistics {
        (file!("lib/statistics"), file!("lib/shuffle_statistics"))
    } else if kernel == Kernel::DoubleSums {
        (file!("lib/double_sums"), file!("lib/shuffle_double_sums"))
    } else {
        (file!("lib/sums"), file!("lib/shuffle_sums"))
    };
    let load = match variant.loads_once {
        true => file!("lib/load_once"),
        false => file!("lib/load_by_each"),
    };
    let mut files = vec![file!("lib/value"), file!("lib/walk"), partial];
    if team.contains(&file!("lib/subgroup")) {
        files.push(shuffle);
    }
    files.extend(team);
    files.push(load);
    if variant.lengths {
        files.extend(lengths(kernel));
    }
    files.extend(own(kernel, variant));
    files
}

/// Where samples end.
fn lengths(kernel: Kernel) -> Option<&'static str> {
    match kernel {
        Kernel::MergeStatistics => None,
        Kernel::MergeSums | Kernel::UpdateRunning => Some(file!("lib/valid_count")),
        _ => Some(file!("lib/valid")),
    }
}

/// Those that depend on the kernel.
fn own(kernel: Kernel, variant: &Variant) -> Vec<&'static str> {
    let held = |yes, no| if variant.resident { yes } else { no };
    let affine_held = |yes, no| if variant.hold_affine { yes } else { no };
    let statistics = held(
        file!("lib/lane_statistics_held"),
        file!("lib/lane_statistics_looped"),
    );
    let in_lengths = |yes, no| if variant.lengths { yes } else { no };
    let x_hat = in_lengths(file!("lib/x_hat_valid"), file!("lib/x_hat"));
    let again = held(file!("lib/again_held"), file!("lib/again_loaded"));
    let affine = affine_held(file!("lib/affine_held"), file!("lib/affine_loaded"));
    let alone = |yes, no| if variant.is_alone() { yes } else { no };
    let forward = alone(file!("lib/forward_alone"), file!("lib/forward_surrounded"));
    let backward = alone(
        file!("lib/backward_alone"),
        file!("lib/backward_surrounded"),
    );
    let summed = summed(variant);
    let [centering, evaluated] = of_normalize(variant);
    let running = match variant.optional.contains(Slot::RunningMean) {
        true => file!("lib/running_updated"),
        false => file!("lib/running_untouched"),
    };
    if variant.by_rows {
        return rows(kernel, variant, [forward, backward, running]);
    }
    let normalize = match variant.resident || variant.hold_affine {
        true => file!("lib/normalize_held"),
        false => file!("lib/normalize_looped"),
    };
    match kernel {
        Kernel::NormalizeGroups => vec![
            forward,
            file!("lib/held_statistics"),
            statistics,
            file!("lib/moments"),
            file!("lib/centering"),
            file!("lib/affine"),
            file!("lib/normalize_vector"),
            again,
            affine,
            normalize,
            running,
            file!("normalize_groups"),
        ],
        Kernel::Statistics => vec![
            forward,
            in_lengths(
                file!("lib/held_statistics_valid"),
                file!("lib/held_statistics"),
            ),
            statistics,
            file!("statistics"),
        ],
        Kernel::MergeStatistics => {
            vec![file!("lib/moments"), running, file!("merge_statistics")]
        }
        Kernel::Normalize => vec![
            forward,
            file!("lib/centering"),
            centering,
            evaluated,
            file!("lib/affine"),
            file!("lib/normalize_vector"),
            again,
            affine,
            normalize,
            file!("normalize"),
        ],
        Kernel::UpdateRunning => vec![in_lengths(
            file!("update_running_lengths"),
            file!("update_running"),
        )],
        Kernel::GradInputGroups => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            x_hat,
            backward,
            file!("lib/gradient_lane"),
            held(file!("lib/hold_gradient"), file!("lib/reload_gradient")),
            file!("lib/grad_input_lane"),
            file!("grad_input_groups"),
        ],
        Kernel::GradInputChannels => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            x_hat,
            backward,
            file!("grad_input_channels"),
        ],
        Kernel::GradColumns => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            backward,
            file!("lib/affine_held"),
            file!("lib/columns"),
            summed,
            file!("lib/column_sums"),
            file!("lib/sums_of_group"),
            file!("grad_columns"),
        ],
        Kernel::GradRows => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            backward,
            file!("grad_rows"),
        ],
        Kernel::GradientSums if variant.hold_affine => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            x_hat,
            backward,
            affine,
            file!("lib/gradient_columns"),
            summed,
            file!("gradient_sums"),
        ],
        Kernel::GradientSums => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            x_hat,
            backward,
            file!("lib/gradient_lane"),
            file!("lib/reload_gradient"),
            summed,
            file!("gradient_sums"),
        ],
        Kernel::PackAffine => vec![file!("pack_affine")],
        Kernel::MergeSums => vec![
            in_lengths(file!("lib/sums_averaged"), file!("lib/sums_whole")),
            file!("merge_sums"),
        ],
        Kernel::Histogram => vec![file!("histogram")],
        Kernel::DoubleSums => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("double_sums"),
        ],
        Kernel::DoubleGradWeight => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/double_group"),
            file!("double_grad_weight"),
        ],
        Kernel::DoubleGradInput => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/double_group"),
            file!("double_grad_input"),
        ],
        Kernel::GradInput => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/affine"),
            x_hat,
            backward,
            file!("lib/gradient_lane"),
            file!("lib/reload_gradient"),
            file!("lib/grad_input_lane"),
            file!("lib/sums_of_group"),
            file!("grad_input"),
        ],
    }
}

/// Where the sums of a channel go.
const fn summed(variant: &Variant) -> &'static str {
    if variant.optional.contains(Slot::Partials) {
        file!("lib/sums_to_partials")
    } else {
        file!("lib/sums_to_gradients")
    }
}

/// Where a launch that normalizes has the moments from.
const fn of_normalize(variant: &Variant) -> [&'static str; 2] {
    if variant.batch_statistics {
        [file!("lib/saved_centering"), file!("lib/moments_saved")]
    } else {
        [file!("lib/moments"), file!("lib/running_centering")]
    }
}

/// Those of a walk by rows.
fn rows(
    kernel: Kernel,
    variant: &Variant,
    [forward, backward, running]: [&'static str; 3],
) -> Vec<&'static str> {
    let mut files = match kernel {
        Kernel::Statistics => {
            return vec![
                forward,
                file!("lib/held_statistics"),
                file!("lib/row_statistics"),
                file!("lib/columns"),
                file!("rows/statistics"),
            ];
        }
        Kernel::NormalizeGroups => {
            return vec![
                forward,
                file!("lib/held_statistics"),
                file!("lib/row_statistics"),
                file!("lib/column_groups"),
                file!("lib/moments"),
                file!("lib/centering"),
                file!("lib/affine"),
                running,
                file!("rows/normalize_groups"),
            ];
        }
        Kernel::Normalize => {
            let [centering, evaluated] = of_normalize(variant);
            vec![
                file!("lib/centering"),
                centering,
                evaluated,
                file!("lib/column_groups"),
                file!("lib/column_centering"),
                file!("lib/affine"),
            ]
        }
        _ => vec![
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("lib/column_groups"),
            file!("lib/column_centering"),
            file!("lib/affine"),
        ],
    };
    if variant.affine_of_row {
        files.push(file!("lib/affine_rows"));
    } else {
        files.extend([file!("lib/affine_held"), file!("lib/affine_columns")]);
    }
    match kernel {
        Kernel::Normalize => files.extend([
            forward,
            file!("lib/normalize_vector"),
            file!("lib/again_loaded"),
            file!("rows/normalize"),
        ]),
        Kernel::GradientSums => files.extend([
            backward,
            file!("lib/columns"),
            summed(variant),
            file!("lib/column_sums"),
            file!("rows/gradient_sums"),
        ]),
        _ => files.extend([backward, file!("rows/grad_input")]),
    }
    files
}

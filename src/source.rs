//! The WGSL text of a kernel variant: generated constants, parameter block, bindings and accessors, then the kernel's files.
//!
//! Text is the only mechanism for variants: `override` constants could change neither a type nor a binding.

use std::fmt::Write;

use crate::kernel::{self, Access, Element, Kernel, Slot, SlotUse};
use crate::params;

/// How the lanes of a workgroup are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Lanes that work on one task together: a power of two.
    pub lanes: u32,
    /// Teams per workgroup.
    pub teams: u32,
    /// How a team reduces.
    pub team: Team,
}

/// How the lanes of a team reduce their partial results to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Team {
    /// One lane: it need not.
    Single,
    /// By subgroup operations. `min_size` is the smallest subgroup that the device may run.
    Subgroup {
        /// Lanes of the smallest subgroup.
        min_size: u32,
    },
    /// Through workgroup memory. `across`: neighbouring lanes belong to neighbouring teams.
    Workgroup {
        /// Lanes of a team are `teams` apart.
        across: bool,
    },
}

impl Tile {
    /// Invocations per workgroup.
    #[must_use]
    pub const fn workgroup_size(&self) -> u32 {
        self.lanes * self.teams
    }
}

/// A set of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Slots(u32);

impl Slots {
    /// The set with `slot` as well.
    #[must_use]
    pub const fn with(self, slot: Slot) -> Self {
        Self(self.0 | 1 << slot as u32)
    }

    /// The set with `slot` as well, if `condition`.
    #[must_use]
    pub const fn with_if(self, condition: bool, slot: Slot) -> Self {
        if condition { self.with(slot) } else { self }
    }

    /// Whether `slot` is in the set.
    #[must_use]
    pub const fn contains(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u32) != 0
    }
}

/// All that distinguishes the text of two shaders of one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The arrangement of lanes.
    pub tile: Tile,
    /// Elements per load: 1 or 4.
    pub vector: u32,
    /// Vectors that a lane keeps in registers, or sums as one block.
    pub held: u32,
    /// The lane's whole share is kept.
    pub resident: bool,
    /// An item is a single run.
    pub one_run: bool,
    /// Weight and bias are the same for all items of a team, which keeps them in registers.
    pub hold_affine: bool,
    /// Neighbouring elements have neighbouring channels, so that weights are loaded as vectors, too.
    pub channel_vector: bool,
    /// All elements of an item have the same partner.
    pub partner_constant: bool,
    /// The walk goes over groups (true) or over channels.
    pub items_are_groups: bool,
    /// The mean is subtracted.
    pub centered: bool,
    /// The statistics depend on the input.
    pub batch_statistics: bool,
    /// The running statistics are plain averages of all batches.
    pub cumulative: bool,
    /// Optional slots that are there.
    pub optional: Slots,
}

/// The slots that are bound in `variant`, in binding order (the first is binding 1).
pub(crate) fn bound_slots(
    kernel: Kernel,
    variant: &Variant,
) -> impl Iterator<Item = &'static SlotUse> {
    let optional = variant.optional;
    kernel::slots(kernel)
        .iter()
        .filter(move |slot| slot.absent.is_none() || optional.contains(slot.slot))
}

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../shaders/", $name, ".wgsl"))
    };
}

/// The files of a kernel variant.
fn files(kernel: Kernel, variant: &Variant) -> Vec<&'static str> {
    let team = match variant.tile.team {
        Team::Single => file!("lib/team_single"),
        Team::Subgroup { .. } => file!("lib/team_subgroup"),
        Team::Workgroup { .. } => file!("lib/team_workgroup"),
    };
    let mut files = vec![file!("lib/value"), file!("lib/walk"), team];
    files.extend(match kernel {
        Kernel::NormalizeGroups => vec![
            file!("lib/statistics"),
            file!("lib/held_statistics"),
            file!("lib/moments"),
            file!("lib/centering"),
            file!("lib/normalize_vector"),
            file!("normalize_groups"),
        ],
        Kernel::Statistics => vec![
            file!("lib/statistics"),
            file!("lib/held_statistics"),
            file!("statistics"),
        ],
        Kernel::MergeStatistics => vec![
            file!("lib/statistics"),
            file!("lib/moments"),
            file!("merge_statistics"),
        ],
        Kernel::Normalize => vec![
            file!("lib/sums"),
            file!("lib/centering"),
            file!("lib/normalize_vector"),
            file!("lib/saved_centering"),
            file!("normalize"),
        ],
        Kernel::RunningMoments => vec![
            file!("lib/statistics"),
            file!("lib/moments"),
            file!("running_moments"),
        ],
        Kernel::UpdateRunning => vec![file!("lib/sums"), file!("update_running")],
        Kernel::GradInputGroups => vec![
            file!("lib/sums"),
            file!("lib/centering"),
            file!("lib/gradient_lane"),
            file!("lib/grad_input_lane"),
            file!("lib/saved_centering"),
            file!("grad_input_groups"),
        ],
        Kernel::GradColumns => vec![
            file!("lib/sums"),
            file!("lib/centering"),
            file!("lib/saved_centering"),
            file!("grad_columns"),
        ],
        Kernel::GradientSums => vec![
            file!("lib/sums"),
            file!("lib/centering"),
            match variant.hold_affine {
                true => file!("lib/gradient_columns"),
                false => file!("lib/gradient_lane"),
            },
            file!("lib/saved_centering"),
            file!("gradient_sums"),
        ],
        Kernel::MergeSums => vec![file!("lib/sums"), file!("merge_sums")],
        Kernel::GradInput => vec![
            file!("lib/sums"),
            file!("lib/centering"),
            file!("lib/gradient_lane"),
            file!("lib/grad_input_lane"),
            file!("lib/saved_centering"),
            file!("grad_input"),
        ],
    });
    if matches!(variant.tile.team, Team::Subgroup { .. }) {
        files.push(match kernel {
            Kernel::NormalizeGroups | Kernel::Statistics | Kernel::MergeStatistics => {
                file!("lib/shuffle_statistics")
            }
            _ => file!("lib/shuffle_sums"),
        });
    }
    if matches!(kernel, Kernel::NormalizeGroups | Kernel::Normalize) {
        files.push(match variant.resident {
            true => file!("lib/again_held"),
            false => file!("lib/again_loaded"),
        });
    }
    if matches!(kernel, Kernel::NormalizeGroups | Kernel::Statistics) {
        files.push(match variant.resident {
            true => file!("lib/lane_statistics_held"),
            false => file!("lib/lane_statistics_looped"),
        });
    }
    if matches!(kernel, Kernel::NormalizeGroups | Kernel::Normalize) {
        files.push(match variant.hold_affine {
            true => file!("lib/affine_held"),
            false => file!("lib/affine_loaded"),
        });
    }
    files.extend(match (kernel, variant.resident) {
        (Kernel::NormalizeGroups | Kernel::Normalize, _) => {
            Some(if variant.resident || variant.hold_affine {
                file!("lib/normalize_held")
            } else {
                file!("lib/normalize_looped")
            })
        }
        (Kernel::GradInputGroups, true) => Some(file!("lib/hold_gradient")),
        (Kernel::GradientSums, _) if variant.hold_affine => None,
        (Kernel::GradInputGroups | Kernel::GradientSums | Kernel::GradInput, _) => {
            Some(file!("lib/reload_gradient"))
        }
        _ => None,
    });
    files
}

/// Whose compiler reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// wgpu's own.
    Naga,
    /// A browser's: it demands directives that naga 30 rejects.
    Browser,
}

impl Dialect {
    /// The dialect of the target that this is compiled for.
    pub const TARGET: Self = if cfg!(target_family = "wasm") {
        Self::Browser
    } else {
        Self::Naga
    };

    const fn directives(self, team: Team) -> &'static str {
        match (self, team) {
            (Self::Browser, Team::Subgroup { .. }) => {
                "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n"
            }
            _ => "",
        }
    }
}

/// The WGSL text of `variant`. With `shared`, every binding may be written, so that several may lie in one buffer:
/// wgpu refuses a buffer that one dispatch both reads as read-only and writes.
#[must_use]
pub fn wgsl(kernel: Kernel, variant: &Variant, shared: bool, dialect: Dialect) -> String {
    let mut text = dialect.directives(variant.tile.team).to_owned();
    text.push_str(&constants(variant));
    text.push_str(params::WGSL);
    text.push_str("@group(0) @binding(0) var<uniform> params: Params;\n\n");
    let mut binding = 0;
    for slot in kernel::slots(kernel) {
        let present = slot.absent.is_none() || variant.optional.contains(slot.slot);
        if present {
            binding += 1;
        }
        text.push_str(&accessors(
            slot,
            variant,
            present.then_some(binding),
            shared,
        ));
    }
    for file in files(kernel, variant) {
        text.push('\n');
        text.push_str(&unrolled(file, variant.held));
    }
    text
}

/// The loops over what a lane holds, unrolled: what is held is in registers only if every index is a constant. Compilers cannot
/// be relied upon for that: wgpu's loop counters keep them from it where shaders are checked, as in browsers, and Mesa stops at 32
/// iterations. On lavapipe layer norm of rows of 2,048 takes twice as long from memory.
fn unrolled(file: &str, held: u32) -> String {
    const HEAD: &str = "for (var k = 0u; k < HELD; k += 1u) {";
    let mut text = String::new();
    let mut rest = file;
    while let Some(at) = rest.find(HEAD) {
        let (before, from) = rest.split_at(at);
        let from = &from[HEAD.len()..];
        let mut depth = 1;
        let end = from.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let (body, after) = from.split_at(end.map_or(from.len(), |end| end + 1));
        text.push_str(before);
        for k in 0..held {
            let _ = write!(text, "{{ const k = {k}u;{body}");
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn constants(variant: &Variant) -> String {
    let Tile { lanes, teams, team } = variant.tile;
    let min_subgroup = match team {
        Team::Subgroup { min_size } => min_size,
        _ => 1,
    };
    let workgroup = lanes * teams;
    let numbers = [
        ("LANES", lanes),
        ("TEAMS", teams),
        ("WORKGROUP", workgroup),
        ("MOST_SUBGROUPS", workgroup.div_ceil(min_subgroup)),
        ("VECTOR", variant.vector),
        ("HELD", variant.held),
        ("BLOCKS", 16),
    ];
    let switches = [
        ("SPANS_SUBGROUPS", lanes > min_subgroup),
        ("ACROSS", team == Team::Workgroup { across: true }),
        ("RESIDENT", variant.resident),
        ("ONE_RUN", variant.one_run),
        ("PARTNER_CONSTANT", variant.partner_constant),
        ("ITEMS_ARE_GROUPS", variant.items_are_groups),
        ("CENTERED", variant.centered),
        ("BATCH_STATISTICS", variant.batch_statistics),
        ("CUMULATIVE", variant.cumulative),
    ];
    let mut text = String::new();
    for (name, value) in numbers {
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    for (name, value) in switches {
        let _ = writeln!(text, "const {name}: bool = {value};");
    }
    text.push_str(match variant.vector {
        1 => {
            "alias Value = f32;\n\
             fn total(v: Value) -> f32 { return v; }\n\
             fn largest_of(v: Value) -> f32 { return v; }\n\
             fn first_of(v: Value) -> f32 { return v; }\n"
        }
        _ => {
            "alias Value = vec4f;\n\
             fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }\n\
             fn largest_of(v: Value) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }\n\
             fn first_of(v: Value) -> f32 { return v.x; }\n"
        }
    });
    text
}

/// The binding of a slot and its `load_` and `store_` functions, or functions that do without one.
fn accessors(slot: &SlotUse, variant: &Variant, binding: Option<u32>, shared: bool) -> String {
    let name = slot.slot.name();
    let (stored, value) = match slot.element {
        Element::Data => ("Value", "Value"),
        Element::Channel if variant.channel_vector || variant.vector == 1 => ("Value", "Value"),
        Element::Channel => ("f32", "Value"),
        Element::F32 => ("f32", "f32"),
        Element::Partial => ("Partial", "Partial"),
        Element::U32 => ("u32", "u32"),
    };
    let mut text = String::new();
    if let Some(binding) = binding {
        let access = if shared || slot.access != Access::Read {
            "read_write"
        } else {
            "read"
        };
        let _ = writeln!(
            text,
            "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{stored}>;"
        );
    }
    let (load, store) = match (binding, slot.absent) {
        (None, Some(absent)) => (format!("{value}({absent})"), String::new()),
        // One number for all elements of a vector.
        _ if stored != value => (format!("{value}({name}[i])"), String::new()),
        _ => (format!("{name}[i]"), format!("{name}[i] = value;")),
    };
    if slot.access != Access::Write {
        let _ = writeln!(
            text,
            "fn load_{name}(i: u32) -> {value} {{ return {load}; }}"
        );
    }
    if slot.access != Access::Read {
        let _ = writeln!(
            text,
            "fn store_{name}(i: u32, value: {value}) {{ {store} }}"
        );
    }
    text
}

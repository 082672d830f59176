//! The WGSL text of a kernel variant: generated constants, parameter block, bindings and accessors, then the kernel's files.
//!
//! Text is the only mechanism for variants: `override` constants could change neither a type nor a binding.

mod activation;
mod files;
mod storage;
mod text;

pub use storage::{Storage, conversion_shader};

use crate::activation::Activation;
use crate::kernel::{self, Kernel, Slot, SlotUse};
use crate::params;

/// How the lanes of a workgroup are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Lanes that work on one task together: a power of two, or whole subgroups.
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
    /// By subgroup operations, then through workgroup memory: all subgroups of the workgroup, of just this size, each of which has a part of its
    /// own of the one task that there is. A CPU runs them one after the other.
    Subgroups {
        /// Lanes of a subgroup.
        size: u32,
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

    /// How many vectors apart those of a lane are.
    #[must_use]
    pub const fn step(&self) -> u32 {
        match self.team {
            Team::Subgroups { size } => size,
            _ => self.lanes,
        }
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

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without `slot`.
    #[must_use]
    pub const fn without(self, slot: Slot) -> Self {
        Self(self.0 & !(1 << slot as u32))
    }

    /// Whether `slot` is in the set.
    #[must_use]
    pub const fn contains(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u32) != 0
    }
}

/// At which positions of their sample, along which that has a length, the elements of a vector are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Positions {
    /// All at one.
    Same,
    /// Each at the next.
    Neighbouring,
    /// Each at any.
    Any,
}

/// All that distinguishes the text of two shaders of one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The arrangement of lanes.
    pub tile: Tile,
    /// Elements per load: 1 or 4.
    pub vector: u32,
    /// These are one of each of four neighbouring items, which have their numbers in vectors, too.
    pub packed: bool,
    /// Items are rows; statistics and sums are those of columns.
    pub by_rows: bool,
    /// ... of which several blocks follow each other, with columns of their own.
    pub row_blocks: bool,
    /// All elements of a row have one channel, and those of a column one each.
    pub affine_of_row: bool,
    /// Several vectors of neighbouring columns are one group.
    pub grouped_columns: bool,
    /// ... all elements of which have one channel.
    pub affine_of_group: bool,
    /// Columns of which a lane holds several vectors each.
    pub columns: u32,
    /// Items that a team takes at once; else one after the other.
    pub at_once: u32,
    /// Vectors that a lane keeps in registers, or sums as one block.
    pub held: u32,
    /// Every lane has as many, or in blocks a multiple of them, in every task: nothing to test. On lavapipe a test costs a selection for each
    /// number that it guards.
    pub full: bool,
    /// The lane's whole share is kept.
    pub resident: bool,
    /// Items are runs of groups, several of each.
    pub runs: bool,
    /// An item is a single run.
    pub one_run: bool,
    /// The runs of an item are a vector each.
    pub runs_of_one: bool,
    /// The base of an item is a multiple of `item_stride`.
    pub one_outer: bool,
    /// Where an element's partner is depends on its place in the item alone.
    pub same_partners: bool,
    /// Several neighbouring runs of an item have the same partners.
    pub runs_share_partners: bool,
    /// Weight and bias are the same for all items of a team, which keeps them in registers.
    pub hold_affine: bool,
    /// What is the same for all lanes of a team is loaded by one of them.
    pub loads_once: bool,
    /// Neighbouring elements have neighbouring partners, so that weights, say, are loaded as vectors, too.
    pub partner_vector: bool,
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
    /// The weight is stored as its distance from 1.
    pub zero_centered_weight: bool,
    /// What is applied last; none in kernels that need not know.
    pub activation: Activation,
    /// How data are stored; F32 in kernels that have none.
    pub storage: Storage,
    /// Vectors lie in words of 64 bits: half as many loads for devices that load number by number.
    pub long_words: bool,
    /// Samples end where their lengths say, in kernels that must know.
    pub lengths: bool,
    /// Where the elements of a vector are then.
    pub positions: Positions,
    /// Optional slots that are there.
    pub optional: Slots,
}

impl Variant {
    /// Whether the elements of a vector are of one channel and of neighbouring groups.
    pub(crate) const fn groups_differ(&self) -> bool {
        !self.items_are_groups && self.partner_vector
    }

    /// Neither activation nor residual.
    pub(crate) fn is_alone(&self) -> bool {
        self.activation == Activation::None
            && !Slot::SURROUNDING
                .iter()
                .any(|&slot| self.optional.contains(slot))
    }
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

/// Whether no more than WebGPU promises are bound.
pub(crate) fn fits(kernel: Kernel, variant: &Variant) -> bool {
    bound_slots(kernel, variant).count() <= kernel::MOST_SLOTS as usize
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
            (Self::Browser, Team::Subgroup { .. } | Team::Subgroups { .. }) => {
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
    let mut text = variant.storage.directives(variant.vector).to_owned();
    text.push_str(dialect.directives(variant.tile.team));
    text.push_str(&text::constants(variant));
    text.push_str(
        &variant
            .storage
            .conversions(variant.vector, variant.long_words),
    );
    if !variant.is_alone() {
        text.push_str(&activation::text(kernel, variant));
    }
    text.push_str(params::WGSL);
    text.push_str("@group(0) @binding(0) var<uniform> params: Params;\n\n");
    let mut binding = 0;
    for slot in kernel::slots(kernel) {
        let present = slot.absent.is_none() || variant.optional.contains(slot.slot);
        if present {
            binding += 1;
        } else if slot.slot == Slot::Lengths
            || Slot::RUNNING.contains(&slot.slot)
            || variant.is_alone() && Slot::SURROUNDING.contains(&slot.slot)
        {
            continue;
        }
        text.push_str(&text::accessors(
            slot,
            variant,
            present.then_some(binding),
            shared,
        ));
    }
    for file in files::of(kernel, variant) {
        text.push('\n');
        text.push_str(&text::unrolled(file, variant));
    }
    text
}

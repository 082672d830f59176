//! What a launch walks: a tensor as items.

use crate::caps::Caps;
use crate::geometry::{Problem, Slice, Walk};
use crate::strategy;

/// What the items of a launch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Groups,
    /// The runs that groups consist of.
    Runs,
    /// Groups that are columns, four beside each other at a time.
    Fours,
    /// The rows that groups are columns of.
    Rows,
    Channels,
}

impl View {
    /// Of launches that take whole groups, or parts of them by columns of the tensor.
    pub(super) fn of_groups(problem: &Problem, caps: &Caps) -> Self {
        if strategy::in_fours(problem, caps).is_some() {
            Self::Fours
        } else {
            Self::Groups
        }
    }

    pub(super) const fn of(self, problem: &Problem) -> Walk {
        match self {
            Self::Groups => problem.groups,
            Self::Fours => fours_of(problem.groups),
            Self::Runs => runs_of(problem.groups),
            Self::Rows => rows_of(problem.groups),
            Self::Channels => problem.channels,
        }
    }

    pub(super) const fn of_slice(self, slice: &Slice) -> Walk {
        match self {
            Self::Groups => slice.groups,
            Self::Fours => fours_of(slice.groups),
            Self::Runs => runs_of(slice.groups),
            Self::Rows => rows_of(slice.groups),
            Self::Channels => slice.channels,
        }
    }
}

/// The runs of groups that have several; else these are their own.
const fn runs_of(groups: Walk) -> Walk {
    match groups.by_runs() {
        Some(runs) => runs,
        None => groups,
    }
}

/// Groups that are columns, in fours; else one by one.
const fn fours_of(groups: Walk) -> Walk {
    match groups.in_fours() {
        Some(fours) => fours,
        None => groups,
    }
}

/// The rows of groups that are columns; else these are their own.
const fn rows_of(groups: Walk) -> Walk {
    match groups.by_rows() {
        Some(rows) => rows,
        None => groups,
    }
}

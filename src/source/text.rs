//! The generated parts of a shader's text.

use std::fmt::Write;

use super::{Team, Tile, Variant};
use crate::kernel::{Access, Element, SlotUse};

/// The loops over what a lane holds, unrolled: what is held is in registers only if every index is a constant. Compilers cannot
/// be relied upon for that: wgpu's loop counters keep them from it where shaders are checked, as in browsers, and Mesa stops at 32
/// iterations. On lavapipe layer norm of rows of 2,048 takes twice as long from memory.
pub(super) fn unrolled(file: &str, held: u32) -> String {
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

pub(super) fn constants(variant: &Variant) -> String {
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
pub(super) fn accessors(
    slot: &SlotUse,
    variant: &Variant,
    binding: Option<u32>,
    shared: bool,
) -> String {
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

//! The generated parts of a shader's text.

use std::fmt::Write;

use super::{Positions, Team, Tile, Variant, storage};
use crate::activation::Activation;
use crate::kernel::{Access, Element, Slot, SlotUse};

/// The loops over what a lane holds, unrolled: what is held is in registers only if every index is a constant. Compilers cannot
/// be relied upon for that: wgpu's loop counters keep them from it where shaders are checked, as in browsers, and Mesa stops at 32
/// iterations. On lavapipe layer norm of rows of 2,048 takes twice as long from memory.
pub(super) fn unrolled(file: &str, variant: &Variant) -> String {
    let (held, columns) = (variant.held, variant.columns);
    let mut loops = vec![
        ("k", "HELD", held),
        ("k", "ROWS", held / columns),
        ("c", "COLUMNS", columns),
        ("i", "CHANNELS", channels(variant)),
        ("row", "AT_ONCE", variant.at_once),
    ];
    if matches!(variant.tile.team, Team::Subgroups { .. }) {
        // There is one task. What a loop with a barrier in it uses, Mesa keeps in memory.
        loops.push(("row", "params.chunk", 1));
    }
    loops
        .iter()
        .fold(file.to_owned(), |text, (index, bound, count)| {
            unroll(&text, index, bound, *count)
        })
}

/// Channels of the elements of a vector.
const fn channels(variant: &Variant) -> u32 {
    if variant.partner_vector && variant.items_are_groups {
        variant.vector
    } else {
        1
    }
}

/// The text with its loops from 0 to `bound` written out.
fn unroll(file: &str, index: &str, bound: &str, count: u32) -> String {
    let head = format!("for (var {index} = 0u; {index} < {bound}; {index} += 1u) {{");
    let mut text = String::new();
    let mut rest = file;
    while let Some(at) = rest.find(&head) {
        let (before, from) = rest.split_at(at);
        let from = &from[head.len()..];
        let mut depth = 1;
        let end = from.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let (body, after) = from.split_at(end.map_or(from.len(), |end| end + 1));
        text.push_str(before);
        for number in 0..count {
            let _ = write!(text, "{{ const {index} = {number}u;{body}");
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The part of a file that begins with the line `//= name`, without it.
pub(super) fn section(file: &'static str, name: &str) -> &'static str {
    let text = file.split("//= ").find_map(|part| {
        let (head, text) = part.split_once('\n')?;
        (head == name).then_some(text)
    });
    text.unwrap_or_default()
}

pub(super) fn constants(variant: &Variant) -> String {
    let Tile { lanes, teams, team } = variant.tile;
    let min_subgroup = match team {
        Team::Subgroup { min_size } => min_size,
        Team::Subgroups { size } => size,
        _ => 1,
    };
    let workgroup = lanes * teams;
    let numbers = [
        ("LANES", lanes),
        ("STEP", variant.tile.step()),
        ("TEAMS", teams),
        ("WORKGROUP", workgroup),
        ("MOST_SUBGROUPS", workgroup.div_ceil(min_subgroup)),
        ("VECTOR", if variant.packed { 1 } else { variant.vector }),
        ("HELD", variant.held),
        ("COLUMNS", variant.columns),
        ("AT_ONCE", variant.at_once),
        ("CHANNELS", channels(variant)),
        ("BLOCKS", 16),
    ];
    let switches = [
        ("SPANS_SUBGROUPS", lanes > min_subgroup),
        ("ACROSS", team == Team::Workgroup { across: true }),
        ("RESIDENT", variant.resident),
        ("RUNS", variant.runs),
        ("ROW_BLOCKS", variant.row_blocks),
        ("AFFINE_OF_ROW", variant.affine_of_row),
        ("GROUPED_COLUMNS", variant.grouped_columns),
        ("AFFINE_OF_GROUP", variant.affine_of_group),
        ("FULL", variant.full),
        ("ONE_RUN", variant.one_run),
        ("RUNS_OF_ONE", variant.runs_of_one),
        ("ONE_OUTER", variant.one_outer),
        ("SAME_PARTNERS", variant.same_partners),
        ("PARTNER_CONSTANT", variant.partner_constant),
        ("RUNS_SHARE_PARTNERS", variant.runs_share_partners),
        ("ITEMS_ARE_GROUPS", variant.items_are_groups),
        ("CENTERED", variant.centered),
        ("BATCH_STATISTICS", variant.batch_statistics),
        ("CUMULATIVE", variant.cumulative),
        ("ACTIVATED", variant.activation != Activation::None),
        ("LENGTHS", variant.lengths),
        ("SAME_POSITION", variant.positions == Positions::Same),
        (
            "NEIGHBOURING_POSITIONS",
            variant.positions == Positions::Neighbouring,
        ),
    ];
    let mut text = String::new();
    for (name, value) in numbers {
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    for (name, value) in switches {
        let _ = writeln!(text, "const {name}: bool = {value};");
    }
    let value = if variant.vector == 1 { "f32" } else { "vec4f" };
    let item = if variant.packed { "vec4f" } else { "f32" };
    let moment = if variant.groups_differ() { value } else { item };
    let bits = if item == "f32" { "u32" } else { "vec4u" };
    let sums = if item == "f32" { "vec2f" } else { "mat2x4f" };
    let element = if variant.vector == 1 { "v" } else { "v[i]" };
    // What each element of a vector adds to its partner: four in one vector, or one for all.
    let sum = "(v.x + v.y) + (v.z + v.w)";
    let [of_partner, summed] =
        match variant.vector == 1 || variant.partner_vector || variant.by_rows && variant.packed {
            true => ["Value", "v"],
            false => ["f32", sum],
        };
    let [total, largest, first] = match (variant.vector, variant.packed) {
        (1, _) | (_, true) => ["v", "v", "v"],
        _ => [sum, "max(max(v.x, v.y), max(v.z, v.w))", "v.x"],
    };
    let _ = write!(
        text,
        "alias Value = {value};\nalias Item = {item};\nalias Moment = {moment};\nalias Bits = {bits};\nalias Sums = {sums};\n\
         fn total(v: Value) -> Item {{ return {total}; }}\n\
         fn largest_of(v: Value) -> Item {{ return {largest}; }}\n\
         fn first_of(v: Value) -> Item {{ return {first}; }}\n\
         fn element_of(v: Value, i: u32) -> f32 {{ return {element}; }}\n\
         alias OfPartner = {of_partner};\n\
         fn of_partner(v: Value) -> OfPartner {{ return {summed}; }}\n"
    );
    if variant.lengths {
        let [indices, valid, from_0] = match variant.vector {
            1 => ["u32", "bool", "0u"],
            _ => ["vec4u", "vec4<bool>", "vec4u(0u, 1u, 2u, 3u)"],
        };
        let _ = write!(
            text,
            "alias Indices = {indices};\nalias Valid = {valid};\nconst FROM_0 = {from_0};\n"
        );
    }
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
        Element::Channel if variant.vector == 1 => ("Value", "Value"),
        Element::Channel if variant.partner_vector && variant.items_are_groups => {
            ("Value", "Value")
        }
        Element::Channel if slot.access != Access::Read => ("f32", "f32"),
        Element::Channel => ("f32", "Value"),
        Element::Item
            if matches!(slot.slot, Slot::Statistics | Slot::Sums) && variant.groups_differ() =>
        {
            ("Value", "Value")
        }
        // One group for all elements of a vector of columns.
        Element::Item
            if variant.grouped_columns && variant.packed && slot.access != Access::Write =>
        {
            ("f32", "Item")
        }
        Element::Item => ("Item", "Item"),
        Element::F32 => ("f32", "f32"),
        Element::Partial => ("Partial", "Partial"),
        Element::U32 => ("u32", "u32"),
        Element::Count => ("atomic<u32>", "u32"),
    };
    let writable = shared || slot.access != Access::Read;
    let long = variant.long_words;
    let data = variant
        .storage
        .binding(name, variant.vector, long, writable);
    // Vectors of what is not data, too, but for those of partial results.
    let is_vector = match stored {
        "Value" => variant.vector == 4,
        "Item" => variant.packed,
        _ => false,
    };
    let [stored, load_stored, store_value] = match slot.element {
        Element::Data => data,
        _ if long && is_vector => storage::LONG_VECTOR.map(|text| text.replace("NAME", name)),
        _ => [
            stored.to_owned(),
            format!("{name}[i]"),
            format!("{name}[i] = value;"),
        ],
    };
    // Data behind the end of a sample are read and written as 0.
    let masked = slot.element == Element::Data && variant.lengths && binding.is_some();
    let mut text = String::new();
    if let Some(binding) = binding {
        let access = if writable { "read_write" } else { "read" };
        let _ = writeln!(
            text,
            "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{stored}>;"
        );
    }
    let packed = match slot.slot {
        _ if !variant.optional.contains(Slot::Affine) => None,
        Slot::Weight => Some("i"),
        Slot::Bias => Some("params.partner_modulus + i"),
        _ => None,
    };
    let (load, store) = match (binding, slot.absent) {
        (None, Some(_)) if packed.is_some() => {
            let index = packed.unwrap_or_default();
            (format!("{value}(load_affine({index}))"), String::new())
        }
        (None, Some(absent)) => (format!("{value}({absent})"), String::new()),
        _ if slot.slot == Slot::Weight && variant.zero_centered_weight => {
            (format!("1.0 + {value}({load_stored})"), String::new())
        }
        _ if slot.element == Element::Count => {
            (String::new(), format!("atomicAdd(&{name}[i], value);"))
        }
        // One number for all elements of a vector.
        _ if stored == "f32" && value != "f32" => {
            (format!("{value}({load_stored})"), String::new())
        }
        _ => (load_stored, store_value),
    };
    let load = match masked {
        true => format!("select(Value(), {load}, valid_at(i))"),
        false => load,
    };
    let (given, mask) = match masked {
        true => ("given", "let value = select(Value(), given, valid_at(i)); "),
        false => ("value", ""),
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
            "fn store_{name}(i: u32, {given}: {value}) {{ {mask}{store} }}"
        );
    }
    text
}

// With lengths the sums of a group are stored as averages over its valid elements.

fn sums_of_item(item: u32, sums: Partial) -> Partial {
    return sums / max(f32(valid_count(item)), 1.0);
}

// The sums of an item as they are.

fn sums_of_item(item: u32, sums: Partial) -> Partial {
    return sums;
}

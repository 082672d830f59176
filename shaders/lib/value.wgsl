// Numbers: a Value is a vector of the tensor, with VECTOR elements of one item; an Item is what a group or channel has one number of. Where
// each element of a vector is of another item, VECTOR is 1 and an Item has a number of each. A Moment is what
// normalizes an element: one for all elements of a vector of a group, or one each.

// The same number, through an integer operation that no compiler can see through: `params.zero` is 0.
// WGSL allows a + b - a to become b; the low parts below depend on its rounding.
fn opaque(x: Item) -> Item {
    return bitcast<Item>(bitcast<Bits>(x) ^ Bits(params.zero));
}

// The text of a loop over HELD is repeated HELD times before it is compiled (`unrolled` in src/source/text.rs), so that what is indexed by
// it can be in registers.

// As held_statistics.wgsl, of elements that are not behind the end of their sample: these have a count of their own. One column alone.

// The vectors that a lane is working on, and 1 where their elements are valid, else 0.
var<private> held: array<Value, HELD>;
var<private> held_valid: array<Value, HELD>;

fn hold_input(k: u32, at: u32) {
    held[k] = incoming(at);
    held_valid[k] = select(Value(), Value(1.0), valid_at(at));
}

// As there.
const CHAIN: u32 = 8u;

fn held_statistics(column: u32, vectors: u32) -> Partial {
    // Distances from an element first, so that a constant set has exactly its value as mean.
    var counts = Value();
    var most = Value(-3.4e38);
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < vectors) {
            counts += held_valid[k];
            most = max(most, select(Value(-3.4e38), held[k], held_valid[k] > Value()));
        }
    }
    let count = total(counts);
    if (count == 0.0) {
        return Partial();
    }
    let element = select(Item(), largest_of(most), CENTERED);
    var sum = Value();
    var largest = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < vectors) {
            let distance = (held[k] - element) * held_valid[k];
            sum += distance;
            largest = max(largest, abs(distance));
        }
    }
    let scale = scale_of(largest_of(largest));
    let unit = inverse(scale);
    let high = select(Item(), opaque(element + total(sum) / count), CENTERED);
    sum = Value();
    var squares = Value();
    var chain = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < vectors) {
            // Before the unit, with which it may be infinite.
            let distance = (held[k] - high) * held_valid[k] * unit;
            sum += distance;
            chain += distance * distance;
        }
        if ((k + 1u) % CHAIN == 0u || k + 1u == HELD) {
            squares += chain;
            chain = Value();
        }
    }
    if (!CENTERED) {
        return Partial(count, Item(), Item(), total(squares), scale);
    }
    let low = total(sum) / count;
    return renormalized(count, high, low * scale, total(squares) - count * low * low, scale);
}

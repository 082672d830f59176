// Statistics of the vectors that a lane holds.

// The vectors that a lane is working on.
var<private> held: array<Value, HELD>;

// What is held are ROWS vectors of each of COLUMNS columns: one column, but where a lane has neighbouring columns of a tensor by rows.
const ROWS: u32 = HELD / COLUMNS;

fn hold_input(k: u32, at: u32) {
    held[k] = incoming(at);
}

// A chain of additions. Squares of numbers on a grid, such as large f32, are 1 modulo 8 or even: where a long sum of them takes one bit less than
// they have, each of the odd ones is rounded in the same direction.
const CHAIN: u32 = 8u;

// Statistics of the first `vectors` of a column, in two passes over registers.
fn held_statistics(column: u32, vectors: u32) -> Partial {
    let count = f32(vectors * VECTOR);
    // Distances from an element first, so that a constant set has exactly its value as mean.
    let element = select(Item(), first_of(held[column]), CENTERED);
    var sum = Value();
    var largest = Value();
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let distance = held[k * COLUMNS + column] - element;
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
    for (var k = 0u; k < ROWS; k += 1u) {
        if (FULL || k < vectors) {
            let distance = (held[k * COLUMNS + column] - high) * unit;
            sum += distance;
            chain += distance * distance;
        }
        if ((k + 1u) % CHAIN == 0u || k + 1u == ROWS) {
            squares += chain;
            chain = Value();
        }
    }
    if (!CENTERED) {
        return Partial(count, Item(), Item(), total(squares), scale);
    }
    let low = total(sum) / count;
    // Not below 0: unless all distances are 0, the mean of their squares exceeds the square of their mean by far more
    // than a rounding error, as there are at most a few hundred.
    return renormalized(count, high, low * scale, total(squares) - count * low * low, scale);
}

// Statistics of one lane's share of a task.

// The vectors that a lane is working on.
var<private> held: array<Value, HELD>;

// Statistics of the first `vectors` held ones, in two passes over registers.
fn held_statistics(vectors: u32) -> Partial {
    if (vectors == 0u) {
        return Partial();
    }
    let count = f32(vectors * VECTOR);
    var squares = Value();
    if (!CENTERED) {
        for (var k = 0u; k < HELD; k += 1u) {
            if (k < vectors) {
                squares += held[k] * held[k];
            }
        }
        return Partial(count, 0.0, 0.0, total(squares));
    }
    // Relative to an element, so that a constant set has exactly its value as mean.
    let element = first_of(held[0]);
    var sum = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < vectors) {
            sum += held[k] - element;
        }
    }
    let high = opaque(element + total(sum) / count);
    sum = Value();
    for (var k = 0u; k < HELD; k += 1u) {
        if (k < vectors) {
            let distance = held[k] - high;
            sum += distance;
            squares += distance * distance;
        }
    }
    let low = total(sum) / count;
    // Not below 0: unless all distances are 0, the mean of their squares exceeds the square of their mean by far more
    // than a rounding error, as there are at most a few hundred.
    return renormalized(count, high, low, total(squares) - count * low * low);
}

// Statistics of this lane's share of the task. If RESIDENT, the share is held afterwards.
fn lane_statistics(task: Task) -> Partial {
    var cursor = cursor_at(task);
    var statistics = Partial();
    for (var done = 0u; done < task.vectors; done += HELD) {
        let vectors = min(task.vectors - done, HELD);
        for (var k = 0u; k < HELD; k += 1u) {
            if (k < vectors) {
                held[k] = load_input(offset(cursor));
                cursor = advance(cursor);
            }
        }
        statistics = merge(statistics, held_statistics(vectors));
    }
    return statistics;
}

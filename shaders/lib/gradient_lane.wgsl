// One lane's share of the two sums of a task, over a group or over a channel.

// Centering of the element under the cursor: that of its group, which is the item or its partner.
fn centering_at(task: Task, cursor: Cursor) -> Centering {
    if (ITEMS_ARE_GROUPS) {
        return centering_of_group(task);
    }
    return saved_centering(partner(cursor));
}

// Weight and bias where all of an item share them; only an activation needs them here.
fn affine_of_item(task: Task, cursor: Cursor) -> Affine {
    if (!ACTIVATED) {
        return Affine();
    }
    if (ITEMS_ARE_GROUPS) {
        return affine_at(partner(cursor));
    }
    return affine_at(task.item);
}

// The gradient as it stands in the sums: a weight that all of an item share is multiplied in afterwards.
fn gradient_at(at: u32, x_hat: Value, cursor: Cursor, of_item: Affine, again: bool) -> Value {
    if (PARTNER_CONSTANT || !ITEMS_ARE_GROUPS) {
        return output_gradient(at, x_hat, of_item, again);
    }
    let affine = affine_at(partner(cursor));
    return output_gradient(at, x_hat, affine, again) * affine.weight;
}

fn hold_affine(task: Task) {}

// What the sums take of a vector.
struct Terms {
    gradient: Value,
    product: Value,
}

fn terms_of(k: u32, task: Task, cursor: Cursor, of_item: Affine, centering_of_item: Centering) -> Terms {
    let at = offset(cursor);
    var centering = centering_of_item;
    if (!ITEMS_ARE_GROUPS && !PARTNER_CONSTANT) {
        centering = centering_at(task, cursor);
    }
    let x_hat = x_hat_at(at, centering);
    let gradient = gradient_at(at, x_hat, cursor, of_item, false);
    hold(k, x_hat, gradient);
    return Terms(gradient, gradient * x_hat);
}

// Blocks, then blocks of blocks: rounding errors grow with the length of a chain of sums.
fn lane_sums(task: Task) -> Partial {
    var cursor = cursor_at(task);
    let centering_of_item = centering_at(task, cursor);
    let of_item = affine_of_item(task, cursor);
    var sum = Value();
    var sum_x_hat = Value();
    if (RESIDENT) {
        // Not in a loop: what is held would be in memory.
        for (var k = 0u; k < HELD; k += 1u) {
            if (FULL || k < task.vectors) {
                let terms = terms_of(k, task, cursor, of_item, centering_of_item);
                sum += terms.gradient;
                sum_x_hat += terms.product;
                cursor = advance(cursor);
            }
        }
        return Partial(total(sum), total(sum_x_hat));
    }
    for (var outer = 0u; outer < task.vectors; outer += HELD * BLOCKS) {
        var middle = Value();
        var middle_x_hat = Value();
        for (var done = outer; done < min(outer + HELD * BLOCKS, task.vectors); done += HELD) {
            var block = Value();
            var block_x_hat = Value();
            for (var k = 0u; k < HELD; k += 1u) {
                if (FULL || k < task.vectors - done) {
                    let terms = terms_of(k, task, cursor, of_item, centering_of_item);
                    block += terms.gradient;
                    block_x_hat += terms.product;
                    cursor = advance(cursor);
                }
            }
            middle += block;
            middle_x_hat += block_x_hat;
        }
        sum += middle;
        sum_x_hat += middle_x_hat;
    }
    return Partial(total(sum), total(sum_x_hat));
}

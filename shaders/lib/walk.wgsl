// Walking a tensor item by item (group by group, or channel by channel): the same arithmetic as `Walk` in src/geometry.rs,
// without a division per element. All offsets count vectors of VECTOR elements.

// What one team of LANES lanes does: one part of one item.
struct Task {
    exists: bool,
    // Number of the item in the whole tensor, of which the bindings may hold a slice.
    item: u32,
    // Number of its group, where items are groups or runs of them.
    group: u32,
    // Where the task's partial result goes.
    partial: u32,
    // Where items are rows: which of those of its block. Its group is the number of the block.
    row: u32,
    // This lane's first vector of the item; the next ones are STEP apart.
    first: u32,
    // How many vectors are this lane's.
    vectors: u32,
}

// The tasks of a team: the same part of `chunk` items, one after the other. Neighbouring teams have neighbouring items, neighbouring
// workgroups neighbouring parts.
// A number past the end gives an existing item with no vectors, and a lane without vectors stands at the first one:
// they take part in barriers and read nothing out of bounds.
fn task_at(workgroup: u32, row: u32) -> Task {
    let chunk = workgroup / params.parts;
    let part = workgroup - chunk * params.parts;
    var number = (chunk * params.chunk + row) * TEAMS + team;
    var of_block = number;
    var block = 0u;
    if (ROW_BLOCKS) {
        // The rows of a chunk are of one block. There is one team.
        block = chunk / params.chunks_per_block;
        of_block = (chunk - block * params.chunks_per_block) * params.chunk + row;
        number = select(params.items, block * params.rows_per_block + of_block, of_block < params.rows_per_block);
    }
    let begin = part * params.part_vectors;
    let end = min(begin + params.part_vectors, params.item_vectors);
    let exists = number < params.items && begin < end;
    var own_begin = begin + lane;
    var own_end = end;
    if (STEP < LANES) {
        let of_subgroup = begin + lane / STEP * (STEP * HELD);
        own_begin = of_subgroup + lane % STEP;
        own_end = min(end, of_subgroup + STEP * HELD);
    }
    let any = exists && own_begin < own_end;
    let first = select(0u, own_begin, any);
    let vectors = select(0u, (own_end - first + STEP - 1u) / STEP, any);
    let item = params.first_item + min(number, params.items - 1u);
    let partial = params.first_partial + part * params.all_items + item;
    var group = item;
    if (RUNS) {
        group = item / params.items_per_group;
    }
    if (ROW_BLOCKS) {
        group = params.first_block + block;
    }
    return Task(exists, item, group, partial, of_block, first, vectors);
}

struct Cursor {
    offset_of_item: u32,
    partner_of_item: u32,
    run: u32,
    within: u32,
}

fn cursor_at(task: Task) -> Cursor {
    let item = task.item - params.first_item;
    var outer = 0u;
    var run = 0u;
    var partner = 0u;
    // A division costs as much as two loads on CPUs.
    if (!ONE_OUTER) {
        outer = item / params.items_per_outer;
    }
    var within = task.first;
    if (RUNS_OF_ONE) {
        run = task.first;
        within = 0u;
    } else if (!ONE_RUN) {
        run = task.first / params.run_length;
        within = task.first - run * params.run_length;
    }
    if (!SAME_PARTNERS) {
        partner = task.item / params.partner_divisor * params.partner_multiplier % params.partner_modulus;
    }
    let inner = item - outer * params.items_per_outer;
    return Cursor(
        params.base + outer * params.outer_stride + inner * params.item_stride,
        params.partner_first + partner,
        run,
        within,
    );
}

fn offset(cursor: Cursor) -> u32 {
    if (ONE_RUN) {
        return cursor.offset_of_item + cursor.within;
    }
    // Of runs of one vector `within` is 0.
    return cursor.offset_of_item + cursor.run * params.run_stride + cursor.within;
}

fn partner(cursor: Cursor) -> u32 {
    if (ONE_RUN) {
        return cursor.partner_of_item + cursor.within * params.partner_per_element;
    }
    var run = cursor.run;
    if (RUNS_SHARE_PARTNERS) {
        run /= params.runs_per_partner;
    }
    return cursor.partner_of_item + run * params.partner_per_run
        + cursor.within * params.partner_per_element;
}

// STEP vectors further: step_runs = STEP / run_length, step_within = STEP % run_length.
fn advance(cursor: Cursor) -> Cursor {
    var next = cursor;
    if (ONE_RUN) {
        next.within += STEP;
        return next;
    }
    if (RUNS_OF_ONE) {
        next.run += STEP;
        return next;
    }
    next.run += params.step_runs;
    next.within += params.step_within;
    if (next.within >= params.run_length) {
        next.within -= params.run_length;
        next.run += 1u;
    }
    return next;
}

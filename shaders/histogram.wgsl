// How many values lie between each two neighbouring edges, below the first one, from the last one on, and how many are NaN: counted in the
// workgroup, then added to what the other workgroups counted. Sums of integers do not depend on their order.
//
// Values and edges are compared as integers in the same order: compilers may assume that there is no NaN and no infinity.

// Edges, one more place for values below them, and one for NaN.
const MOST_COUNTS: u32 = 1027u;

var<workgroup> counted: array<atomic<u32>, MOST_COUNTS>;

fn run(workgroup: u32) {
    let local = team * LANES + lane;
    // params.items_per_group edges.
    let counts = params.items_per_group + 2u;
    for (var i = local; i < counts; i += WORKGROUP) {
        atomicStore(&counted[i], 0u);
    }
    workgroupBarrier();
    for (var row = 0u; row < params.chunk; row += 1u) {
        count_lane(task_at(workgroup, row));
    }
    workgroupBarrier();
    for (var i = local; i < counts; i += WORKGROUP) {
        store_counts(i, atomicLoad(&counted[i]));
    }
}

fn count_lane(task: Task) {
    var cursor = cursor_at(task);
    for (var done = 0u; done < task.vectors; done += 1u) {
        let values = load_input(offset(cursor));
        for (var i = 0u; i < VECTOR; i += 1u) {
            atomicAdd(&counted[place_of(bitcast<u32>(element_of(values, i)))], 1u);
        }
        cursor = advance(cursor);
    }
}

// The number of edges that are not above the value; the last place for NaN.
fn place_of(bits: u32) -> u32 {
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return params.items_per_group + 1u;
    }
    // Negative numbers the other way round below the positive ones, -0 as 0.
    var key = bits | 0x80000000u;
    if (bits > 0x80000000u) {
        key = ~bits;
    }
    var low = 0u;
    var high = params.items_per_group;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (load_edges(middle) <= key) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

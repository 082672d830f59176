// Lanes that reduce by subgroup operations.

var<private> lane: u32;
var<private> team: u32;
var<private> subgroup_lane: u32;
var<private> subgroup_index: u32;
var<private> subgroup_lanes: u32;
var<workgroup> exchanged: array<Partial, MOST_SUBGROUPS>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(subgroup_invocation_id) invocation: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
) {
    subgroup_lane = invocation;
    subgroup_index = subgroup;
    subgroup_lanes = size;
    // Not local_invocation_index: how it maps to subgroups is the driver's choice.
    let local = subgroup * size + invocation;
    lane = local % LANES;
    team = local / LANES;
    run(workgroup.x + workgroup.y * grid.x);
}

// The merge of the partials of all lanes of the subgroup, or of as many as a team has, in the order of a binary tree, for every one of them.
fn subgroup_reduce(own: Partial) -> Partial {
    var merged = own;
    for (var distance = 1u; distance < min(LANES, subgroup_lanes); distance *= 2u) {
        let other = shuffled(merged, distance);
        // The lower lane's partial comes first on both sides, so that both get the same bits.
        if ((subgroup_lane & distance) == 0u) {
            merged = merge(merged, other);
        } else {
            merged = merge(other, merged);
        }
    }
    return merged;
}

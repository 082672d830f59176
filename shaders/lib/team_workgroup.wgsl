// Teams that reduce through workgroup memory, on devices without subgroups or with lanes of a team far apart (ACROSS).

var<private> lane: u32;
var<private> team: u32;
var<private> local_index: u32;
var<workgroup> exchanged: array<Partial, WORKGROUP>;

// ACROSS: neighbouring lanes belong to neighbouring teams, so that they read neighbouring items.
const LANE_STRIDE: u32 = select(1u, TEAMS, ACROSS);

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    local_index = local;
    if (ACROSS) {
        lane = local / TEAMS;
        team = local % TEAMS;
    } else {
        lane = local % LANES;
        team = local / LANES;
    }
    run(workgroup.x + workgroup.y * grid.x);
}

// The merge of the partials of all lanes of the team, in the order of a binary tree, for every lane of it.
fn team_reduce(own: Partial) -> Partial {
    exchanged[local_index] = own;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            exchanged[local_index] = merge(
                exchanged[local_index],
                exchanged[local_index + width * LANE_STRIDE],
            );
        }
        workgroupBarrier();
    }
    let merged = exchanged[local_index - lane * LANE_STRIDE];
    // The next reduction writes what another lane may still be about to read.
    workgroupBarrier();
    return merged;
}

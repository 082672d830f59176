// A team of one lane: nothing to reduce. Neighbouring lanes walk neighbouring items.

var<private> lane: u32;
var<private> team: u32;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    lane = 0u;
    team = local;
    run(workgroup.x + workgroup.y * grid.x);
}

fn team_reduce(own: Partial) -> Partial {
    return own;
}

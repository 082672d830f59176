// What the second derivative needs of a group. `sums` has six planes: of g, v, g * v, g * x̂, v * x̂, and an empty one,
// with g = grad_output * weight and v = rstd * grad_grad_input.

struct Group {
    centering: Centering,
    mean_v: Moment,
    mean_v_x_hat: Moment,
}

fn group_at(group: u32) -> Group {
    let mean_v = select(Moment(), average_at(1u, group), CENTERED);
    return Group(saved_centering(group), mean_v, average_at(4u, group));
}

fn average_at(sum: u32, group: u32) -> Moment {
    return load_sums(sum * params.groups + group) / params.count;
}

// What grad_output * weight contributes to sum(grad_input * grad_grad_input); with running statistics this is v itself.
fn factor_of(v: Value, x_hat: Value, group: Group) -> Value {
    return fma(x_hat, Value(-group.mean_v_x_hat), v - group.mean_v);
}

// The sums of a group for the second derivative, in pairs: with g = grad_output * weight and v = rstd * grad_grad_input,
// (of g, of g * x̂), (of v, of v * x̂) and (of g * v, nothing).

alias Partial = mat3x2f;

fn merge(a: Partial, b: Partial) -> Partial {
    return a + b;
}

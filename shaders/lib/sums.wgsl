// The two sums that every gradient needs: of grad_output, and of grad_output * x̂.
// Over groups whose elements have different channels both are taken with grad_output * weight.

alias Partial = Sums;

fn merge(a: Partial, b: Partial) -> Partial {
    return a + b;
}

// Not RESIDENT: a lane reads its input again.

fn input_again(k: u32, at: u32) -> Value {
    return incoming_again(at);
}

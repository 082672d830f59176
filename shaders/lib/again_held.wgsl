// RESIDENT: what the first pass of a lane read is still in its registers.

fn input_again(k: u32, at: u32) -> Value {
    return held[k];
}

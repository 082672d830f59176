// What is the same for all lanes of a team, loaded by each: a GPU does so at once.

fn loads() -> bool {
    return true;
}

fn loaded(v: Moment) -> Moment {
    return v;
}

fn loaded_value(v: Value) -> Value {
    return v;
}

// The moments are saved already.

fn keep_moments(group: u32, first: bool) {}

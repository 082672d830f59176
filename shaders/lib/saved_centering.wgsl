// The saved moments of a group, read back.

fn saved_centering(group: u32) -> Centering {
    return centering_of(
        load_statistics(group),
        load_statistics(params.groups + group),
        load_statistics(2u * params.groups + group),
    );
}

// By rows: weight and bias are those of the columns, which hold_affine has in registers.

fn enter_row(task: Task) {}

//! What software drivers need of the process's memory allocator.

/// Has the allocator keep what drivers give back, so that they get the same memory again.
///
/// Mesa allocates the registers of all subgroups for each workgroup that has a barrier, up to 4 MB, and frees them after it. glibc maps and unmaps so
/// much each time, and the kernel fills each page with zeros, until once something larger has been freed: from then on it keeps up to twice
/// as much (`M_MMAP_THRESHOLD` in mallopt(3)). Most programs free a large vector some time; this one is never touched and costs nothing. In a
/// process that frees none, the backward pass of layer norm of 64x65536 takes 52 ms on lavapipe, and 35 ms after this.
pub(crate) fn keep_freed_memory() {
    // glibc takes no notice of more than 32 MiB.
    const BYTES: usize = 31 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BYTES)));
}

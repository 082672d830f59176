//! Pipeline caches: taken from one context, given to another; whatever else is given is refused and does no harm.

use wgpu_norm::{BatchNorm, Context, Error, Layer, LayerNorm, Mode, Norm, Tensor, check};

use crate::common::{TOLERANCE, new_context};

fn norms() -> [(Norm, Vec<usize>); 2] {
    [
        (BatchNorm::new(3).into(), vec![4, 3, 50]),
        (LayerNorm::new(&[96]).into(), vec![7, 96]),
    ]
}

fn works(context: &Context) {
    for (norm, shape) in norms() {
        let report = check::norm(context, norm, &shape).unwrap();
        assert!(report.worst() < TOLERANCE, "{report}");
    }
}

fn refused(context: &Context, data: &[u8]) -> String {
    match context.load_pipeline_cache(data).unwrap_err() {
        Error::PipelineCache(reason) => reason,
        error => panic!("{error}"),
    }
}

/// The cache of a context that has compiled something, or `None` and a note where there are none.
fn data() -> Option<Vec<u8>> {
    let context = new_context();
    let Some(empty) = context.pipeline_cache_data() else {
        let features = context.device().features();
        assert!(!features.contains(wgpu::Features::PIPELINE_CACHE));
        assert!(refused(&context, &[]).contains("PIPELINE_CACHE"));
        println!("note: no pipeline cache on this device");
        return None;
    };
    works(&context);
    let data = context.pipeline_cache_data().unwrap();
    // Mesa 22.3's lavapipe stores nothing but the header.
    println!("{} bytes before, {} after", empty.len(), data.len());
    assert!(data.len() >= empty.len());
    Some(data)
}

#[test]
fn a_cache_round_trips_and_results_are_the_same() {
    let Some(data) = data() else { return };
    let contexts = [new_context(), new_context()];
    contexts[1].load_pipeline_cache(&data).unwrap();
    let [without, with] = contexts.each_ref().map(|context| {
        norms().map(|(norm, shape)| {
            let case = check::Case::random(&norm, Mode::TRAINING, &shape, 5).unwrap();
            check::results(context, &case).unwrap()
        })
    });
    assert_eq!(without, with);
    // Nothing new was compiled, and nothing was lost.
    let again = contexts[1].pipeline_cache_data().unwrap();
    assert!(
        again.len() >= data.len(),
        "{} of {}",
        again.len(),
        data.len()
    );
}

#[test]
fn garbage_is_refused_and_does_no_harm() {
    let Some(data) = data() else { return };
    let context = new_context();
    let header = 16 + 8 + 8;
    for at in [
        0,
        1,
        15,
        16,
        31,
        header,
        header + 1,
        data.len() / 2,
        data.len() - 1,
    ] {
        refused(&context, &data[..at]);
        let mut damaged = data.clone();
        damaged[at] ^= 0x40;
        refused(&context, &damaged);
    }
    refused(&context, &[&data[..], &data[..]].concat());
    refused(&context, b"no cache at all");
    // Without this crate's frame.
    refused(&context, &data[header..]);
    works(&context);
    assert!(context.pipeline_cache_data().is_some());
}

/// The frame of `data` around other bytes: what a forger, or another version, would write.
fn framed(inner: &[u8], data: &[u8]) -> Vec<u8> {
    let sum = inner
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let numbers = [(inner.len() as u64).to_le_bytes(), sum.to_le_bytes()];
    [&data[..16], numbers.as_flattened(), inner].concat()
}

/// A whole file whose contents say that they are of another adapter or driver. In wgpu's header these are, after 8 bytes of magic
/// and 4 each of version and size of pointers, a byte for the backend, 15 for the adapter and 16 for the driver.
#[test]
fn the_cache_of_another_adapter_is_refused() {
    let Some(data) = data() else { return };
    let context = new_context();
    let inner = &data[32..];
    assert!(context.load_pipeline_cache(&framed(inner, &data)).is_ok());
    for at in 0..48.min(inner.len()) {
        let mut foreign = inner.to_vec();
        foreign[at] ^= 1;
        let reason = refused(&context, &framed(&foreign, &data));
        // The backend, the adapter, the driver.
        match at {
            16..32 => assert!(reason.contains("different device"), "byte {at}: {reason}"),
            32..48 => assert!(reason.contains("out of date"), "byte {at}: {reason}"),
            _ => assert!(!reason.is_empty(), "byte {at}"),
        }
    }
    refused(&context, &framed(&[], &data));
    works(&context);
}

/// It belongs to all clones, and what is compiled after it is loaded is in the data too.
#[test]
fn clones_share_the_cache() {
    let Some(data) = data() else { return };
    let context = new_context();
    let clone = context.clone();
    clone.load_pipeline_cache(&data).unwrap();
    let before = context.pipeline_cache_data().unwrap();
    let layer = Layer::new(&context, LayerNorm::new(&[11])).unwrap();
    let input = Tensor::full(&context, &[3, 11], 0.5).unwrap();
    layer.forward(&input, Mode::EVAL).unwrap();
    assert!(clone.pipeline_cache_data().unwrap().len() >= before.len());
}

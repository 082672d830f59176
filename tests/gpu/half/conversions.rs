//! Every pattern of 16 bits as f32, and every f32 where rounding decides between two of them, on the device.

use half::{bf16, f16};
use wgpu_norm::source::{Storage, conversion_shader};
use wgpu_norm::{Caps, DType, Tensor};

use super::storages;
use crate::common::{context, encoder};

/// What the shader makes of the bits of a buffer.
fn converted(
    storage: Storage,
    (vector, long_words): (u32, bool),
    store: bool,
    bits: &[u8],
    lanes: usize,
) -> Vec<u8> {
    let (context, device) = (context(), context().device());
    let text = conversion_shader(storage, vector, long_words, store);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let (from, to) = (
        bits.len() / 4,
        if store {
            bits.len() / 8
        } else {
            bits.len() / 2
        },
    );
    let from = Tensor::from_slice(
        context,
        &bytemuck::pod_collect_to_vec::<u8, u32>(bits),
        &[from],
    );
    // Bits that no conversion gives.
    let to = Tensor::full(context, &[to], 0xfeed_beefu32);
    let (from, to) = (from.unwrap(), to.unwrap());
    let [data, values] = if store { [&to, &from] } else { [&from, &to] };
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[data, values]
            .map(|tensor| tensor.buffer().as_entire_binding())
            .into_iter()
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect::<Vec<_>>(),
    });
    let mut encoder = encoder(context);
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups((lanes as u32).div_ceil(64 * vector), 1, 1);
    }
    context.queue().submit([encoder.finish()]);
    bytemuck::cast_slice(&to.to_vec_of::<u32>().unwrap()).to_vec()
}

fn wide(dtype: DType, bits: u16) -> f32 {
    match dtype {
        DType::F16 => f16::from_bits(bits).to_f32(),
        _ => bf16::from_bits(bits).to_f32(),
    }
}

fn narrow(dtype: DType, value: f32) -> u16 {
    match dtype {
        DType::F16 => f16::from_f32(value).to_bits(),
        _ => bf16::from_f32(value).to_bits(),
    }
}

fn is_nan(dtype: DType, bits: u16) -> bool {
    wide(dtype, bits).is_nan()
}

/// Elements per load, in words of 64 bits or not.
fn vectors() -> Vec<(u32, bool)> {
    let mut vectors = vec![(1, false), (4, false)];
    if context().caps().shader_int64 {
        vectors.push((4, true));
    }
    vectors
}

#[test]
fn every_pattern_is_loaded_exactly() {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    for (dtype, device) in storages() {
        let storage = Storage::of(dtype, device.caps());
        for vector in vectors() {
            let bytes = bytemuck::cast_slice(&patterns);
            let got = converted(storage, vector, false, bytes, patterns.len());
            let got: Vec<u32> = bytemuck::pod_collect_to_vec(&got);
            assert_eq!(got.len(), patterns.len());
            for (&bits, got) in patterns.iter().zip(got) {
                let (want, got) = (wide(dtype, bits), f32::from_bits(got));
                let same = want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan();
                assert!(
                    same,
                    "{storage:?} {vector:?}: {bits:#06x} is {want:e}, got {got:e}"
                );
            }
        }
    }
}

/// Each value, its neighbours in f32, and the same around the middle between it and the next one; all exponents and NaNs of f32.
fn values(dtype: DType) -> Vec<f32> {
    let mut values = Vec::new();
    for bits in 0..=u16::MAX {
        let value = wide(dtype, bits);
        let next = wide(dtype, bits.wrapping_add(1));
        // Past the largest number the middle is where infinity begins.
        let next = match (dtype, next.is_infinite()) {
            (DType::F16, true) => 65_536f32.copysign(value),
            _ => next,
        };
        let middle = (f64::from(value) + f64::from(next)) / 2.0;
        for value in [value, middle as f32] {
            let bits = value.to_bits();
            values.extend([bits.wrapping_sub(1), bits, bits.wrapping_add(1)].map(f32::from_bits));
        }
    }
    // The middle between the largest bf16 and 2^128 is no f32 of the list above.
    values.extend([0x7f7f_7fff, 0x7f7f_8000, 0x7f7f_8001, 0xff7f_8000].map(f32::from_bits));
    let fractions = [0, 1, 0x0f_ffff, 0x40_0000, 0x7f_ffff];
    for high in 0..=0x1ff {
        values.extend(fractions.map(|fraction| f32::from_bits(high << 23 | fraction)));
    }
    let length = values.len().next_multiple_of(4);
    values.resize(length, 0.0);
    values
}

#[test]
fn every_value_is_rounded_to_nearest_even() {
    for (dtype, device) in storages() {
        let (storage, values) = (Storage::of(dtype, device.caps()), values(dtype));
        for vector in vectors() {
            let bytes = bytemuck::cast_slice(&values);
            let got = converted(storage, vector, true, bytes, values.len());
            let got: Vec<u16> = bytemuck::pod_collect_to_vec(&got);
            assert_eq!(got.len(), values.len());
            for (&value, got) in values.iter().zip(got) {
                let want = narrow(dtype, value);
                let flushed = value.is_subnormal() && wide(dtype, got) == 0.0;
                let same = want == got || value.is_nan() && is_nan(dtype, got) || flushed;
                assert!(
                    same,
                    "{storage:?} {vector:?}: {value:e} ({:#010x}) is {want:#06x}, got {got:#06x}",
                    value.to_bits()
                );
            }
        }
        println!("{storage:?}: {} values", values.len());
    }
}

/// What is asked of devices is what runs: a cut-down context packs, the device's own does not need to.
#[test]
fn the_storage_follows_the_capabilities() {
    let caps = |shader_f16| Caps {
        shader_f16,
        ..Caps::WEBGPU
    };
    assert_eq!(Storage::of(DType::F16, &caps(true)), Storage::F16);
    assert_eq!(Storage::of(DType::F16, &caps(false)), Storage::PackedF16);
    assert_eq!(Storage::of(DType::BF16, &caps(true)), Storage::PackedBf16);
    assert_eq!(Storage::of(DType::F32, &caps(true)), Storage::F32);
}

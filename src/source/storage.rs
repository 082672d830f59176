//! How the elements of data lie in memory, and the text that loads and stores them.

use super::text;
use crate::caps::Caps;
use crate::dtype::DType;

const FILE: &str = include_str!("../../shaders/lib/storage.wgsl");

/// The type of a vector of four numbers of 32 bits in words of 64 bits, the text that loads vector `i` of `NAME`, and the one that stores `value` there.
pub(super) const LONG_VECTOR: [&str; 3] = [
    "vec2<u64>",
    "vector_of(NAME[i])",
    "NAME[i] = words_of(value);",
];

/// What the elements of data are to a shader. Whatever it is, an element is loaded to f32 exactly, and rounded to nearest even, to infinity
/// if it is too large, where it is stored; infinity and NaN stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Storage {
    /// f32.
    F32,
    /// f16, which the shader's language has.
    F16,
    /// f16, two in a `u32`.
    PackedF16,
    /// bf16, two in a `u32`.
    PackedBf16,
}

impl Storage {
    /// That of data of a type on a device.
    #[must_use]
    pub const fn of(dtype: DType, caps: &Caps) -> Self {
        match dtype {
            DType::F16 if caps.shader_f16 => Self::F16,
            DType::F16 => Self::PackedF16,
            DType::BF16 => Self::PackedBf16,
            DType::F32 | DType::U32 => Self::F32,
        }
    }

    /// What the text must begin with.
    pub(super) const fn directives(self, vector: u32) -> &'static str {
        match (self, vector) {
            (Self::F16, 1) => "enable f16;\n",
            _ => "",
        }
    }

    /// The conversions that [`Storage::binding`] calls, once per shader. `vector`: elements per load, 1 or 4. `long_words`: these lie in words
    /// of 64 bits.
    pub(super) fn conversions(self, vector: u32, long_words: bool) -> String {
        let long: &[&str] = if long_words { &["long words"] } else { &[] };
        let sections: &[&str] = match (self, vector) {
            (Self::F32, _) => &[],
            (Self::F16, 1) => &["f16 bits", "native element"],
            (Self::F16, _) => &["f16 bits", "stored vector", "native vector"],
            (Self::PackedF16, 1) => &["f16 bits", "f16 value", "packed element"],
            (Self::PackedF16, _) => &["f16 bits", "f16 value", "stored vector", "packed vector"],
            (Self::PackedBf16, 1) => &["bf16", "packed element"],
            (Self::PackedBf16, _) => &["bf16", "stored vector", "packed vector"],
        };
        let bits = if vector == 1 { "u32" } else { "vec4u" };
        let mut conversions = match self {
            Self::F32 => String::new(),
            _ => format!("alias DataBits = {bits};\n"),
        };
        for name in long.iter().chain(sections) {
            conversions += text::section(FILE, name);
        }
        conversions
    }

    /// The type of the elements of a binding, the text that loads element or vector `i`, and the one that stores `value` there.
    ///
    /// Two neighbours in a word may be written by different lanes, so each changes its own half, and nothing of the other: atomically.
    /// That leaves what stands behind the last element as it is, too.
    pub(super) fn binding(
        self,
        name: &str,
        vector: u32,
        long_words: bool,
        writable: bool,
    ) -> [String; 3] {
        let [stored, load, store] = match (self, vector, writable) {
            (Self::F32, ..) if long_words => LONG_VECTOR,
            (Self::F32, ..) => ["Value", "NAME[i]", "NAME[i] = value;"],
            (Self::F16, 1, _) => ["f16", "f32(NAME[i])", "NAME[i] = narrowed(value);"],
            (_, 1, false) => ["u32", "widened(NAME[i / 2u], i)", ""],
            (_, 1, true) => [
                "atomic<u32>",
                "widened(atomicLoad(&NAME[i / 2u]), i)",
                "atomicXor(&NAME[i / 2u], change(atomicLoad(&NAME[i / 2u]), i, value));",
            ],
            _ if long_words => [
                "u64",
                "widened(split(NAME[i]))",
                "NAME[i] = joined(narrowed(value));",
            ],
            _ => ["vec2u", "widened(NAME[i])", "NAME[i] = narrowed(value);"],
        };
        [stored, load, store].map(|text| text.replace("NAME", name))
    }
}

/// A shader that widens a tensor of 16-bit numbers to f32 (`store` false, binding 0 to binding 1) or narrows one to them (binding 1 to
/// binding 0), `vector` of 1 or 4 elements per lane, these in words of 64 bits or not: to test the conversions themselves on a device. Its entry
/// point is `main`, with 64 invocations per workgroup.
#[must_use]
pub fn conversion_shader(storage: Storage, vector: u32, long_words: bool, store: bool) -> String {
    let value = if vector == 1 { "f32" } else { "vec4f" };
    let [stored, load, write] = storage.binding("data", vector, long_words, store);
    let (of_data, of_values, body) = match store {
        false => (
            "read",
            "read_write",
            format!("values[i] = bitcast<DataBits>({load});"),
        ),
        true => (
            "read_write",
            "read",
            format!("let value = bitcast<Value>(values[i]);\n    {write}"),
        ),
    };
    format!(
        "{}alias Value = {value};\n{}\
         @group(0) @binding(0) var<storage, {of_data}> data: array<{stored}>;\n\
         @group(0) @binding(1) var<storage, {of_values}> values: array<DataBits>;\n\n\
         @compute @workgroup_size(64)\n\
         fn main(@builtin(global_invocation_id) id: vec3u) {{\n    let i = id.x;\n    {body}\n}}\n",
        storage.directives(vector),
        storage.conversions(vector, long_words),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_there() {
        for storage in [Storage::F16, Storage::PackedF16, Storage::PackedBf16] {
            for vector in [1, 4] {
                let conversions = storage.conversions(vector, false);
                let functions = conversions.matches("fn ").count();
                assert!(functions >= 2, "{storage:?} {vector}: {conversions}");
            }
        }
    }
}

//! Compiled pipelines in a file: what the driver gives and takes, in a frame that shows damage.
//!
//! wgpu's own header says for which adapter and driver the data are, but not whether they are whole, and drivers trust them.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::pipeline;

/// The beginning of the data, with the version of the frame.
const MAGIC: [u8; 16] = *b"wgpu-norm cache1";

impl Context {
    /// What the driver needs to make the pipelines compiled so far again without compiling: to be stored, and given to
    /// [`Context::load_pipeline_cache`] in a later run. `None` where wgpu has no such thing: it does on Vulkan, for devices with the feature
    /// `PIPELINE_CACHE`, which those of [`Context::new`] have if the adapter has it.
    ///
    /// Many drivers keep compiled shaders on disk by themselves. Where they do, this saves little.
    #[must_use]
    pub fn pipeline_cache_data(&self) -> Option<Vec<u8>> {
        let data = self.pipeline_cache()?.get_data()?;
        Some(framed(&data))
    }

    /// Takes what [`Context::pipeline_cache_data`] gave in an earlier run, for all pipelines that are compiled from now on: call it
    /// before the first use of a plan. Results do not depend on it.
    ///
    /// Data of another adapter, driver or version, and data that are damaged or no cache at all, are refused, and everything works as
    /// without them: the error may be ignored. They are recognized by a checksum, which a forger can compute. What passes it is
    /// given to the driver, so keep the file where others cannot write.
    ///
    /// # Errors
    /// [`Error::PipelineCache`] with the reason why the data are not used; [`Error::DeviceLost`].
    pub fn load_pipeline_cache(&self, data: &[u8]) -> Result<()> {
        self.check_lost()?;
        if self.pipeline_cache().is_none() {
            let reason = "this device has no pipeline cache (PIPELINE_CACHE, Vulkan only)";
            return Err(Error::PipelineCache(reason.to_owned()));
        }
        let inner = unframed(data).map_err(|reason| Error::PipelineCache(reason.to_owned()))?;
        match pipeline::new_cache(self.device(), Some(inner)) {
            Ok(cache) => {
                self.set_pipeline_cache(cache);
                Ok(())
            }
            Err(Error::Rejected { reason, .. }) => {
                // wgpu says where, then what, then why.
                let why = reason.lines().map(str::trim).rfind(|line| !line.is_empty());
                Err(Error::PipelineCache(why.unwrap_or_default().to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Magic, length and checksum before `data`.
fn framed(data: &[u8]) -> Vec<u8> {
    let numbers = [data.len() as u64, checksum(data)].map(u64::to_le_bytes);
    [&MAGIC, numbers.as_flattened(), data].concat()
}

fn unframed(bytes: &[u8]) -> std::result::Result<&[u8], &'static str> {
    let rest = bytes.strip_prefix(&MAGIC);
    let rest = rest.ok_or("it is no pipeline cache of this version")?;
    let (length, rest) = rest.split_first_chunk().ok_or("it is cut off")?;
    let (sum, data) = rest.split_first_chunk().ok_or("it is cut off")?;
    if u64::from_le_bytes(*length) != data.len() as u64 {
        return Err("it is cut off, or there is something behind it");
    }
    if u64::from_le_bytes(*sum) != checksum(data) {
        return Err("it is damaged: the checksum is wrong");
    }
    Ok(data)
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: any single damaged byte changes it.
fn checksum(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_shows_any_damage() {
        let whole = framed(b"some data");
        assert_eq!(unframed(&whole), Ok(&b"some data"[..]));
        for at in 0..whole.len() {
            assert!(unframed(&whole[..at]).is_err(), "cut off at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(unframed(&flipped).is_err(), "bit flipped in byte {at}");
        }
        assert!(unframed(&[&whole[..], &[0]].concat()).is_err());
        assert!(unframed(&[]).is_err());
    }
}

//! One NaN or infinity, in the input or in the gradient of the output: nothing changes but what depends on it.

use wgpu_norm::check::{Case, Results, results};
use wgpu_norm::{BatchNorm, Error, GroupNorm, InstanceNorm, LayerNorm, Mode, Norm, RmsNorm};

use crate::common::{by_turns, channel_of, group_of, own_devices};

fn norms() -> [(Norm, &'static [usize]); 13] {
    let instance = InstanceNorm::new(4).affine(true);
    [
        (BatchNorm::new(4).into(), &[3, 4, 10]),
        (BatchNorm::new(4).into(), &[9, 4]),
        (instance.into(), &[3, 4, 10]),
        (instance.track_running_stats(true).into(), &[3, 4, 10]),
        (GroupNorm::new(2, 4).into(), &[3, 4, 10]),
        (LayerNorm::new(&[40]).into(), &[5, 40]),
        (RmsNorm::new(&[40]).into(), &[5, 40]),
        (RmsNorm::new(&[33]).weight(false).into(), &[5, 33]),
        (instance.channels_last(true).into(), &[3, 10, 4]),
        (GroupNorm::new(2, 8).channels_last(true).into(), &[3, 10, 8]),
        (LayerNorm::new(&[6]).channels_first(true).into(), &[3, 6, 8]),
        (
            BatchNorm::new(4).virtual_batch_size(Some(5)).into(),
            &[10, 4],
        ),
        (
            BatchNorm::new(4).virtual_batch_size(Some(2)).into(),
            &[4, 4, 5],
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Input,
    GradOutput,
}

#[test]
fn poison_reaches_only_what_depends_on_it() {
    let devices = own_devices();
    for (turn, (norm, shape)) in norms().into_iter().enumerate() {
        for (device, context, strategies) in by_turns(&devices, turn) {
            let modes = [Mode::TRAINING, Mode::EVAL].into_iter();
            for (mode, &strategy) in
                modes.flat_map(|mode| strategies.iter().map(move |s| (mode, s)))
            {
                let mut case = Case::random(&norm, mode, shape, 4).unwrap();
                case.strategy = strategy;
                let clean = match results(context, &case) {
                    Err(Error::Strategy { .. }) => continue,
                    clean => clean.unwrap(),
                };
                for place in [Place::Input, Place::GradOutput] {
                    for poison in [f32::NAN, f32::INFINITY] {
                        let poisoned = Poisoned::new(&case, place, poison);
                        let got = results(context, &poisoned.case).unwrap();
                        poisoned.compare(device, &got, &clean);
                    }
                }
            }
        }
    }
}

struct Poisoned {
    case: Case,
    place: Place,
    /// The element that is poisoned.
    at: usize,
}

impl Poisoned {
    fn new(case: &Case, place: Place, poison: f32) -> Self {
        let mut case = case.clone();
        // Neither in the first group or channel nor in the last.
        let at = case.input.len() / 2 + 7;
        match place {
            Place::Input => case.input[at] = poison,
            Place::GradOutput => case.grad_output[at] = poison,
        }
        Self { case, place, at }
    }

    fn compare(&self, device: &str, got: &Results, clean: &Results) {
        let about = format!("{device} {:?} {:?}", self.case.norm, self.case.mode);
        let mut touched = 0;
        for (&tensor, clean) in clean {
            for (k, (got, clean)) in got[tensor].iter().zip(clean).enumerate() {
                if self.depends(tensor, k) {
                    touched += usize::from(!got.is_finite());
                } else {
                    let same = got.to_bits() == clean.to_bits();
                    let place = self.place;
                    assert!(same, "{about} {place:?} {}: {tensor} {k}", self.at);
                }
            }
        }
        assert!(touched > 0, "{about} {:?}: no result saw it", self.place);
    }

    /// Whether element `k` of `tensor` may change, by the formulas.
    fn depends(&self, tensor: &str, k: usize) -> bool {
        let batch_statistics = self.case.norm.uses_batch_statistics(self.case.mode);
        let input = self.place == Place::Input;
        let same_group = self.group(k) == self.group(self.at);
        let same_channel = k == self.channel(self.at);
        match tensor {
            "output" | "grad_input" if !batch_statistics => {
                k == self.at && input == (tensor == "output")
            }
            "output" => input && same_group,
            "grad_input" => same_group,
            "mean" | "mean_low" | "rstd" | "var" => {
                input && batch_statistics && k == self.group(self.at)
            }
            "running_mean" | "running_var" => input && batch_statistics && same_channel,
            // A sum of grad_output alone.
            "grad_bias" => !input && same_channel,
            // The normalized input of the whole group is poisoned if statistics are the batch's.
            "grad_weight" if input && batch_statistics => self.channel_in_group(k),
            "grad_weight" => same_channel,
            _ => false,
        }
    }

    fn group(&self, element: usize) -> usize {
        group_of(&self.case.norm, &self.case.shape, element)
    }

    fn channel(&self, element: usize) -> usize {
        channel_of(&self.case.norm, &self.case.shape, element)
    }

    /// Whether the poisoned group has elements of `channel`.
    fn channel_in_group(&self, channel: usize) -> bool {
        match &self.case.norm {
            Norm::Batch(_) | Norm::Instance(_) => channel == self.channel(self.at),
            Norm::Group(n) => {
                let channels = n.num_channels / n.num_groups;
                channel / channels == self.channel(self.at) / channels
            }
            _ => true,
        }
    }
}

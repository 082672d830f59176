//! Dense layers and convolutions in f64, by their definitions.

/// Half a unit in the last place of f32, relative.
pub(crate) const ROUNDING: f64 = 1.0 / 16_777_216.0;

/// Side of the square images.
pub(crate) const SIDE: usize = 4;

/// A convolution (stride 1, zero padding of 1 at the upper left, of as much as keeps the size at the lower right) or a
/// transposed one, of images of [`SIDE`]; with a kernel of one tap and images of one pixel a dense layer.
pub(crate) struct Naive {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) side: usize,
    pub(crate) transposed: bool,
    /// Where the weight from an input to an output channel at a row and column of the kernel lies; `None`: not connected.
    pub(crate) weight_at: Box<dyn Fn(usize, usize, usize, usize) -> Option<usize>>,
}

impl Naive {
    /// The output `[N, outputs, side, side]`, and the sums of the sizes of its terms, which rounding errors are relative to.
    pub(crate) fn run(&self, input: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let (mut outputs, mut sizes) = (Vec::new(), Vec::new());
        let pixels = self.side * self.side;
        for sample in input.chunks(self.inputs * pixels) {
            for output in 0..self.outputs {
                for (y, x) in (0..pixels).map(|pixel| (pixel / self.side, pixel % self.side)) {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for (i, at, value) in self.taps(output, y, x) {
                        let pixel = f64::from(sample[i * pixels + at]);
                        let term = pixel * f64::from(weight[value]);
                        sum += term;
                        size += term.abs();
                    }
                    let bias = bias.get(output).copied().map_or(0.0, f64::from);
                    outputs.push(sum + bias);
                    sizes.push(size + bias.abs());
                }
            }
        }
        (outputs, sizes)
    }

    /// Input channel, pixel and place of the weight of every term of an output.
    fn taps(&self, output: usize, y: usize, x: usize) -> Vec<(usize, usize, usize)> {
        let mut taps = Vec::new();
        let pad = usize::from(self.kernel > 1);
        for i in 0..self.inputs {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    // A transposed convolution spreads what a convolution gathers.
                    let source = |at: usize, k: usize| match self.transposed {
                        false => (at + k).checked_sub(pad),
                        true => (at + pad).checked_sub(k),
                    };
                    let (Some(sy), Some(sx)) = (source(y, ky), source(x, kx)) else {
                        continue;
                    };
                    let inside = sy < self.side && sx < self.side;
                    let weight = (self.weight_at)(output, i, ky, kx);
                    if let (true, Some(weight)) = (inside, weight) {
                        taps.push((i, sy * self.side + sx, weight));
                    }
                }
            }
        }
        taps
    }
}

//! Batch norm folded into dense and convolution layers, against the layer followed by the f64 reference.

mod errors;
mod hostile;
mod layers;
mod naive;

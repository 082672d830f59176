//! Candidates in turn, on random data.

use std::time::Duration;

use super::timer::Timer;
use super::{Candidate, Tuned, Tuning, is_refusal};
use crate::check::{Case, Tensors};
use crate::context::Context;
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::{Mode, Norm};
use crate::plan::Plan;
use crate::recipe::Recipe;

/// Each candidate once per round.
const ROUNDS: usize = 9;

/// A candidate replaces the ladder's if its median is at most this share of it. On lavapipe on a busy machine, three copies of the
/// ladder's candidate won 13 of 100 passes so, and none of 200 after they had to win twice.
const CLEARLY: f64 = 0.95;

/// ... and if it is faster in so many rounds.
const MOST_ROUNDS: usize = ROUNDS * 3 / 4 + 1;

/// Short passes are repeated until a submission takes about so long, at most so many times.
const SUBMISSION: Duration = Duration::from_millis(2);
const MOST_RUNS: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    Backward,
}

pub(super) fn tuned(
    context: &Context,
    norm: &Norm,
    shape: &[usize],
    dtype: DType,
    mode: Mode,
) -> Result<Tuned> {
    let case = Case::random(norm, mode, shape, 0)?.with_dtype(dtype);
    let ladder = Plan::with_tuning(context, norm.clone(), shape, dtype, mode, Tuning::default())?;
    let tensors = Tensors::new(context, &case, &ladder)?;
    let timer = Timer::new(context)?;
    let measured = |pass| {
        let mut candidates = candidates(&case, &ladder, pass)?;
        // A backward pass needs statistics.
        timer.time(|encoder| tensors.record_forward(encoder, &ladder))?;
        let times = rounds(&timer, &tensors, &candidates, pass)?;
        let mut best = fastest(&times);
        if best != Candidate::default() {
            // The winner of several has luck too, so it has to win once more, against the ladder's alone.
            candidates.retain(|(candidate, _)| [best, Candidate::default()].contains(candidate));
            best = fastest(&rounds(&timer, &tensors, &candidates, pass)?);
        }
        Ok::<_, crate::Error>((best, medians(times)))
    };
    let ((forward, forward_times), (backward, backward_times)) =
        (measured(Pass::Forward)?, measured(Pass::Backward)?);
    Ok(Tuned {
        tuning: Tuning { forward, backward },
        forward: forward_times,
        backward: backward_times,
        timestamps: timer.has_timestamps(),
    })
}

/// Those that can carry the shape and launch what none before does.
fn candidates(case: &Case, ladder: &Plan, pass: Pass) -> Result<Vec<(Candidate, Plan)>> {
    let mut candidates: Vec<(Candidate, Plan)> = Vec::new();
    let mut seen: Vec<Vec<crate::recipe::Step>> = Vec::new();
    for candidate in Candidate::all() {
        let tuning = match pass {
            Pass::Forward => Tuning {
                forward: candidate,
                ..Tuning::default()
            },
            Pass::Backward => Tuning {
                backward: candidate,
                ..Tuning::default()
            },
        };
        let (norm, shape) = (case.norm.clone(), case.shape.as_slice());
        let (dtype, mode) = (case.dtype, case.mode);
        let plan = Plan::with_tuning(ladder.context(), norm, shape, dtype, mode, tuning);
        if is_refusal(&plan) {
            continue;
        }
        let plan = plan?;
        if let Some(Recipe { steps, .. }) = recipe(&plan, pass)?
            && !seen.contains(&steps)
        {
            seen.push(steps);
            candidates.push((candidate, plan));
        }
    }
    Ok(candidates)
}

fn recipe(plan: &Plan, pass: Pass) -> Result<Option<Recipe>> {
    match pass {
        Pass::Forward => plan.forward_recipe(),
        Pass::Backward => plan.backward_recipe(plan.all_gradients()),
    }
}

/// The times of each candidate, round by round.
type Times = Vec<(Candidate, Vec<Duration>)>;

fn rounds(
    timer: &Timer<'_>,
    tensors: &Tensors,
    candidates: &[(Candidate, Plan)],
    pass: Pass,
) -> Result<Times> {
    let time = |plan: &Plan, runs: u32| {
        let time = timer.time(|encoder| {
            (0..runs).try_for_each(|_| match pass {
                Pass::Forward => tensors.record_forward(encoder, plan),
                Pass::Backward => tensors.record_backward(encoder, plan),
            })
        });
        Ok::<Duration, crate::Error>(time? / runs)
    };
    let mut runs = Vec::new();
    for (_, plan) in candidates {
        time(plan, 1)?;
        let once = time(plan, 1)?.max(Duration::from_nanos(1));
        let needed = SUBMISSION.as_nanos().div_ceil(once.as_nanos());
        runs.push(needed.min(MOST_RUNS.into()) as u32);
    }
    let mut times: Times = candidates
        .iter()
        .map(|(candidate, _)| (*candidate, Vec::new()))
        .collect();
    for round in 0..ROUNDS {
        for turn in 0..candidates.len() {
            // Another one begins each round: what else runs on the machine may come and go in step with the turns.
            let index = (round + turn) % candidates.len();
            times[index]
                .1
                .push(time(&candidates[index].1, runs[index])?);
        }
    }
    Ok(times)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn medians(times: Times) -> Vec<(Candidate, Duration)> {
    let of = |(candidate, times): (Candidate, Vec<Duration>)| (candidate, median(&times));
    times.into_iter().map(of).collect()
}

/// The candidate with the least median of those that are clearly faster than the ladder's, the first one; that one if there are none.
fn fastest(times: &[(Candidate, Vec<Duration>)]) -> Candidate {
    let Some(((ladder, own), others)) = times.split_first() else {
        return Candidate::default();
    };
    let clearly = |(_, times): &&(Candidate, Vec<Duration>)| {
        let faster = times.iter().zip(own).filter(|(time, own)| time < own);
        let share = median(times).as_secs_f64() / median(own).as_secs_f64();
        share <= CLEARLY && faster.count() >= MOST_ROUNDS
    };
    let best = others.iter().filter(clearly);
    let best = best.min_by_key(|(_, times)| median(times));
    best.map_or(*ladder, |(candidate, _)| *candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Strategy;

    fn chosen(ladder: [u64; ROUNDS], looped: [u64; ROUNDS]) -> Option<Strategy> {
        let times = |times: [u64; ROUNDS]| times.map(Duration::from_micros).to_vec();
        let looped = (Candidate::with_strategy(Strategy::Looped), times(looped));
        fastest(&[(Candidate::default(), times(ladder)), looped]).strategy
    }

    #[test]
    fn only_a_clear_winner_replaces_the_ladder() {
        assert_eq!(chosen([100; 9], [90; 9]), Some(Strategy::Looped));
        assert_eq!(chosen([100; 9], [97; 9]), None, "3 % is noise");
        assert_eq!(chosen([100; 9], [200; 9]), None);
        let often_slower = [90, 90, 90, 90, 90, 120, 120, 120, 120];
        assert_eq!(chosen([100; 9], often_slower), None, "faster in 5 of 9");
        let one_outlier = [90, 90, 90, 90, 90, 90, 90, 90, 9000];
        assert_eq!(chosen([100; 9], one_outlier), Some(Strategy::Looped));
        assert_eq!(chosen([0; 9], [0; 9]), None, "a clock that stands still");
        assert_eq!(fastest(&[]), Candidate::default());
    }
}

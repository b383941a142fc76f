//! Rejection sampling (section 4.4 and table 4 of the paper, after Razavi et al., "Generating Diverse High-Fidelity
//! Images with VQ-VAE-2", 2019): of many pictures drawn of a class only those stay to which a classifier gives that
//! class with the highest probability. Fewer faults for less variety; the acceptance rate decides how much of either.
//!
//! Knows neither prior nor classifier. Of what is drawn only the best so far is kept, so that memory does not grow with
//! the number of candidates.

use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More candidates than can ever be drawn.
const MOST: f64 = 1e12;

/// What is wanted of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wanted {
    pub class: usize,
    /// How many pictures stay.
    pub keep: usize,
    /// Of how many that are drawn.
    pub draw: usize,
}

/// A picture to be drawn: of a class its number, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub class: usize,
    pub number: usize,
}

/// A picture that stays.
#[derive(Debug)]
pub struct Kept<T> {
    pub candidate: Candidate,
    /// The probability of its class, as the classifier has it.
    pub probability: f64,
    /// 0 is the best of the class.
    pub rank: usize,
    pub item: Arc<T>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectionProgress {
    pub drawn: usize,
    /// How many will be drawn.
    pub total: usize,
    /// How many of those drawn are still there.
    pub kept: usize,
}

/// For `keep` pictures of each class how many must be drawn if the share `accept` of them is to stay, rounded up.
/// Classes of which nothing is wanted are left out.
///
/// # Errors
/// [`Error::Input`] for a share that is not above 0 and at most 1, and for more pictures than can be drawn.
pub fn plan(keep: &BTreeMap<usize, usize>, accept: f64) -> Result<Vec<Wanted>> {
    if !(accept > 0.0 && accept <= 1.0) {
        return Err(Error::input(format!(
            "--accept is {accept}; it must be above 0 and at most 1 (1 keeps all that is drawn)"
        )));
    }
    let wanted = |(&class, &keep): (&usize, &usize)| {
        // A quotient that should be whole may be above by a rounding error.
        let draw = (keep as f64 / accept * (1.0 - 1e-12)).ceil();
        if draw > MOST {
            return Err(Error::input(format!(
                "--accept is {accept}: to keep {keep} pictures of class {class}, {draw:e} would have to be drawn"
            )));
        }
        Ok(Wanted {
            class,
            keep,
            draw: (draw as usize).max(keep),
        })
    };
    let classes = keep.iter().filter(|(_, keep)| **keep > 0);
    classes.map(wanted).collect()
}

/// Draws and rejects after several plans at the same time: candidates are drawn once and are the same for all, each plan
/// looks at as many of them as it asks for. So a plan's result does not depend on the others, nor on `at_once`, how many
/// candidates are drawn together.
///
/// `draw` makes candidates, `rate` gives the probability of each one's class, `progress` hears of each round. Of equally
/// probable pictures the first stay. Returns for each plan what stays, class by class, the best first.
///
/// # Errors
/// What `draw` and `rate` say, answers of another length, and probabilities that are none.
pub fn reject<T>(
    plans: &[Vec<Wanted>],
    at_once: usize,
    mut draw: impl FnMut(&[Candidate]) -> Result<Vec<T>>,
    mut rate: impl FnMut(&[Candidate], &[T]) -> Result<Vec<f64>>,
    mut progress: impl FnMut(RejectionProgress),
) -> Result<Vec<Vec<Kept<T>>>> {
    let mut contests: Vec<Contest<T>> = plans.iter().map(|plan| Contest::new(plan)).collect();
    let mut draws: BTreeMap<usize, usize> = BTreeMap::new();
    for wanted in plans.iter().flatten() {
        let most = draws.entry(wanted.class).or_default();
        *most = wanted.draw.max(*most);
    }
    let total: usize = draws.values().sum();
    let mut drawn = 0;
    let mut candidates = draws
        .iter()
        .flat_map(|(&class, &count)| (0..count).map(move |number| Candidate { class, number }))
        .peekable();
    while candidates.peek().is_some() {
        let round: Vec<Candidate> = candidates.by_ref().take(at_once.max(1)).collect();
        let items = draw(&round)?;
        let probabilities = rate(&round, &items)?;
        check(&round, items.len(), &probabilities)?;
        drawn += round.len();
        for ((candidate, item), probability) in round.iter().zip(items).zip(probabilities) {
            let item = Arc::new(item);
            for contest in &mut contests {
                contest.offer(*candidate, probability, &item);
            }
        }
        progress(RejectionProgress {
            drawn,
            total,
            kept: contests.iter().map(Contest::kept).sum(),
        });
    }
    Ok(contests.into_iter().map(Contest::finish).collect())
}

/// Whether there is an answer for every candidate, and all are probabilities.
fn check(round: &[Candidate], items: usize, probabilities: &[f64]) -> Result<()> {
    if items != round.len() || probabilities.len() != round.len() {
        return Err(Error::input(format!(
            "{} candidates gave {items} pictures and {} probabilities",
            round.len(),
            probabilities.len()
        )));
    }
    let mut pairs = round.iter().zip(probabilities);
    match pairs.find(|(_, probability)| !(0.0..=1.0).contains(*probability)) {
        None => Ok(()),
        Some((candidate, probability)) => Err(Error::input(format!(
            "the classifier gives candidate {} of class {} the probability {probability}: look at its weights",
            candidate.number, candidate.class
        ))),
    }
}

/// What a plan wants, and what there is of it.
struct Contest<T> {
    classes: Vec<(Wanted, Vec<Kept<T>>)>,
}

impl<T> Contest<T> {
    fn new(plan: &[Wanted]) -> Self {
        Self {
            classes: plan.iter().map(|wanted| (*wanted, Vec::new())).collect(),
        }
    }

    /// Keeps a candidate if it is among the best of its class so far. They come in the order of their numbers.
    fn offer(&mut self, candidate: Candidate, probability: f64, item: &Arc<T>) {
        let mut classes = self.classes.iter_mut();
        let own = classes.find(|(wanted, _)| wanted.class == candidate.class);
        let Some((wanted, best)) = own else { return };
        if candidate.number >= wanted.draw {
            return;
        }
        let place = best.partition_point(|kept| kept.probability >= probability);
        if place >= wanted.keep {
            return;
        }
        let kept = Kept {
            candidate,
            probability,
            rank: place,
            item: Arc::clone(item),
        };
        best.insert(place, kept);
        best.truncate(wanted.keep);
    }

    fn kept(&self) -> usize {
        self.classes.iter().map(|(_, best)| best.len()).sum()
    }

    fn finish(self) -> Vec<Kept<T>> {
        let ranked = |(_, best): (Wanted, Vec<Kept<T>>)| {
            let best = best.into_iter().enumerate();
            best.map(|(rank, kept)| Kept { rank, ..kept })
        };
        self.classes.into_iter().flat_map(ranked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Probabilities with many ties, different for each class.
    fn probability(candidate: &Candidate) -> f64 {
        ((candidate.number * 37 + candidate.class * 11) % 10) as f64 / 9.0
    }

    fn wanted(keep: &[(usize, usize)], accept: f64) -> Vec<Wanted> {
        plan(&keep.iter().copied().collect(), accept).unwrap()
    }

    /// Class, number and rank of what stays; a picture is its candidate.
    fn run(plans: &[Vec<Wanted>], at_once: usize) -> Vec<Vec<[usize; 3]>> {
        let kept = reject(
            plans,
            at_once,
            |round| Ok(round.to_vec()),
            |_, items| Ok(items.iter().map(probability).collect()),
            |_| (),
        );
        let places = |kept: Vec<Kept<Candidate>>| -> Vec<[usize; 3]> {
            let places = kept.iter().map(|kept| {
                assert_eq!(*kept.item, kept.candidate);
                assert_eq!(kept.probability, probability(&kept.candidate));
                [kept.candidate.class, kept.candidate.number, kept.rank]
            });
            places.collect()
        };
        kept.unwrap().into_iter().map(places).collect()
    }

    /// All candidates of a class sorted, the best of them.
    fn slowly(wanted: &Wanted) -> Vec<[usize; 3]> {
        let class = wanted.class;
        let mut numbers: Vec<usize> = (0..wanted.draw).collect();
        let key = |number: &usize| {
            probability(&Candidate {
                class,
                number: *number,
            })
        };
        // A stable sort.
        numbers.sort_by(|left, right| key(right).total_cmp(&key(left)));
        let best = numbers.into_iter().take(wanted.keep).enumerate();
        best.map(|(rank, number)| [class, number, rank]).collect()
    }

    #[test]
    fn as_many_are_drawn_as_the_share_asks_for() {
        let draws = |keep: usize, accept: f64| wanted(&[(3, keep)], accept)[0].draw;
        assert_eq!(draws(1, 0.05), 20);
        assert_eq!(draws(3, 0.005), 600);
        assert_eq!(draws(7, 0.1), 70);
        assert_eq!(draws(2, 0.3), 7);
        assert_eq!(draws(5, 1.0), 5);
        let zero = wanted(&[(0, 0), (1, 2)], 0.5);
        assert_eq!(zero, wanted(&[(1, 2)], 0.5));
        let one = BTreeMap::from([(0, 1)]);
        for accept in [0.0, -0.1, 1.1, f64::NAN, 1e-300] {
            let error = plan(&one, accept).unwrap_err().to_string();
            assert!(error.contains("--accept"), "{error}");
        }
    }

    #[test]
    fn the_best_stay_and_of_equals_the_first_whatever_the_batch() {
        let plan = wanted(&[(0, 4), (2, 1), (7, 9)], 0.13);
        let expected: Vec<[usize; 3]> = plan.iter().flat_map(slowly).collect();
        assert_eq!(expected.len(), 14);
        for at_once in [1, 2, 5, 64, 1000] {
            assert_eq!(
                run(std::slice::from_ref(&plan), at_once),
                std::slice::from_ref(&expected)
            );
        }
        assert_eq!(run(&[plan], 0), [expected]);
    }

    #[test]
    fn plans_do_not_disturb_each_other() {
        let plans = [1.0, 0.5, 0.05].map(|accept| wanted(&[(1, 3), (4, 2)], accept));
        let together = run(&plans, 7);
        for (plan, together) in plans.iter().zip(together) {
            assert_eq!(run(std::slice::from_ref(plan), 3), [together]);
        }
        assert!(run(&[], 4).is_empty());
        assert_eq!(run(&[Vec::new()], 4), [Vec::<[usize; 3]>::new()]);
    }

    /// Counts how many of its kind there are.
    struct Counted<'a> {
        alive: &'a Cell<usize>,
    }

    impl<'a> Counted<'a> {
        fn new(alive: &'a Cell<usize>, most: &Cell<usize>) -> Self {
            alive.set(alive.get() + 1);
            most.set(most.get().max(alive.get()));
            Self { alive }
        }
    }

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.alive.set(self.alive.get() - 1);
        }
    }

    #[test]
    fn only_the_best_and_a_round_are_in_memory() {
        let (alive, most) = (Cell::new(0), Cell::new(0));
        let plans = [wanted(&[(0, 3), (1, 2)], 0.01)];
        let mut last = None;
        let kept = reject(
            &plans,
            8,
            |round| Ok(round.iter().map(|_| Counted::new(&alive, &most)).collect()),
            |round, _| Ok(round.iter().map(probability).collect()),
            |progress| last = Some(progress),
        )
        .unwrap();
        assert_eq!((kept[0].len(), alive.get()), (5, 5));
        assert!(most.get() <= 5 + 8, "{}", most.get());
        let finished = RejectionProgress {
            drawn: 500,
            total: 500,
            kept: 5,
        };
        assert_eq!(last, Some(finished));
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        let plans = [wanted(&[(6, 2)], 1.0)];
        let refused = |pictures: usize, probabilities: &[f64], reason: &str| {
            let result = reject(
                &plans,
                2,
                |_| Ok(vec![(); pictures]),
                |_, _| Ok(probabilities.to_vec()),
                |_| (),
            );
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(1, &[0.5, 0.5], "1 pictures");
        refused(2, &[0.5], "1 probabilities");
        refused(
            2,
            &[0.5, f64::NAN],
            "candidate 1 of class 6 the probability NaN",
        );
        refused(2, &[1.5, 0.5], "candidate 0 of class 6");
        let failing = reject(
            &plans,
            2,
            |_| -> Result<Vec<()>> { Err(Error::input("no paper")) },
            |_, _| Ok(Vec::new()),
            |_| (),
        );
        assert!(failing.unwrap_err().to_string().contains("no paper"));
    }
}

//! Drawing with it: the truth is a pass over the whole grid for every code.

use super::*;
use crate::prior::CodeSet;
use crate::prior::trainer::nats_per_code;
use crate::sample::{
    Filter, Request, SampleOptions, Sampler, WeightFormat, class_condition, picture_seed,
    sample_codes,
};

/// Four pictures: nothing known, half of the codes, every third, all but one.
fn requests(config: &PriorConfig) -> Vec<Request> {
    let known = |picture: usize, code: usize| match picture {
        0 => false,
        1 => code < CODES / 2,
        2 => code % 3 == 1,
        _ => code != 7,
    };
    let request = |picture: usize| {
        let condition = class_condition(config, Some(picture % 3)).unwrap();
        let mut request = Request::new(condition, CODES, picture_seed(5, picture));
        for code in (0..CODES).filter(|&code| known(picture, code)) {
            request.known[code] = Some(((code * 5 + picture) % VOCABULARY) as i64);
        }
        request
    };
    (0..4).map(request).collect()
}

/// The most probable codes, each from a pass over the whole grid.
fn drawn_slowly(prior: &Prior, config: &PriorConfig, class: usize, request: &Request) -> Vec<i64> {
    let mut codes = request.known.clone();
    for place in 0..CODES {
        if codes[place].is_none() {
            let mut sequence = vec![class as i64];
            sequence.extend(codes.iter().map(|code| code.unwrap_or(2)));
            let row = &logits(prior, config, &sequence)[place];
            let best = |best: usize, code: usize| if row[code] > row[best] { code } else { best };
            codes[place] = Some((0..VOCABULARY).fold(0, best) as i64);
        }
    }
    codes.into_iter().flatten().collect()
}

#[test]
fn drawing_reads_the_whole_grid_for_every_code() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let requests = requests(&config);
    let draw = |filter: Filter, batch: usize| {
        let options = SampleOptions {
            filter,
            batch,
            ..SampleOptions::default()
        };
        sample_codes(
            prior.clone(),
            &config,
            VOCABULARY,
            &requests,
            options,
            |_| {},
        )
        .unwrap()
    };
    let slow: Vec<Vec<i64>> = requests
        .iter()
        .enumerate()
        .map(|(picture, request)| drawn_slowly(&prior, &config, picture % 3, request))
        .collect();
    for batch in [1, 3, 8] {
        assert_eq!(draw(Filter::GREEDY, batch), slow);
        assert_eq!(draw(Filter::default(), batch), draw(Filter::default(), 2));
    }
}

#[test]
fn a_sampler_measures_what_the_trainer_does() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let sequences = [sequence(&config, 0), sequence(&config, 1)];
    let set = CodeSet {
        codes: sequences.iter().flat_map(|row| row[1..].to_vec()).collect(),
        rows: ROWS,
        columns: COLUMNS,
        classes: sequences.iter().map(|row| row[0]).collect(),
        ..CodeSet::default()
    };
    let expected = nats_per_code(&prior, &config, &set, &[0, 1], &Device::flex()).unwrap();
    let requests: Vec<Request> = sequences
        .iter()
        .map(|row| {
            let condition = class_condition(&config, Some(row[0] as usize)).unwrap();
            Request::new(condition, CODES, 0)
        })
        .collect();
    let codes: Vec<Vec<i64>> = sequences.iter().map(|row| row[1..].to_vec()).collect();
    let sampler = Sampler::new(prior, &config, VOCABULARY, SampleOptions::default()).unwrap();
    let nats = sampler.nats_per_code(&requests, &codes).unwrap();
    for (nats, expected) in nats.iter().zip(&expected) {
        assert!((nats - expected).abs() < 1e-4, "{nats} and {expected}");
    }
}

#[test]
fn larger_pictures_and_compact_weights_are_refused() {
    let config = config(classes(3), 2);
    let prior = prior(&config, &Device::flex());
    let draw = |options: SampleOptions, request: Request| {
        let drawn = sample_codes(
            prior.clone(),
            &config,
            VOCABULARY,
            &[request],
            options,
            |_| {},
        );
        drawn.unwrap_err().to_string()
    };
    let condition = || class_condition(&config, Some(0)).unwrap();
    let wide = SampleOptions {
        grid: Some([ROWS, 2 * COLUMNS]),
        ..SampleOptions::default()
    };
    let error = draw(wide, Request::new(condition(), 2 * CODES, 0));
    assert!(error.contains("its own 4 × 3 only"), "{error}");
    let compact = SampleOptions {
        weights: WeightFormat::Int8,
        ..SampleOptions::default()
    };
    let error = draw(compact, Request::new(condition(), CODES, 0));
    assert!(error.contains("--weights"), "{error}");
}

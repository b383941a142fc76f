//! What a code may see: all codes before it, all of its condition, and nothing else.

use super::*;

#[track_caller]
fn assert_near(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right) {
        assert!((left - right).abs() < 1e-4, "{left} and {right}");
    }
}

#[test]
fn a_code_changes_what_follows_it_and_nothing_else() {
    for condition in conditions() {
        for kernel in [1, 2, 3] {
            let config = config(condition.clone(), kernel);
            let prior = prior(&config, &Device::flex());
            let sequence = sequence(&config, 1);
            let first = config.condition.tokens_before();
            let before = logits(&prior, &config, &sequence);
            for code in 0..CODES {
                let mut other = sequence.clone();
                other[first + code] = (other[first + code] + 4) % VOCABULARY as i64;
                let after = logits(&prior, &config, &other);
                assert_eq!(before[..=code], after[..=code], "code {code}");
                let mut later = before.iter().zip(&after).skip(code + 1);
                assert!(later.all(|(before, after)| before != after), "code {code}");
            }
        }
    }
}

#[test]
fn all_of_the_condition_is_seen() {
    for condition in conditions() {
        let config = config(condition, 2);
        let prior = prior(&config, &Device::flex());
        let sequence = sequence(&config, 0);
        let before = logits(&prior, &config, &sequence);
        for token in 0..config.condition.tokens_before() {
            let mut other = sequence.clone();
            other[token] = (other[token] + 1) % 3;
            let after = logits(&prior, &config, &other);
            match config.condition {
                Condition::None(_) => assert_eq!(before, after),
                _ => assert_ne!(before[CODES - 1], after[CODES - 1], "token {token}"),
            }
        }
    }
}

#[test]
fn no_condition_has_a_vector_of_its_own() {
    let config = PriorConfig {
        vocabulary_size: VOCABULARY + 1,
        nothing_token: Some(VOCABULARY),
        ..config(classes(3), 2)
    };
    config.check().unwrap();
    let prior = prior(&config, &Device::flex());
    let tensors = parameters(&prior, "", str::to_string);
    assert_eq!(tensors["condition.table.weight"].shape, [4, 8]);
    let mut sequence = sequence(&config, 0);
    sequence[0] = VOCABULARY as i64;
    let nothing = logits(&prior, &config, &sequence);
    for class in 0..3 {
        sequence[0] = class;
        assert_ne!(logits(&prior, &config, &sequence), nothing);
    }
}

#[test]
fn a_part_of_the_grid_is_enough() {
    for condition in conditions() {
        let config = config(condition, 2);
        let prior = prior(&config, &Device::flex());
        let Prior::PixelSnail(network) = &prior else {
            panic!("the configuration asks for one");
        };
        let first = config.condition.tokens_before();
        let lengths = [0, 4, 3, CODES - 1];
        let known: Vec<Vec<i64>> = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| sequence(&config, number)[..first + length].to_vec())
            .collect();
        let together = network.next_codes(&known);
        for (number, (length, next)) in lengths.iter().zip(together.chunks(VOCABULARY)).enumerate()
        {
            let whole = logits(&prior, &config, &sequence(&config, number));
            assert_near(next, &whole[*length]);
            assert_near(&network.next_codes(&known[number..=number]), next);
        }
    }
}

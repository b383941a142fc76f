//! What is chosen for pictures and machines of all kinds.

use super::*;
use crate::prior::ConditionKind;

fn facts(pictures: usize, side: u32) -> Facts {
    Facts {
        pictures,
        classes: 0,
        without_class: pictures,
        sides: vec![side; pictures.min(64)],
        grey: false,
        pixel_art: false,
        threads: 2,
    }
}

fn chosen(facts: &Facts, minutes: f64) -> Choices {
    let wishes = Wishes {
        minutes,
        size: None,
        classes: None,
    };
    let chosen = choose(facts, &wishes).unwrap();
    chosen.tokenizer.check().unwrap();
    chosen.prior.check().unwrap();
    chosen.prior.training.transform().check().unwrap();
    chosen
}

/// Size, the shorter side before, pixels per code, channels, codes in the codebook.
#[track_caller]
fn assert_tokenizer(chosen: &Choices, expected: [usize; 5]) {
    let (network, training) = (&chosen.tokenizer.network, &chosen.tokenizer.training);
    let found = [
        training.size,
        training.resize,
        network.factor(),
        network.channels,
        network.codebook_size,
    ];
    assert_eq!(found, expected);
}

#[test]
fn sprites_keep_their_pixels() {
    let sprites = Facts {
        pixel_art: true,
        ..facts(800, 72)
    };
    let of_sprites = chosen(&sprites, 60.0);
    assert_tokenizer(&of_sprites, [72, 0, 4, 64, 1024]);
    assert_eq!(of_sprites.prior.network.layers, 6);
    assert_eq!(of_sprites.prior.training.batch, 16);
    assert!(of_sprites.tokenizer.training.flip);
    // The same as photographs could be made smaller; these become a smaller network's.
    let hurried = chosen(&sprites, 10.0);
    assert_tokenizer(&hurried, [72, 0, 4, 32, 1024]);
    // Larger ones are cut.
    let large = Facts {
        pixel_art: true,
        ..facts(800, 200)
    };
    assert_tokenizer(&chosen(&large, 60.0), [64, 200, 4, 64, 1024]);
}

#[test]
fn small_greys_with_classes() {
    let fashion = Facts {
        classes: 10,
        without_class: 0,
        grey: true,
        ..facts(60_000, 28)
    };
    let chosen = chosen(&fashion, 60.0);
    assert_tokenizer(&chosen, [28, 0, 4, 64, 512]);
    assert!(!chosen.tokenizer.training.flip && !chosen.prior.training.flip);
    assert_eq!(chosen.tokenizer.training.discriminator_layers, 2);
    assert_eq!(chosen.prior.training.condition, ConditionKind::Class);
    assert_eq!(chosen.prior.network.layers, 8);
    assert!(chosen.prior.training.patience > 0);
}

#[test]
fn few_photographs_are_learned_in_parts() {
    let chosen = chosen(&facts(25, 1024), 60.0);
    assert_tokenizer(&chosen, [64, 204, 4, 64, 1024]);
    assert_eq!(chosen.tokenizer.training.minutes, 45.0);
    assert_eq!(chosen.prior.training.crops, 41);
    assert_eq!(chosen.prior.training.resize, 204);
    assert_eq!(chosen.prior.training.patience, 0);
}

#[test]
fn two_pictures_are_both_learned() {
    let chosen = chosen(&facts(2, 300), 60.0);
    assert_tokenizer(&chosen, [64, 300, 4, 64, 128]);
    assert_eq!(chosen.tokenizer.training.validation, 0.0);
    assert_eq!(chosen.prior.training.validation, 0.0);
    assert_eq!(chosen.tokenizer.training.batch, 8);
}

#[test]
fn one_huge_picture_is_a_thousand_parts() {
    let chosen = chosen(&facts(1, 4000), 60.0);
    assert_tokenizer(&chosen, [64, 1024, 4, 64, 1024]);
    assert_eq!(chosen.prior.training.crops, 1024);
}

#[test]
fn of_mixed_sizes_the_smallest_do_not_decide() {
    let mixed = |sides: Vec<u32>| Facts {
        sides,
        ..facts(3000, 0)
    };
    let some = chosen(&mixed((0..64).map(|index| 40 + 30 * index).collect()), 60.0);
    assert_tokenizer(&some, [64, 0, 4, 64, 1024]);
    assert!(!some.tokenizer.training.enlarge);
    let sides = (0..64).map(|index| if index < 6 { 10 } else { 500 });
    let more = chosen(&mixed(sides.collect()), 60.0);
    assert_eq!(more.tokenizer.training.size, 64);
    assert!(more.tokenizer.training.enlarge && more.prior.training.enlarge);
}

#[test]
fn time_and_threads_decide_on_the_size() {
    let photographs = facts(3000, 512);
    assert_tokenizer(&chosen(&photographs, 5.0), [32, 0, 4, 32, 1024]);
    assert_tokenizer(&chosen(&photographs, 60.0), [64, 0, 4, 64, 1024]);
    let with = |threads: usize| Facts {
        threads,
        ..facts(100_000, 512)
    };
    assert_tokenizer(&chosen(&with(8), 60.0), [128, 0, 8, 64, 2048]);
    let server = with(32);
    assert_tokenizer(&chosen(&server, 60.0), [256, 0, 16, 64, 4096]);
    assert_tokenizer(&chosen(&server, 6000.0), [256, 0, 16, 96, 4096]);
}

#[test]
fn classes_are_learned_where_they_are_worth_it() {
    let with = |classes: usize, without_class: usize| Facts {
        classes,
        without_class,
        ..facts(1000, 64)
    };
    let condition = |facts: &Facts| chosen(facts, 60.0).prior.training.condition;
    assert_eq!(condition(&with(9, 0)), ConditionKind::Class);
    assert_eq!(condition(&with(1, 0)), ConditionKind::None);
    assert_eq!(condition(&with(9, 1)), ConditionKind::None);
    assert_eq!(condition(&with(500, 0)), ConditionKind::None);
    let wishes = Wishes {
        minutes: 60.0,
        size: None,
        classes: Some(true),
    };
    assert!(choose(&with(500, 0), &wishes).is_ok());
    let error = choose(&with(9, 1), &wishes).unwrap_err().to_string();
    assert!(error.contains("not every picture"), "{error}");
}

#[test]
fn a_size_that_is_wished_for_is_kept_or_refused() {
    let wish = |size| Wishes {
        minutes: 60.0,
        size: Some(size),
        classes: None,
    };
    let chosen = choose(&facts(3000, 512), &wish(128)).unwrap();
    assert_eq!(chosen.tokenizer.training.size, 128);
    let error = choose(&facts(3000, 512), &wish(30)).unwrap_err();
    assert!(error.to_string().contains("multiple of 4"), "{error}");
    for minutes in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let wishes = Wishes {
            minutes,
            ..wish(64)
        };
        assert!(choose(&facts(3000, 512), &wishes).is_err());
    }
}

#[test]
fn whatever_the_pictures_are_the_recipes_can_be_followed() {
    for side in 1..300 {
        for pictures in [1, 7, 30, 5000] {
            for pixel_art in [false, true] {
                let facts = Facts {
                    pixel_art,
                    ..facts(pictures, side)
                };
                let chosen = chosen(&facts, if side % 2 == 0 { 1.0 } else { 600.0 });
                assert!(
                    chosen
                        .choices
                        .iter()
                        .all(|choice| !choice.reason.is_empty())
                );
            }
        }
    }
}

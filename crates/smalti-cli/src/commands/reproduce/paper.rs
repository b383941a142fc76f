//! What the paper and its authors report, to stand beside what was found here: numbers of other data, of far larger
//! networks and of far longer training. They say which way a comparison went, not what to expect.

use super::Name;

/// Numbers of one comparison.
pub struct Reported {
    /// What they are of, and where they are from.
    pub about: &'static str,
    pub headings: &'static [&'static str],
    pub rows: &'static [&'static [&'static str]],
}

const TABLE1: Reported = Reported {
    about: "in the paper (table 1): nats per code, both networks trained for the same time",
    headings: &["data", "transformer", "PixelSNAIL"],
    rows: &[
        &["RIN", "4.84", "4.96"],
        &["LSUN-CT", "4.69", "4.89"],
        &["IN", "4.83", "4.96"],
        &["D-RIN", "4.78", "4.88"],
        &["S-FLCKR", "4.57", "4.64"],
    ],
};

const FIGURE7: Reported = Reported {
    about: "in the paper (section 4.3): codes of f 2 against pixels on CIFAR-10, with the same transformer",
    headings: &["of codes, against pixels", ""],
    rows: &[
        &["time to draw", "14.08 times shorter"],
        &["FID", "18.63 % better"],
    ],
};

const TABLE5: Reported = Reported {
    about: "of the paper (table 5) and the authors' repository: rFID on the validation pictures of ImageNet, 256 pixels",
    headings: &["tokenizer", "f", "codebook", "codes", "rFID"],
    rows: &[
        &["VQGAN", "16", "1024", "256", "7.94"],
        &["VQGAN", "16", "16384", "256", "4.98"],
        &["VQGAN (OpenImages)", "8", "256", "1024", "1.49"],
        &["VQGAN (OpenImages)", "8", "16384", "1024", "1.14"],
        &["VQGAN, Gumbel (OpenImages)", "8", "8192", "1024", "1.49"],
        &["dVAE of DALL-E", "8", "8192", "1024", "32.01"],
        &["VQ-VAE-2", "8 and 4", "512", "1024 and 4096", "about 10"],
    ],
};

const SAMPLING: Reported = Reported {
    about: "in the paper (table 4): class-conditional samples, ImageNet, 256 pixels, nothing rejected",
    headings: &["k", "p", "FID", "IS"],
    rows: &[
        &["973", "1", "29.20", "47.3"],
        &["several", "1", "17.04", "70.6"],
        &["250", "1", "15.98", "78.6"],
        &["973", "0.88", "15.78", "74.3"],
    ],
};

const REJECTION: Reported = Reported {
    about: "in the paper (table 4): class-conditional samples, ImageNet, 256 pixels, of several k",
    headings: &["share that is kept", "FID", "IS"],
    rows: &[
        &["1", "17.04", "70.6"],
        &["0.5", "10.26", "125.5"],
        &["0.25", "7.35", "188.6"],
        &["0.05", "5.88", "304.8"],
        &["0.005", "6.59", "402.7"],
    ],
};

/// The numbers of a comparison.
pub fn numbers(name: Name) -> &'static Reported {
    match name {
        Name::Table1 => &TABLE1,
        Name::Figure7 => &FIGURE7,
        Name::Table5 => &TABLE5,
        Name::Rejection => &REJECTION,
        Name::Sampling => &SAMPLING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn tables_have_a_cell_for_every_heading() {
        for name in Name::value_variants() {
            let reported = numbers(*name);
            let columns = reported.headings.len();
            assert!(reported.rows.iter().all(|row| row.len() == columns));
        }
    }
}

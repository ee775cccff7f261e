use clap::Parser;
use diag::profile::{Function, Label, LabelValue, Line, Period, ProfileBuilder, ValueType};

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: CheckArgs,
}

const PERIOD: u64 = 512 << 10;

fn args(more: &[&str]) -> CheckArgs {
    let line = ["check", "base", "new"].iter().chain(more);
    CommandLine::parse_from(line).args
}

/// Sampled objects of 64 bytes, by site.
fn profile(samples: &[u64]) -> Profile {
    let types = [("inuse_objects", "count"), ("inuse_space", "bytes")];
    let mut b = ProfileBuilder::new(types.map(|(k, u)| ValueType::new(k, u)).to_vec());
    b.meta_mut().default_sample_type = Some(1);
    b.meta_mut().period = Some(Period { value_type: ValueType::new("space", "bytes"), value: PERIOD as i64 });
    let (system_name, file) = (b.str(""), b.str("/src/shop/src/lib.rs"));
    let (key, unit) = (b.str("bytes"), b.str("bytes"));
    for (site, &k) in samples.iter().enumerate().filter(|(_, k)| **k > 0) {
        let name = b.str(&format!("shop::site_{site}"));
        let function = b.function(Function { name, system_name, file, start_line: 1 });
        let location = b.location(None, site as u64 + 1, &[Line { function, line: 1 }]);
        let stack = b.stack(&[location]);
        let labels = b.labels(&[Label { key, value: LabelValue::Num(64, unit) }]);
        let objects = (k as f64 / probability(64, PERIOD)).round() as i64;
        b.sample(stack, labels, &[objects, objects * 64]);
    }
    b.finish().unwrap()
}

fn check(more: &[&str], base: &[u64], new: &[u64]) -> Document {
    let names = ("base".to_owned(), "new".to_owned());
    examine(&args(more), &profile(base), &profile(new), Some("inuse_space".into()), names).unwrap()
}

/// Numerical Recipes' 64-bit generator, and Knuth's Poisson deviates.
struct Rng(u64);

impl Rng {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let end = (-mean).exp();
        let (mut k, mut product) = (0, self.uniform());
        while product > end {
            k += 1;
            product *= self.uniform();
        }
        k
    }
}

/// True samples of a site: most have few, some many.
fn means(sites: usize) -> Vec<f64> {
    (0..sites).map(|i| 0.3 * 1.02f64.powi((i % 300) as i32)).collect()
}

#[test]
fn two_runs_of_the_same_program_are_seldom_a_regression() {
    let mut rng = Rng(20_261_121);
    for (sites, runs, most) in [(1, 200, 19), (20, 200, 19), (300, 60, 8)] {
        let means = means(sites);
        let mut draw = || -> Vec<u64> { means.iter().map(|m| rng.poisson(*m)).collect() };
        // The hardest limit: no growth at all is accepted.
        let alarms = (0..runs)
            .filter(|_| {
                let (base, new) = (draw(), draw());
                check(&["--max-growth", "0%", "--max-bytes", "0"], &base, &new).verdict == "regression"
            })
            .count();
        // 2.5 % for the total and 2.5 % for all sites together: more than `most` once in some hundred seeds.
        assert!(alarms <= most, "{alarms} of {runs} with {sites} sites");
    }
}

#[test]
fn what_is_called_detectable_is_detected() {
    let mut rng = Rng(7);
    let means = means(300);
    let mut found = (0, 0);
    for _ in 0..50 {
        let mut draw = || -> Vec<u64> { means.iter().map(|m| rng.poisson(*m)).collect() };
        let (base, mut new) = (draw(), draw());
        let least = check(&[], &base, &new).detectable;
        let samples = least.new_site as f64 / PERIOD as f64;
        new.push(rng.poisson(samples));
        let at_site = check(&["--max-growth", "1000%"], &base, &new);
        found.0 += usize::from(at_site.regressions.iter().any(|r| r.site == "shop::site_300"));
        // The same growth everywhere, so that no site stands out.
        let factor = 1.0 + least.total as f64 / (means.iter().sum::<f64>() * PERIOD as f64);
        let grown: Vec<u64> = means.iter().map(|m| rng.poisson(m * factor)).collect();
        found.1 += usize::from(check(&[], &base, &grown).total.regressed);
    }
    assert!(found.0 >= 43 && found.1 >= 43, "{found:?} of 50, 47 on average");
}

#[test]
fn only_what_is_certain_is_a_regression() {
    let m = measure((100, 200), Some((20, 180)), 30, Z_95);
    assert!(!m.regressed && m.delta_low == 20);
    assert!(measure((100, 200), Some((40, 160)), 30, Z_95).regressed);
    assert!(
        !measure((100, 200), Some((40, 160)), 30, 2.0 * Z_95).regressed,
        "of many sites some are by chance"
    );
    assert!(measure((100, 200), None, 99, 5.0).regressed, "exact values");
    assert!(!measure((200, 100), Some((-160, -40)), 0, Z_95).regressed);
}

//! Tail probabilities of the binomial distribution, for counts that need not be whole.

/// P(X >= gained) for X binomial of `gained + lost` trials with probability `p`: the regularised incomplete beta function
/// I_p(gained, lost + 1) (DLMF 8.17.5), which also gives a value for counts scaled by their dispersion. 1 for
/// `gained <= 0`.
pub(super) fn at_least(gained: f64, lost: f64, p: f64) -> f64 {
    if gained <= 0.0 {
        return 1.0;
    }
    regularised_beta(p.clamp(0.0, 1.0), gained, lost.max(0.0) + 1.0)
}

/// The continued fraction DLMF 8.17.22, evaluated by the modified Lentz method; it converges fast for
/// x < (a + 1)/(a + b + 2), and the symmetry I_x(a, b) = 1 - I_{1-x}(b, a) serves the rest.
fn regularised_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for coefficient in [even, odd] {
            d = 1.0 / away(1.0 + coefficient * d);
            c = away(1.0 + coefficient / c);
            result *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-12 {
            break;
        }
    }
    result
}

/// ln of the gamma function for x > 0: Stirling's series (DLMF 5.11.1) after shifting x to at least 8.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 8.0 {
        shift += x.ln();
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, with exact binomial coefficients.
    fn summed(gained: u32, lost: u32, p: f64) -> f64 {
        let n = gained + lost;
        let choose = |k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
        (gained..=n).map(|k| choose(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)).sum()
    }

    #[test]
    fn agrees_with_the_sum() {
        for (gained, lost) in [(1, 0), (1, 1), (5, 0), (24, 0), (17, 3), (3, 17), (40, 38), (60, 1)] {
            for p in [0.5, 0.1, 2.0 / 3.0, 0.9] {
                let (exact, ours) =
                    (summed(gained, lost, p), at_least(f64::from(gained), f64::from(lost), p));
                assert!((ours / exact - 1.0).abs() < 1e-8, "{gained} {lost} {p}: {ours} and {exact}");
            }
        }
    }

    #[test]
    fn limits() {
        assert_eq!(at_least(0.0, 10.0, 0.5), 1.0);
        assert_eq!(at_least(5.0, 0.0, 1.0), 1.0);
        assert_eq!(at_least(5.0, 0.0, 0.0), 0.0);
        assert!((at_least(1e5, 1e5, 0.5) - 0.5).abs() < 0.01);
        assert!(at_least(2e5, 1e5, 0.5) < 1e-300);
    }
}

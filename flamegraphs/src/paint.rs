//! Colours. All are light enough for black text on them, so that they serve on a light and on a dark page.

use diag::profile::frames::module_of_name;

use crate::budget::{Frame, Kind};
use crate::options::{Colors, DiffWidth};
use crate::origin::Origin;
use crate::tree::{Mode, Tree};

/// Ends of the difference scale: orange and blue keep apart under all common kinds of colour blindness (after
/// Okabe and Ito, lightened for black text).
const GROWN: [u8; 3] = [0xf5, 0x83, 0x1f];
const SHRUNK: [u8; 3] = [0x4f, 0x97, 0xdd];
const UNCHANGED: [u8; 3] = [0xea, 0xe8, 0xe2];

/// Frames that are no functions: label groups, cut stacks.
const REMARK: [u8; 3] = [0xd9, 0xd9, 0xd6];

/// Names of the hatched fills; `svg` defines them.
pub(crate) const FILL_GONE: &str = "url(#gone)";
pub(crate) const FILL_REST: &str = "url(#rest)";

/// The fill of a frame.
pub(crate) fn fill(tree: &Tree, frame: &Frame, colors: Colors) -> String {
    match (frame.kind, tree.mode) {
        (Kind::Smaller(_), Mode::Single) => FILL_REST.to_owned(),
        (_, Mode::Signed) => difference(frame),
        (_, Mode::Diff(width)) => {
            let gone = frame.amounts.new == 0 && frame.amounts.base != 0;
            let whole = width == DiffWidth::Larger || frame.amounts.delta().unsigned_abs() == frame.width;
            if gone && whole { FILL_GONE.to_owned() } else { difference(frame) }
        }
        (Kind::All, Mode::Single) => hex(UNCHANGED),
        (Kind::Function(name), Mode::Single) => match tree.names.get(name as usize) {
            Some(n) if n.folded.is_some() => sample(Origin::Runtime),
            Some(n) if n.remark => hex(REMARK),
            Some(n) => match colors {
                Colors::Origin => origin(n.origin, &n.raw),
                Colors::Crate => by_crate(n.origin, &n.raw),
            },
            None => hex(UNCHANGED),
        },
    }
}

/// Neutral where nothing changed or both signs cancel, full where everything below has one sign.
fn difference(frame: &Frame) -> String {
    let delta = frame.amounts.delta();
    if delta == 0 || frame.width == 0 {
        return hex(UNCHANGED);
    }
    let share = (delta.unsigned_abs() as f64 / frame.width as f64).min(1.0);
    // A small change must still be told from none.
    let strength = 0.2 + 0.8 * share;
    let end = if delta > 0 { GROWN } else { SHRUNK };
    let mix =
        |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * strength).round() as u8;
    hex([mix(UNCHANGED[0], end[0]), mix(UNCHANGED[1], end[1]), mix(UNCHANGED[2], end[2])])
}

/// The middle of each origin's colours, for the legend.
pub(crate) fn sample(o: Origin) -> String {
    let (hue, saturation, lightness) = base(o);
    hsl(hue, saturation, lightness)
}

/// The ends of the difference scale, for the legend: grown, unchanged, shrunk.
pub(crate) fn scale() -> [String; 3] {
    [hex(GROWN), hex(UNCHANGED), hex(SHRUNK)]
}

fn base(o: Origin) -> (f64, f64, f64) {
    match o {
        Origin::Own => (30.0, 0.95, 0.66),
        Origin::Dependency => (203.0, 0.70, 0.74),
        Origin::Runtime => (160.0, 0.28, 0.78),
        Origin::Native => (275.0, 0.28, 0.83),
        Origin::Unknown => (0.0, 0.0, 0.80),
    }
}

/// The origin's colour with a small shift by name, the same in every picture, so that neighbours keep apart.
fn origin(o: Origin, name: &str) -> String {
    let (hue, saturation, lightness) = base(o);
    let h = hash(name);
    let shift = |bits: u64| ((h >> bits) & 0xff) as f64 / 255.0 - 0.5;
    hsl(hue + 14.0 * shift(0), saturation, lightness + 0.09 * shift(8))
}

fn by_crate(o: Origin, name: &str) -> String {
    module_of_name(name).map_or_else(|| origin(o, name), of_crate)
}

/// The colour of a crate, the same in every picture.
pub(crate) fn of_crate(name: &str) -> String {
    let h = hash(name);
    hsl((h % 360) as f64, 0.55, 0.70 + 0.08 * ((h >> 16 & 0xff) as f64 / 255.0))
}

/// FNV-1a: stable over runs and versions, unlike the standard library's hashers.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> String {
    let a = saturation * lightness.min(1.0 - lightness);
    let channel = |n: f64| {
        let k = (n + hue.rem_euclid(360.0) / 30.0).rem_euclid(12.0);
        (255.0 * (lightness - a * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0))).round() as u8
    };
    hex([channel(0.0), channel(8.0), channel(4.0)])
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG contrast of black text on a colour.
    fn contrast_with_black(color: &str) -> f64 {
        let channel = |at: usize| {
            let c = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        (0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) + 0.05) / 0.05
    }

    #[test]
    fn black_text_is_readable_on_every_fill() {
        let origins = [Origin::Own, Origin::Dependency, Origin::Runtime, Origin::Native, Origin::Unknown];
        for o in origins {
            for i in 0..200 {
                let color = origin(o, &format!("name{i}"));
                assert!(contrast_with_black(&color) > 7.0, "{o:?} {color}");
                let color = by_crate(o, &format!("crate{i}::f"));
                assert!(contrast_with_black(&color) > 5.0, "{o:?} {color}");
            }
        }
        for color in scale() {
            assert!(contrast_with_black(&color) > 6.0, "{color}");
        }
    }

    #[test]
    fn hsl_agrees_with_known_colours() {
        assert_eq!(hsl(0.0, 1.0, 0.5), "#ff0000");
        assert_eq!(hsl(120.0, 1.0, 0.25), "#008000");
        assert_eq!(hsl(-120.0, 1.0, 0.5), "#0000ff");
    }
}

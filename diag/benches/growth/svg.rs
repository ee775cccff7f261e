//! Line charts as SVG, in panels side by side: axes with ticks, units, a legend.

use std::fmt::Write as _;

/// A line.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How both axes count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// A chart.
pub(crate) struct Panel {
    /// What the x axis shows, with its unit.
    pub(crate) x: String,
    /// The unit of the y axis.
    pub(crate) y: String,
    pub(crate) scale: Scale,
    pub(crate) series: Vec<Series>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 14.0;
const PLOT_WIDTH: f64 = WIDTH - LEFT - 14.0;
const PLOT_HEIGHT: f64 = HEIGHT - TOP - 44.0;
/// Told apart also without colours: each line has its own dashes.
const LINES: [(&str, &str); 10] = [
    ("#1f5fa8", ""),
    ("#c04a1a", "6 3"),
    ("#2c7a3f", "2 3"),
    ("#7a3b91", "8 3 2 3"),
    ("#777777", "1 4"),
    ("#a8871f", "10 3"),
    ("#0d8a8a", "4 2 1 2"),
    ("#b3336b", "12 2 2 2"),
    ("#4b4bd0", "3 1"),
    ("#000000", "1 2 4 2"),
];
/// A row of the legend.
const ROW: f64 = 15.0;
/// More lines than this have their legend in two columns.
const ONE_COLUMN: usize = 5;

/// Panels, two a row.
pub(crate) fn page(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let (width, height) = (WIDTH * panels.len().min(2) as f64, HEIGHT * rows);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let (x, y) = ((at % 2) as f64 * WIDTH, (at / 2) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({x} {y})\">{}</g>", panel.draw());
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self) -> String {
        assert!(self.series.len() <= LINES.len(), "a line that is not drawn would not be missed");
        let points = || self.series.iter().flat_map(|s| &s.points);
        let rows =
            if self.series.len() > ONE_COLUMN { self.series.len().div_ceil(2) } else { self.series.len() };
        let legend = (rows as f64 * ROW + 8.0) / PLOT_HEIGHT;
        let x = Axis::of(points().map(|p| p.0), self.scale, 0.05);
        let y = Axis::of(points().map(|p| p.1), self.scale, legend);
        let at =
            |px: f64, py: f64| (LEFT + x.place(px) * PLOT_WIDTH, TOP + (1.0 - y.place(py)) * PLOT_HEIGHT);
        let mut out = String::new();
        for tick in x.ticks() {
            let (px, _) = at(tick, y.from);
            let _ = write!(
                out,
                "<path d=\"M{px:.1} {TOP}v{PLOT_HEIGHT}\" stroke=\"#e4e4e4\"/><text x=\"{px:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\" fill=\"#333\">{}</text>",
                TOP + PLOT_HEIGHT + 14.0,
                number(tick)
            );
        }
        for tick in y.ticks() {
            let (_, py) = at(x.from, tick);
            let _ = write!(
                out,
                "<path d=\"M{LEFT} {py:.1}h{PLOT_WIDTH}\" stroke=\"#e4e4e4\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\" fill=\"#333\">{}</text>",
                LEFT - 5.0,
                py + 4.0,
                number(tick)
            );
        }
        let _ = write!(
            out,
            "<path d=\"M{LEFT} {TOP}v{PLOT_HEIGHT}h{PLOT_WIDTH}\" fill=\"none\" stroke=\"#333\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(13 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            LEFT + PLOT_WIDTH / 2.0,
            HEIGHT - 12.0,
            self.x,
            TOP + PLOT_HEIGHT / 2.0,
            self.y
        );
        for (series, (colour, dashes)) in self.series.iter().zip(LINES) {
            let mut path = String::new();
            for (n, &(px, py)) in series.points.iter().enumerate() {
                let (px, py) = at(px, py);
                let _ = write!(path, "{}{px:.1} {py:.1}", if n == 0 { "M" } else { "L" });
            }
            let _ = write!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\"/>"
            );
        }
        for (n, (series, (colour, dashes))) in self.series.iter().zip(LINES).enumerate() {
            let y = TOP + 12.0 + (n % rows) as f64 * ROW;
            let x = LEFT + 8.0 + (n / rows) as f64 * PLOT_WIDTH / 2.0;
            let _ = write!(
                out,
                "<path d=\"M{x:.0} {y:.0}h22\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                x + 28.0,
                y + 4.0,
                series.name
            );
        }
        out
    }
}

/// An axis from one value to another.
struct Axis {
    from: f64,
    to: f64,
    scale: Scale,
}

impl Axis {
    /// With this part of it free at its end, on a linear one.
    fn of(values: impl Iterator<Item = f64> + Clone, scale: Scale, free: f64) -> Self {
        match scale {
            Scale::Linear => {
                let to = values.fold(0.0, f64::max);
                Self { from: 0.0, to: if to > 0.0 { to / (1.0 - free) } else { 1.0 }, scale }
            }
            Scale::Logarithmic => {
                let positive = values.filter(|v| *v > 0.0);
                let from = positive.clone().fold(f64::INFINITY, f64::min);
                let to = positive.fold(0.0, f64::max);
                if to == 0.0 {
                    return Self { from: 1.0, to: 10.0, scale };
                }
                // Whole decades, and room for the legend above.
                let from = 10f64.powf(from.log10().floor());
                Self { from, to: (to * 3.0).max(from * 10.0), scale }
            }
        }
    }

    /// 0 at the beginning, 1 at the end.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Logarithmic => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let rough = (self.to - self.from) / 5.0;
                let decade = 10f64.powf(rough.log10().floor());
                let step =
                    [1.0, 2.0, 5.0, 10.0].map(|s| s * decade).into_iter().find(|s| *s >= rough).unwrap();
                let count = ((self.to - self.from) / step) as usize;
                (0..=count).map(|n| self.from + n as f64 * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.to / self.from).log10().floor() as i32;
                (0..=decades).map(|n| self.from * 10f64.powi(n)).collect()
            }
        }
    }
}

/// `20`, `0.01`, `10k`, `1M`.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", round(value / 1e6)),
        v if v >= 1e4 => format!("{}k", round(value / 1e3)),
        _ => round(value),
    }
}

fn round(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

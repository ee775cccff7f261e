//! The picture. inferno gets one line for each drawn frame, with the frame's number in place of its name, and does
//! the layout and brings search and zoom; then one pass over its XML events puts names, values and colours in.
//!
//! Numbers make inferno's line format safe: names may hold `;`, line breaks and numbers at their end. The lines go in
//! as a flame chart, which inferno does not sort, so that siblings keep our order.

use inferno::flamegraph::{self, TextTruncateDirection, color::BackgroundColor};
use quick_xml::events::{BytesCData, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

use crate::budget::{Frame, Kind};
use crate::caption::Caption;
use crate::error::Error;
use crate::hover::{self, Label};
use crate::options::{Direction, Options};
use crate::paint;
use crate::tree::Tree;

/// Where the picture goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of its own, with title and legend.
    File,
    /// Inside a page that has title and legend.
    Page,
}

/// Width of the picture before the script fits it to the window.
const WIDTH_PX: f64 = 1200.0;
const PAD_PX: f64 = 10.0;
const CHAR_PX: f64 = 12.0 * 0.59;
const LINE_PX: usize = 17;

/// The picture carries inferno's script.
const CREDIT: &str = " Layout and first script by inferno, CDDL-1.0, https://github.com/jonhoo/inferno ";

/// Shorter beginnings of names say nothing. The script has the same number.
const MIN_CHARS: usize = 5;

/// JavaScript counts exactly up to here.
const MAX_TOTAL: u64 = 1 << 53;

pub(crate) fn render(
    tree: &Tree,
    frames: &[Frame],
    caption: &Caption,
    options: &Options,
) -> Result<String, Error> {
    render_for(tree, frames, caption, options, Place::File)
}

pub(crate) fn render_for(
    tree: &Tree,
    frames: &[Frame],
    caption: &Caption,
    options: &Options,
    place: Place,
) -> Result<String, Error> {
    let drawn = draw(frames, caption, options, place)?;
    let mut dresser = Dresser { tree, frames, caption, options, place, height: 0, current: None };
    dresser.pass(&drawn)
}

/// inferno's own output, with numbers for names.
fn draw(frames: &[Frame], caption: &Caption, options: &Options, place: Place) -> Result<String, Error> {
    let mut opt = flamegraph::Options::default();
    if place == Place::File {
        opt.title = caption.title.clone();
        opt.subtitle = Some(caption.subtitle.clone());
    } else {
        opt.title = String::new();
    }
    opt.direction = match options.direction {
        Direction::Icicle => flamegraph::Direction::Inverted,
        Direction::Flame => flamegraph::Direction::Straight,
    };
    opt.bgcolors = Some(BackgroundColor::Grey);
    opt.deterministic = true;
    opt.min_width = 0.0;
    opt.flame_chart = true;
    opt.name_type = String::new();
    opt.search_color = "#ffe14d".parse().map_err(Error::draw)?;
    opt.text_truncate_direction = TextTruncateDirection::Right;
    let lines = lines(frames);
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut opt, lines.iter().map(String::as_str), &mut svg).map_err(Error::draw)?;
    String::from_utf8(svg).map_err(Error::draw)
}

/// `1;7;12 4096` for each frame with a width of its own, callees before their caller, so that a frame's own part is
/// to the right of what it called. From right to left, as inferno's flame charts want it.
fn lines(frames: &[Frame]) -> Vec<String> {
    let total = frames.first().map_or(0, |f| f.width);
    let shift = total.checked_div(MAX_TOTAL).map_or(0, |over| u64::BITS - over.leading_zeros());
    // Where the number of each frame on the current path ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut path = String::new();
    let mut open: Vec<u64> = Vec::new();
    let mut lines = Vec::with_capacity(frames.len());
    let after_last = frames.len();
    for i in 1..=after_last {
        let depth = frames.get(i).map_or(1, |f| f.depth);
        while open.len() >= depth {
            let own = open.pop().unwrap_or(0) >> shift;
            if own > 0 {
                lines.push(format!("{path} {own}"));
            }
            ends.pop();
            path.truncate(ends.last().copied().unwrap_or(0));
        }
        if let Some(frame) = frames.get(i) {
            if !path.is_empty() {
                path.push(';');
            }
            path.push_str(&i.to_string());
            ends.push(path.len());
            open.push(frame.own_width);
        }
    }
    lines.reverse();
    lines
}

/// Rewrites inferno's XML.
struct Dresser<'a> {
    tree: &'a Tree,
    frames: &'a [Frame],
    caption: &'a Caption,
    options: &'a Options,
    place: Place,
    height: usize,
    /// The frame whose group is being read, with its label.
    current: Option<(&'a Frame, Label)>,
}

type Out = Writer<Vec<u8>>;

impl Dresser<'_> {
    fn pass(&mut self, drawn: &str) -> Result<String, Error> {
        let mut reader = Reader::from_str(drawn);
        let mut out = Writer::new(Vec::with_capacity(drawn.len() * 2));
        let mut svg_depth = 0usize;
        loop {
            match reader.read_event().map_err(Error::draw)? {
                Event::Eof => break,
                // inferno's document type names a URL, which some readers fetch; its comments say nothing.
                Event::Decl(_) | Event::DocType(_) | Event::Comment(_) => {}
                Event::Start(start) if start.name().as_ref() == b"svg" => {
                    svg_depth += 1;
                    if svg_depth == 1 {
                        self.open(&mut out, &start)?
                    } else {
                        write(&mut out, Event::Start(start))?
                    }
                }
                Event::End(end) if end.name().as_ref() == b"svg" => {
                    svg_depth -= 1;
                    if svg_depth == 0 && self.place == Place::File {
                        self.legend(&mut out)?;
                    }
                    write(&mut out, Event::End(end))?;
                }
                Event::End(end) if end.name().as_ref() == b"defs" => {
                    hatches(&mut out)?;
                    write(&mut out, Event::End(end))?;
                }
                Event::Start(start) if matches!(start.name().as_ref(), b"style" | b"script") => {
                    let mut start = start.into_owned();
                    if let Some(nonce) = self.options.nonce() {
                        start.push_attribute(("nonce", nonce.as_str()));
                    }
                    write(&mut out, Event::Start(start))?;
                }
                Event::End(end) if end.name().as_ref() == b"style" => {
                    text(&mut out, STYLE)?;
                    write(&mut out, Event::End(end))?;
                }
                Event::End(end) if end.name().as_ref() == b"script" => {
                    write(&mut out, Event::CData(BytesCData::new(SCRIPT)))?;
                    write(&mut out, Event::End(end))?;
                }
                event if svg_depth >= 2 => self.frame_event(&mut reader, &mut out, event)?,
                Event::Empty(rect) if rect.name().as_ref() == b"rect" => {
                    let mut rect = replaced(&rect, "height", "100%")?;
                    rect.push_attribute(("id", "page"));
                    write(&mut out, Event::Empty(rect))?;
                }
                event => write(&mut out, event)?,
            }
        }
        String::from_utf8(out.into_inner()).map_err(Error::draw)
    }

    /// The outermost start tag, made taller by the legend.
    fn open(&mut self, out: &mut Out, start: &BytesStart<'_>) -> Result<(), Error> {
        let height = start.try_get_attribute("height").map_err(Error::draw)?;
        let height = height.and_then(|a| std::str::from_utf8(&a.value).ok()?.parse::<usize>().ok());
        self.height = height.ok_or_else(|| Error::draw("inferno's SVG has no height"))?;
        let full = match self.place {
            Place::File => self.height + LINE_PX * (self.caption.notes.len() + 3),
            Place::Page => self.height,
        };
        let start = replaced(start, "height", &full.to_string())?;
        let start = replaced(&start, "viewBox", &format!("0 0 {WIDTH_PX} {full}"))?;
        // A policy may forbid inline handlers: our script calls inferno's start instead.
        let start = without(&start, "onload")?;
        write(out, Event::Start(start))?;
        if self.place == Place::File {
            element(out, BytesStart::new("title"), &self.caption.title)?;
        }
        write(out, Event::Comment(BytesText::from_escaped(CREDIT)))?;
        Ok(())
    }

    fn frame_event<'r>(
        &mut self,
        reader: &mut Reader<&'r [u8]>,
        out: &mut Out,
        event: Event<'r>,
    ) -> Result<(), Error> {
        match event {
            // The group waits for its title, since the short name is an attribute of the group.
            Event::Start(start) if start.name().as_ref() == b"g" => Ok(()),
            Event::Start(start) if start.name().as_ref() == b"title" => {
                let inner = reader.read_text(start.name()).map_err(Error::draw)?;
                let inner = inner.decode().map_err(Error::draw)?;
                let number = match inner.split_once(' ') {
                    Some(("all", _)) => 0,
                    Some((n, _)) => n.parse::<usize>().map_err(Error::draw)?,
                    None => return Err(Error::draw("a frame without a number")),
                };
                let frame =
                    self.frames.get(number).ok_or_else(|| Error::draw("a frame that was not given"))?;
                let label = hover::label(self.tree, frame);
                let mut group = BytesStart::new("g");
                if label.short != label.whole {
                    group.push_attribute(("data-short", label.short.as_str()));
                }
                write(out, Event::Start(group))?;
                element(out, BytesStart::new("title"), &hover::text(self.tree, frame, &label))?;
                self.current = Some((frame, label));
                Ok(())
            }
            Event::Empty(rect) if rect.name().as_ref() == b"rect" => match &self.current {
                Some((frame, _)) => {
                    let fill = paint::fill(self.tree, frame, self.options.colors);
                    write(out, Event::Empty(replaced(&rect, "fill", &fill)?))
                }
                None => Err(Error::draw("a rectangle outside a frame")),
            },
            Event::Start(start) if start.name().as_ref() == b"text" => {
                reader.read_text(start.name()).map_err(Error::draw)?;
                match self.current.take() {
                    Some((frame, label)) => element(out, start, &self.fitting(frame, label)),
                    None => Err(Error::draw("a text outside a frame")),
                }
            }
            event => write(out, event),
        }
    }

    /// The label as it fits before the script measures it: what a viewer without scripts shows.
    fn fitting(&self, frame: &Frame, label: Label) -> String {
        let share = frame.width as f64 / self.tree.root().width as f64;
        let chars = ((share * (WIDTH_PX - 2.0 * PAD_PX) - 6.0) / CHAR_PX).max(0.0) as usize;
        let fits = |text: &str| text.chars().nth(chars).is_none();
        match label {
            _ if chars < MIN_CHARS => String::new(),
            Label { whole, .. } if fits(&whole) => whole,
            Label { short, .. } if fits(&short) => short,
            Label { short, .. } => short.chars().take(chars - 2).chain("..".chars()).collect(),
        }
    }

    fn legend(&self, out: &mut Out) -> Result<(), Error> {
        write(out, Event::Start(BytesStart::new("g").with_attributes([("id", "legend")])))?;
        let mut y = self.height + LINE_PX;
        let mut x = PAD_PX;
        let mut swatches: Vec<(&str, &str)> =
            self.caption.legend.iter().map(|s| (s.fill.as_str(), s.text.as_str())).collect();
        let sums = self.frames.iter().any(|f| matches!(f.kind, Kind::Smaller(_)));
        if sums && !self.tree.mode.is_difference() {
            swatches.push((paint::FILL_REST, "summed up"));
        }
        for (fill, label) in swatches {
            let rect = BytesStart::new("rect").with_attributes([
                ("x", x.to_string().as_str()),
                ("y", (y - 11).to_string().as_str()),
                ("width", "22"),
                ("height", "13"),
                ("fill", fill),
            ]);
            write(out, Event::Empty(rect))?;
            at(out, x + 27.0, y, label)?;
            x += 27.0 + 6.6 * label.chars().count() as f64 + 16.0;
        }
        for note in std::iter::once(&self.caption.width).chain(&self.caption.notes) {
            y += LINE_PX;
            at(out, PAD_PX, y, note)?;
        }
        write(out, Event::End(BytesEnd::new("g")))
    }
}

/// Short names where room is short, and the start. Comes after inferno's script.
const SCRIPT: &str = include_str!("svg.js");

/// Beyond inferno's style: a readable title font, a search button that can be seen, dark pages, paper.
pub(crate) const STYLE: &str = "
#title, #subtitle, #legend text, #search, #unzoom, #matched { font-family:system-ui, sans-serif; }
#search { opacity:0.75; text-decoration:underline; }
#unzoom { text-decoration:underline; }
#frames > *:hover text { stroke:none; }
#frames text { fill:#000; pointer-events:none; }
#legend rect { stroke:#808080; stroke-width:0.5; }
#page { fill:#fff; }
svg:root { background:#fff; }
@media (prefers-color-scheme: dark) {
#page { fill:#17181c; }
svg:root { background:#17181c; }
text { fill:#e4e4e7; }
#title, #details, #search, #unzoom, #matched { fill:#e4e4e7; }
#frames > *:hover { stroke:#fff; }
}
@media print { #page { fill:#fff; } text { fill:#000; } #search, #unzoom { display:none; } }
";

fn hatches(out: &mut Out) -> Result<(), Error> {
    let [_, _, shrunk] = paint::scale();
    for (id, back, line) in [("gone", shrunk.as_str(), "#8dbcec"), ("rest", "#e2e2e2", "#cdcdcd")] {
        let pattern = BytesStart::new("pattern").with_attributes([
            ("id", id),
            ("width", "7"),
            ("height", "7"),
            ("patternUnits", "userSpaceOnUse"),
            ("patternTransform", "rotate(45)"),
        ]);
        write(out, Event::Start(pattern))?;
        for (width, fill) in [("7", back), ("2", line)] {
            let rect =
                BytesStart::new("rect").with_attributes([("width", width), ("height", "7"), ("fill", fill)]);
            write(out, Event::Empty(rect))?;
        }
        write(out, Event::End(BytesEnd::new("pattern")))?;
    }
    Ok(())
}

/// The tag with one attribute changed, in place.
fn replaced(tag: &BytesStart<'_>, name: &str, value: &str) -> Result<BytesStart<'static>, Error> {
    with(tag, name, Some(value))
}

/// The tag without an attribute.
fn without(tag: &BytesStart<'_>, name: &str) -> Result<BytesStart<'static>, Error> {
    with(tag, name, None)
}

fn with(tag: &BytesStart<'_>, name: &str, value: Option<&str>) -> Result<BytesStart<'static>, Error> {
    let mut copy = BytesStart::new(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(Error::draw)?;
        match value {
            _ if attribute.key.as_ref() != name.as_bytes() => copy.push_attribute(attribute),
            Some(value) => copy.push_attribute((name, value)),
            None => {}
        }
    }
    Ok(copy)
}

fn at(out: &mut Out, x: f64, y: usize, content: &str) -> Result<(), Error> {
    let start = BytesStart::new("text")
        .with_attributes([("x", format!("{x:.0}").as_str()), ("y", y.to_string().as_str())]);
    element(out, start, content)
}

fn element(out: &mut Out, start: BytesStart<'_>, content: &str) -> Result<(), Error> {
    let end = start.to_end().into_owned();
    write(out, Event::Start(start))?;
    text(out, content)?;
    write(out, Event::End(end))
}

fn text(out: &mut Out, content: &str) -> Result<(), Error> {
    write(out, Event::Text(BytesText::new(content)))
}

fn write(out: &mut Out, event: Event<'_>) -> Result<(), Error> {
    out.write_event(event).map_err(Error::draw)
}

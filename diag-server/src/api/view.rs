//! `/debug/diag/api/v1/view`: one profile, or two compared, cut to what somebody wants to see, in any of the formats. What the
//! page draws, what it offers as a download and what its address says are the same request but for `format`.
//!
//! - `of=live` (the heap now, with ages), `of=kept:ID`, `of=file:NAME`; `base=` likewise makes it a difference
//! - `type=inuse_space`; `label=key=value` (several: all hold) and `focus=REGEX` choose samples
//! - `group=LABEL`, `order=root|leaf`, `runtime=fold|show|hide`, `frames=N` for the drawing
//! - `format=json` (`diag.view/1`), `svg`, `html`, `pprof`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use diag::Diag;
use diag::heap::SnapshotOptions;
use diag::profile::cohorts::{STARTED_COMMENT, TAKEN_COMMENT, WORK_COMMENT};
use diag::profile::{Filter, LabelMatch, Pattern, Profile, delta, pprof};
use flamegraphs::{Flame, Options, RuntimeFrames, StackOrder};
use serde::Serialize;

use super::{json, labels};
use crate::captures;
use crate::collect::with_names;
use crate::content;
use crate::failure::Failure;
use crate::kept::Kept;
use crate::limits::Shared;
use crate::query::Query;

/// Frames drawn when nothing is said: what a canvas draws in a few milliseconds.
const DEFAULT_FRAMES: u64 = 20_000;
const MOST_FRAMES: u64 = 200_000;
/// A captured profile larger than this, decompressed, is not opened inside a service.
const MOST_PROFILE_BYTES: u64 = 256 << 20;

/// The profile as it is looked at.
pub(crate) async fn view(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Failure> {
    let ask = Ask::of(&Query::of(&uri)?)?;
    let of_worker = Arc::clone(&shared);
    shared.heavy(move |diag| ask.answer(diag, &of_worker.kept)).await
}

/// Where a profile comes from.
#[derive(Clone, Debug)]
enum Source {
    Live,
    Kept(u64),
    File(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Svg,
    Html,
    Pprof,
}

/// What is wanted.
#[derive(Debug)]
struct Ask {
    of: Source,
    base: Option<Source>,
    kind: Option<String>,
    filter: Filter,
    options: Options,
    format: Format,
}

/// `diag.view/1`.
#[derive(Serialize)]
struct View {
    schema: &'static str,
    /// The sample type that is shown, and all there are.
    r#type: String,
    types: Vec<String>,
    /// The labels of the samples, before any were chosen.
    labels: Vec<labels::Key>,
    flame: Flame,
}

impl Source {
    fn of(text: &str, name: &str) -> Result<Self, Failure> {
        match text.split_once(':') {
            None if text == "live" => Ok(Self::Live),
            Some(("kept", id)) if id.parse::<u64>().is_ok() => Ok(Self::Kept(id.parse().unwrap_or(0))),
            Some(("file", file)) => Ok(Self::File(file.to_owned())),
            _ => Err(Failure::bad_request(format!(
                "{name} must be live, kept:ID or file:NAME; /debug/diag/api/v1/kept and .../captures list them"
            ))),
        }
    }

    fn load(&self, diag: &Diag, kept: &Kept) -> Result<Profile, Failure> {
        let limits =
            pprof::DecodeLimits { decompressed_bytes: MOST_PROFILE_BYTES, ..pprof::DecodeLimits::default() };
        match self {
            Self::Live => diag
                .heap()
                .and_then(|heap| heap.snapshot(&SnapshotOptions::default().with_ages(true)))
                .map_err(|e| Failure::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string())),
            Self::Kept(id) => pprof::decode_within(&kept.get(*id)?, &limits)
                .map_err(|e| Failure::internal(format!("the kept profile {id}: {e}"))),
            Self::File(name) => {
                pprof::decode_within(&captures::read(diag.config(), name)?, &limits).map_err(|e| {
                    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the capture {name}: {e}"))
                })
            }
        }
    }

    /// What it is called in a difference.
    fn name(&self) -> String {
        match self {
            Self::Live => "now".to_owned(),
            Self::Kept(id) => format!("kept {id}"),
            Self::File(name) => name.clone(),
        }
    }
}

impl Ask {
    fn of(query: &Query) -> Result<Self, Failure> {
        let of = Source::of(query.get("of").unwrap_or("live"), "of")?;
        let base = query.get("base").map(|text| Source::of(text, "base")).transpose()?;
        let bad = |e: diag::profile::ProfileError| Failure::bad_request(e.to_string());
        let labels = query.all("label").map(|text| text.parse::<LabelMatch>().map_err(bad));
        let filter = Filter {
            focus: query.get("focus").filter(|p| !p.is_empty()).map(Pattern::new).transpose().map_err(bad)?,
            label_focus: labels.collect::<Result<_, _>>()?,
            ..Filter::default()
        };
        let frames = query.number("frames")?.unwrap_or(DEFAULT_FRAMES).clamp(100, MOST_FRAMES);
        let options = Options {
            frame_budget: usize::try_from(frames).unwrap_or(usize::MAX),
            group_by_label: query.get("group").filter(|key| !key.is_empty()).map(str::to_owned),
            order: match query.get("order") {
                None | Some("root") => StackOrder::FromRoot,
                Some("leaf") => StackOrder::FromLeaf,
                Some(_) => return Err(Failure::bad_request("order must be root or leaf")),
            },
            runtime: match query.get("runtime") {
                None | Some("fold") => RuntimeFrames::Fold,
                Some("show") => RuntimeFrames::Show,
                Some("hide") => RuntimeFrames::Hide,
                Some(_) => return Err(Failure::bad_request("runtime must be fold, show or hide")),
            },
            base_name: base.as_ref().map(Source::name).unwrap_or_default(),
            new_name: base.as_ref().map(|_| of.name()).unwrap_or_default(),
            ..Options::default()
        };
        let format = match query.get("format") {
            None | Some("json") => Format::Json,
            Some("svg") => Format::Svg,
            Some("html") => Format::Html,
            Some("pprof") => Format::Pprof,
            Some(_) => return Err(Failure::bad_request("format must be json, svg, html or pprof")),
        };
        Ok(Self { of, base, kind: query.get("type").map(str::to_owned), filter, options, format })
    }

    fn answer(mut self, diag: &Diag, kept: &Kept) -> Result<Response, Failure> {
        let failed = |e: diag::profile::ProfileError| Failure::bad_request(e.to_string());
        let load = |source: &Source| with_names(diag, source.load(diag, kept)?, true);
        let base = self.base.as_ref().map(load).transpose()?;
        let new = load(&self.of)?;
        let column = self.column(&new)?;
        self.options.type_index = Some(column);
        self.options.title = diag.config().service_name.clone();
        let labels = match self.format {
            Format::Json => labels::of(&new, column),
            _ => Vec::new(),
        };
        let base = base.map(|p| self.filter.apply(&p)).transpose().map_err(failed)?;
        let new = self.filter.apply(&new).map_err(failed)?;
        if self.format == Format::Pprof {
            let mut profile = match &base {
                Some(base) => delta(base, &new).map_err(failed)?,
                None => new,
            };
            profile.annotate(|meta| meta.default_sample_type = Some(column));
            return Ok(content::attachment("profile.pb.gz", content::PROFILE, pprof::encode_gz(&profile)));
        }
        let base = base.map(without_remarks_for_programs);
        let new = without_remarks_for_programs(new);
        let drawn = |e: flamegraphs::Error| Failure::bad_request(e.to_string());
        let options = &self.options;
        match (self.format, &base) {
            (Format::Svg, None) => flamegraphs::render_svg(&new, options).map(|t| svg("flamegraph.svg", t)),
            (Format::Svg, Some(base)) => {
                flamegraphs::render_diff_svg(base, &new, options).map(|t| svg("difference.svg", t))
            }
            (Format::Html, None) => {
                flamegraphs::render_html(&new, options).map(|t| content::answer(content::HTML, t))
            }
            (Format::Html, Some(base)) => {
                flamegraphs::render_diff_html(base, &new, options).map(|t| content::answer(content::HTML, t))
            }
            (Format::Json | Format::Pprof, base) => {
                let flame = flamegraphs::flame(base.as_ref(), &new, options).map_err(drawn)?;
                let types: Vec<String> = new.sample_types().iter().map(|t| t.kind.clone()).collect();
                let r#type = types.get(column).cloned().unwrap_or_default();
                return json(&View { schema: "diag.view/1", r#type, types, labels, flame });
            }
        }
        .map_err(drawn)
    }

    fn column(&self, profile: &Profile) -> Result<usize, Failure> {
        let Some(kind) = &self.kind else { return Ok(profile.default_sample_type()) };
        profile.sample_type_index(kind).ok_or_else(|| {
            let kinds: Vec<&str> = profile.sample_types().iter().map(|t| t.kind.as_str()).collect();
            Failure::bad_request(format!("type must be one of {}", kinds.join(", ")))
        })
    }
}

/// Comments that carry numbers to programs; a picture shows comments to people.
fn without_remarks_for_programs(mut profile: Profile) -> Profile {
    let ours = [STARTED_COMMENT, TAKEN_COMMENT, WORK_COMMENT, "service=", "pid=", "diag="];
    profile.annotate(|meta| {
        meta.comments.retain(|c| !ours.iter().any(|start| c.starts_with(start)));
        for comment in &mut meta.comments {
            // `reason=<rule>: <why>`
            if let Some(reason) = comment.strip_prefix("reason=") {
                *comment = format!("Saved by the rule {reason}.");
            }
        }
    });
    profile
}

fn svg(file: &str, text: String) -> Response {
    content::attachment(file, content::SVG, text)
}

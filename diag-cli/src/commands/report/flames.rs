//! The flame graphs: pages of their own inside the page.
//!
//! Each picture brings inferno's script, which knows its parts by their ids and has the document for itself; two of them
//! in one document would clash. So each is a document of its own, given in full (`srcdoc`) to a frame that may run
//! scripts and nothing else. The content security policy of the page holds in there too, hence the nonce.

use crate::commands::flamegraph::{Picture, render};
use crate::error::Result;
use crate::load::Loaded;
use diag::profile::Profile;

use super::model::Making;

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Flame {
    /// What it shows.
    pub(super) title: &'static str,
    /// A sentence that says how to read it.
    pub(super) how: &'static str,
    /// The document.
    pub(super) page: String,
    /// About how high it is, until it says so itself.
    pub(super) height_px: usize,
}

/// Lets a picture tell its height to the page around it.
const TELL: &str = include_str!("tell.js");
/// Title, search box, legend and notes around a picture.
const AROUND_PX: usize = 320;

/// The last capture, and what changed since the first. Remarks of the profiles are dropped: the report has said them.
pub(super) fn flames(captures: &mut [Loaded], service: &str, making: &Making) -> Result<Vec<Flame>> {
    for loaded in captures.iter_mut() {
        loaded.profile.annotate(|meta| meta.comments.retain(|c| c.starts_with('#')));
    }
    let (Some(first), Some(last)) = (captures.first(), captures.last()) else { return Ok(Vec::new()) };
    let draw = |base: Option<&Profile>| {
        let options = flamegraphs::Options {
            title: service.to_owned(),
            base_name: base.map(|_| "first capture".to_owned()).unwrap_or_default(),
            new_name: base.map(|_| "last capture".to_owned()).unwrap_or_default(),
            type_index: last.profile.sample_type_index("inuse_space"),
            frame_budget: making.frames,
            csp_nonce: Some(making.nonce.clone()),
            ..flamegraphs::Options::default()
        };
        render(Picture::Html, base, &last.profile, &options).map(|page| (height(&page), tell(page, making)))
    };
    let ((height_px, page), (diff_height_px, diff)) = (draw(None)?, draw(Some(&first.profile))?);
    Ok(vec![
        Flame {
            title: "In use at the last capture",
            how: "Each box is a function, as wide as the live memory that it and what it called have allocated.",
            page,
            height_px,
        },
        Flame {
            title: "Change from the first capture to the last",
            how: "Orange grew, blue shrank; what did not change is not drawn.",
            page: diff,
            height_px: diff_height_px,
        },
    ])
}

fn height(page: &str) -> usize {
    let number = || {
        let svg = page.split_once("<svg ")?.1.split_once('>')?.0;
        svg.split_once("height=\"")?.1.split_once('"')?.0.parse::<usize>().ok()
    };
    number().unwrap_or(0).min(4_000) + AROUND_PX
}

fn tell(mut page: String, making: &Making) -> String {
    if let Some(at) = page.rfind("</body>") {
        page.insert_str(
            at,
            &format!("<script nonce=\"{}\">//<![CDATA[\n{TELL}//]]></script>\n", making.nonce),
        );
    }
    page
}

//! Which page asks: what a browser says about that, and what of it counts.
//!
//! A page can make a browser ask anything of any address. What it cannot do is say who it is: `Host`, `Origin` and all of `Sec-*` are
//! "forbidden request-headers" (Fetch standard), which neither a script nor a form sets, changes or leaves out. The browser writes
//!
//! - `Sec-Fetch-Site`, as it sees the request: `same-origin`, `same-site`, `cross-site`, or `none` for what a person typed. It compares what
//!   the address bar says with where the request goes, both on its own side of any proxy; so `same-origin`, which a redirect
//!   by way of another site is not, is proof by itself, whatever `Host` became on the way. Every browser since 2023 sends it, to https and to loopback; over plain http to other machines none does.
//! - `Origin` with each POST, or `null` where the page has none. It names the page, and is worth something only beside a name of ours:
//!   `Host`, which a reverse proxy may have replaced by the name that it calls. Without `Sec-Fetch-Site` they must agree; such a proxy has
//!   to pass the browser's `Host` on (nginx: `proxy_set_header Host $http_host`), or to speak https.
//!
//! Programs send neither, and are not what this is about: nobody lends them a session. Headers that a page may set count for nothing here,
//! `X-Forwarded-Host` and any of our own among them: a host with a permissive CORS layer would let every page send them.
//!
//! A name that was rebound to this machine makes its page `same-origin`. That is not told here, but by the name (`guard`, on a listener
//! without a token) or the token.

use axum::http::{HeaderMap, StatusCode, header, uri::Authority};

use crate::failure::Failure;

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";

/// A page of another site may link here, but not fetch from here.
pub(crate) fn may_fetch(headers: &HeaderMap) -> Result<(), Failure> {
    let other_site = only(headers, SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if other_site && only(headers, MODE) != Some("navigate") {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "pages of other sites may not fetch from here; open the address itself in the browser",
        ));
    }
    Ok(())
}

/// What changes something is not for pages of other sites, by a form or a link either.
pub(crate) fn may_change(headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Failure> {
    let own = match (only(headers, SITE), only(headers, header::ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = only(headers, header::HOST.as_str()).or(authority.map(Authority::as_str));
            host.is_some_and(|host| names_the_same(origin, host))
        }
        (None, None) => true,
    };
    if own {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "pages of other sites may not change anything here; use `diag-cli` or curl -X POST. If this page is diag's own, a proxy \
         between it and here replaces Host: have it pass the browser's on, or use https",
    ))
}

/// The value of a header; one that is no text, or that is there twice, is none that is known here.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { "?" } else { first.to_str().unwrap_or("?") })
}

/// Whether `scheme://host[:port]` is this host. Either may leave out the port of the scheme.
fn names_the_same(origin: &str, host: &str) -> bool {
    let Some((scheme, page)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    !page.is_empty() && bare(page) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn may(list: &[(&'static str, &'static str)]) -> bool {
        may_change(&headers(list), None).is_ok()
    }

    #[test]
    fn the_browsers_own_word_counts_whatever_a_proxy_made_of_host() {
        let host = ("host", "127.0.0.1:6060");
        let page = ("origin", "https://ops.example");
        assert!(may(&[host, page, (SITE, "same-origin")]));
        assert!(may(&[host, (SITE, "none")]), "somebody typed it");
        for site in ["cross-site", "same-site", "", "same-origin, same-origin", "anything"] {
            assert!(!may(&[host, page, (SITE, site)]), "{site:?}");
            // Not even where the names agree.
            assert!(!may(&[host, ("origin", "http://127.0.0.1:6060"), (SITE, site)]), "{site:?}");
        }
        assert!(
            !may(&[host, page, (SITE, "same-origin"), (SITE, "cross-site")]),
            "one of them is not the browser's"
        );
    }

    #[test]
    fn else_origin_and_host_must_agree() {
        for (origin, host, fine) in [
            ("http://127.0.0.1:6060", "127.0.0.1:6060", true),
            ("http://Ops.example", "ops.example", true),
            ("https://ops.example", "ops.example:443", true),
            ("http://ops.example", "ops.example:80", true),
            ("http://ops.example", "ops.example:443", false),
            ("https://ops.example", "127.0.0.1:6060", false),
            ("http://localhost:6061", "localhost:6060", false),
            ("http://evil.example", "ops.example", false),
            ("http://ops.example.evil.example", "ops.example", false),
            ("null", "ops.example", false),
            ("null", "null", false),
            ("", "ops.example", false),
            ("http://", "", false),
            ("file://", "", false),
            ("chrome-extension://ops.example", "ops.example", false),
        ] {
            assert_eq!(may(&[("origin", origin), ("host", host)]), fine, "{origin} at {host}");
        }
        assert!(!may(&[("origin", "http://a.example")]), "no name of ours to compare with");
        let twice = [("origin", "http://a.example"), ("origin", "http://a.example"), ("host", "a.example")];
        assert!(!may(&twice));
        // What a page may set, where the host's CORS layer lets it, counts for nothing.
        let forwarded = [
            ("origin", "http://evil.example"),
            ("host", "ops.example"),
            ("x-forwarded-host", "evil.example"),
        ];
        assert!(!may(&forwarded));
        assert!(may(&[("host", "ops.example")]), "a program");
    }

    #[test]
    fn with_http_2_the_name_is_in_the_target() {
        let authority: Authority = "ops.example:8443".parse().unwrap();
        let page = headers(&[("origin", "https://ops.example:8443")]);
        assert!(may_change(&page, Some(&authority)).is_ok());
        assert!(may_change(&headers(&[("origin", "https://evil.example")]), Some(&authority)).is_err());
    }

    #[test]
    fn other_sites_may_link_but_not_fetch() {
        for site in ["cross-site", "same-site"] {
            assert!(may_fetch(&headers(&[(SITE, site)])).is_err());
            assert!(may_fetch(&headers(&[(SITE, site), (MODE, "no-cors")])).is_err());
            assert!(may_fetch(&headers(&[(SITE, site), (MODE, "navigate")])).is_ok());
        }
        assert!(may_fetch(&headers(&[(SITE, "same-origin"), (SITE, "cross-site")])).is_err());
        assert!(may_fetch(&headers(&[(SITE, "same-origin"), (MODE, "cors")])).is_ok());
        assert!(may_fetch(&headers(&[])).is_ok());
    }
}

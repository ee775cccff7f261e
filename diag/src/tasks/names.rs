//! Names of futures for people: the async function in place of the compiler's type.

/// Wrappers that say nothing about the task.
const WRAPPERS: [(&str, &str); 7] = [
    ("tracing::instrument::Instrumented<", ">"),
    ("tracing::instrument::WithDispatch<", ">"),
    ("diag::context::scope::Labelled<", ">"),
    ("diag::tasks::tracked::Tracked<", ">"),
    ("core::pin::Pin<alloc::boxed::Box<", ">>"),
    ("tokio::time::timeout::Timeout<", ">"),
    ("tokio::task::coop::unconstrained::Unconstrained<", ">"),
];
/// Longest name shown, in bytes; types of combinators run to kilobytes.
const NAME_LIMIT: usize = 200;

/// `app::feed::push` for `app::feed::push::{{closure}}`, without wrappers; cut, and marked, where it is very long.
pub(super) fn future(type_name: &str) -> String {
    let mut name = type_name;
    loop {
        let wrapped = WRAPPERS.iter().find_map(|(open, close)| name.strip_prefix(open)?.strip_suffix(close));
        match wrapped {
            // `A<B>, C` was no wrapper's only parameter.
            Some(inner) if balanced(inner) => name = inner,
            _ => break,
        }
    }
    while let Some(outer) = name.strip_suffix("::{{closure}}") {
        name = outer;
    }
    if name.len() <= NAME_LIMIT {
        return name.to_owned();
    }
    format!("{}…", name.get(..name.floor_char_boundary(NAME_LIMIT)).unwrap_or_default())
}

fn balanced(name: &str) -> bool {
    let mut depth = 0i32;
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => return false,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::future;

    #[test]
    fn the_async_function_is_named() {
        let cases = [
            ("app::feed::push::{{closure}}", "app::feed::push"),
            ("app::main::{{closure}}::{{closure}}", "app::main"),
            ("tracing::instrument::Instrumented<app::serve::{{closure}}>", "app::serve"),
            (
                "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output = ()>>>",
                "dyn core::future::future::Future<Output = ()>",
            ),
            ("tokio::time::timeout::Timeout<diag::context::scope::Labelled<app::a::{{closure}}>>", "app::a"),
            ("futures::Join<A, B>", "futures::Join<A, B>"),
        ];
        for (given, shown) in cases {
            assert_eq!(future(given), shown);
        }
        let long = future(&"x".repeat(3_000));
        assert!(long.len() < 210 && long.ends_with('…'));
    }
}
